"""A request and how its answer is read, both without any I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from akidb.errors import AkiDBError, UnexpectedAnswer, error_of

T = TypeVar("T")
# What the clients of other databases call arguments that are there.
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "embedding": ("vector",),
    "embeddings": ("vectors",),
    "include_vectors": ("with_vector",),
    "k": ("limit",),
    "metadatas": ("payloads",),
    "n_results": ("limit",),
    "params": ("ef", "exact"),
    "points": ("documents",),
    "query": ("vector", "text"),
    "query_embeddings": ("vector",),
    "query_filter": ("filter",),
    "query_texts": ("text",),
    "query_vector": ("vector",),
    "top_k": ("limit",),
    "where": ("filter",),
}
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Request:
    """`path` is encoded already; `content` is the body.

    One that is `repeatable` does no harm when it is carried out twice.
    """

    method: str
    path: str
    content: bytes | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


@dataclass(frozen=True)
class Reply:
    """What a server answered. `headers` have names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A request, and `parse`, which makes a value of the JSON of its answer (None: no content)."""

    request: Request
    parse: Callable[[Any], T]

    def value_of(self, reply: Reply) -> T:
        """What was asked for. Raises the AkiDBError that the reply is instead."""
        if not 200 <= reply.status < 300:
            raise error_of(reply.status, reply.headers, reply.content)
        try:
            return self.parse(json.loads(reply.content) if reply.content else None)
        except AkiDBError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnexpectedAnswer(
                f"the server answered {self.request.method} {self.request.path} with "
                f"{reply.status}, but with something else than was asked for: is this AkiDB, "
                f"of a version that this client knows? ({type(error).__name__}: {error})",
                status=reply.status,
                request_id=reply.headers.get("x-request-id"),
            ) from error


def json_request(
    method: str,
    path: str,
    body: Any,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, Any] | None = None,
    repeatable: bool = True,
) -> Request:
    """A request with this body. Raises ValueError or TypeError for what JSON can't say."""
    return Request(
        method, path, to_json(body), query or {}, {**_JSON, **(headers or {})}, repeatable
    )


def encoded_request(
    method: str, path: str, content: bytes, *, headers: Mapping[str, str]
) -> Request:
    """A request whose body is in JSON already."""
    return Request(method, path, content, headers={**_JSON, **headers})


def to_json(value: Any) -> bytes:
    """`value` in JSON; numbers of numpy count as numbers, dates are written as ISO 8601.

    Raises ValueError for NaN, infinity and halves of surrogate pairs, TypeError for other types.
    """
    return _encode(value).encode()


def path_of(*parts: str) -> str:
    """A path from its parts, which may hold any character."""
    return "".join("/" + _segment(part) for part in parts)


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None: what is left out has its default in the server."""
    return {name: value for name, value in values.items() if value is not None}


def check_arguments(call: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises TypeError for an argument that there is not, with those that were perhaps meant."""
    for name in sorted(set(names) - set(known)):
        meant = [one for one in _ELSEWHERE.get(name, ()) if one in known]
        meant = meant or get_close_matches(name, known, n=1)
        hint = f"; did you mean {' or '.join(meant)}?" if meant else ";"
        raise TypeError(f"{call} has no {name}{hint} it has {', '.join(sorted(known))}")


def _segment(part: str) -> str:
    # "." and ".." would be taken for steps along the path.
    return part.replace(".", "%2E") if part in (".", "..") else quote(part, safe="")


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "tolist"):
        # Arrays and numbers of numpy.
        return value.tolist()
    raise TypeError(f"{type(value).__name__} can't be said in JSON")


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode
