"""What goes in and comes out: documents, hits, and what writes answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from akidb.vectors import decode_vector

T = TypeVar("T")
# So many does the server take.
_MAX_VERSIONS = 64


@dataclass(frozen=True, eq=False)
class Document:
    """A document, as it is stored or is to be.

    `vector` is float32 of shape (dimension,) when it comes from the server, a list without numpy;
    None unless it was asked for. It expires at `expires_at`, in seconds since 1970; None: never.
    `version` is the document's own, 0 before it is stored.
    """

    id: str
    vector: Any = None
    text: str | None = None
    payload: Mapping[str, Any] | None = None
    expires_at: float | None = None
    version: int = 0


@dataclass(frozen=True, eq=False)
class Hit:
    """A found document. What `score` means, and whether more is better, the metric says."""

    id: str
    score: float
    payload: Mapping[str, Any] | None = None
    text: str | None = None
    vector: Any = None
    version: int = 0


@dataclass(frozen=True, eq=False)
class Listing(Sequence[T]):
    """An answer that is a sequence of `items`, with more to say beside them."""

    items: Sequence[T]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        return self.items[at]

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


@dataclass(frozen=True, eq=False)
class Results(Listing[Hit]):
    """The hits of a search, best first.

    `missing_shards` are the numbers of those that did not answer, which only a search with
    `partial_results` can have. `explanation` is there when it was asked for.
    """

    took_ms: float = 0.0
    missing_shards: tuple[int, ...] = ()
    explanation: Any = None

    @property
    def ids(self) -> list[str]:
        return [hit.id for hit in self.items]

    @property
    def scores(self) -> list[float]:
        return [hit.score for hit in self.items]


@dataclass(frozen=True, eq=False)
class Group:
    """Documents that share `value`, best first."""

    value: Any
    hits: Sequence[Hit]


@dataclass(frozen=True, eq=False)
class Groups(Listing[Group]):
    """Groups by their best document, the best first."""

    took_ms: float = 0.0
    missing_shards: tuple[int, ...] = ()


@dataclass(frozen=True)
class Facet:
    """`count` documents have `value`."""

    value: Any
    count: int


@dataclass(frozen=True, eq=False)
class Facets(Listing[Facet]):
    """The most frequent values first. When they are not `exact`, counts may be too small."""

    exact: bool = True


@dataclass(frozen=True)
class Written:
    """What a write did.

    `affected` documents were written, changed or deleted; `skipped` ones were held back by the
    mode or a condition. `truncated_ids` have a text longer than the model reads. `versions` are
    opaque tokens, one for each request that was needed. `version` is what reads take as
    `min_version` to see all of it; that of `a + b` shows both writes.
    """

    affected: int = 0
    skipped: int = 0
    versions: tuple[str, ...] = ()
    truncated_ids: tuple[str, ...] = ()

    @property
    def version(self) -> str | None:
        # Ids are spread over shards by a hash: so many requests have written to all of them.
        last = list(dict.fromkeys(reversed(self.versions)))[:_MAX_VERSIONS]
        return ",".join(reversed(last)) or None

    def __add__(self, other: Written) -> Written:
        return Written(
            self.affected + other.affected,
            self.skipped + other.skipped,
            self.versions + other.versions,
            self.truncated_ids + other.truncated_ids,
        )


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; `next_cursor` is None on the last one."""

    items: Sequence[T]
    next_cursor: str | None = None


@dataclass(frozen=True)
class Tenant:
    """`settings` are all that the server says of it."""

    id: str
    slug: str
    name: str
    status: str
    version: int
    settings: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Database:
    """`settings` are all that the server says of it."""

    id: str
    name: str
    state: str
    version: int
    settings: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class CollectionInfo:
    """`settings` are all that the server says of it, with `status` when one was asked for."""

    id: str
    name: str
    state: str
    dimension: int
    metric: str
    embedding_model: str | None
    version: int
    settings: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Job:
    """`state` is running, succeeded, failed or cancelled; `done` of `total` steps are."""

    id: str
    kind: str
    state: str
    subject: str
    done: int
    total: int
    error: str | None
    settings: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.state != "running"


def document_of(item: Mapping[str, Any]) -> Document:
    return Document(
        str(item["id"]),
        _vector_of(item),
        item.get("text"),
        item.get("payload"),
        item.get("expires_at"),
        int(item.get("version", 0)),
    )


def hit_of(item: Mapping[str, Any]) -> Hit:
    return Hit(
        str(item["id"]),
        float(item["score"]),
        item.get("payload"),
        item.get("text"),
        _vector_of(item),
        int(item.get("version", 0)),
    )


def results_of(answer: Mapping[str, Any]) -> Results:
    return Results(
        [hit_of(item) for item in answer["results"]],
        float(answer.get("took_ms", 0.0)),
        tuple(answer.get("missing_shards") or ()),
        answer.get("explanation"),
    )


def groups_of(answer: Mapping[str, Any]) -> Groups:
    return Groups(
        [
            Group(item["value"], [hit_of(hit) for hit in item["results"]])
            for item in answer["groups"]
        ],
        float(answer.get("took_ms", 0.0)),
        tuple(answer.get("missing_shards") or ()),
    )


def facets_of(answer: Mapping[str, Any]) -> Facets:
    return Facets(
        [Facet(item["value"], int(item["count"])) for item in answer["facets"]],
        bool(answer.get("exact", True)),
    )


def tenant_of(item: Mapping[str, Any]) -> Tenant:
    return Tenant(
        item["tenant_id"], item["slug"], item["name"], item["status"], item["version"], item
    )


def database_of(item: Mapping[str, Any]) -> Database:
    return Database(item["database_id"], item["name"], item["state"], item["version"], item)


def collection_of(item: Mapping[str, Any]) -> CollectionInfo:
    return CollectionInfo(
        item["collection_id"],
        item["name"],
        item["state"],
        item["dimension"],
        item["metric"],
        item["embedding_model"],
        item["version"],
        item,
    )


def job_of(item: Mapping[str, Any]) -> Job:
    return Job(
        item["job_id"],
        item["kind"],
        item["state"],
        item["subject"],
        item["done"],
        item["total"],
        item["error"],
        item,
    )


def _vector_of(item: Mapping[str, Any]) -> Any:
    vector = item.get("vector")
    return None if vector is None else decode_vector(vector)
