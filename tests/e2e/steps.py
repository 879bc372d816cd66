"""The words of scenarios: what the data plane does, step by step, said once for all protocols.

A step is an operation with its request and what comes of it, both in the words of REST's JSON
bodies; `drivers.py` carries it out by REST or by gRPC. Answers must hold at least what is written
there. A `Saved` stands for what an earlier step of its scenario has answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from akidb_ray.domain import errors
from akidb_ray.domain.errors import AkiDBError

VECTORS = "films"
"""A collection of 16-dimensional vectors under l2 on three shards; each scenario finds it empty."""
TEXTS = "texts"
"""A collection that embeds by `hashing-64`, on two shards; each scenario finds it empty."""
SMALL = "small"
"""A collection of 16-dimensional vectors for at most two documents."""
ASLEEP = "asleep"
"""A tenant that is suspended, with a collection `films`."""
MODEL = "hashing-64"


@dataclass(frozen=True)
class Saved:
    name: str


@dataclass(frozen=True)
class Refused:
    """The kind of error, and fields of it."""

    kind: type[AkiDBError]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """`request` is the body, `collection` and `tenant` say where; `saves` maps names to keys of the
    answer. `key` is another one than the right one.
    """

    operation: str
    request: Mapping[str, Any]
    expected: Mapping[str, Any] | Refused
    collection: str = VECTORS
    tenant: str | None = None
    key: str | None = None
    saves: Mapping[str, str] = field(default_factory=dict)


def along(number: int) -> list[float]:
    return [float(number), *[0.0] * 15]


def film(number: int, **more: Any) -> dict[str, Any]:
    """As far from the origin as its number."""
    return {
        "id": f"f{number}",
        "vector": along(number),
        "payload": {"year": 1990 + number, "genres": ["drama", f"g{number % 2}"]},
        **more,
    }


def bad(name: str, row: int | None = None) -> Refused:
    return Refused(errors.InvalidArgument, {"field": name} | ({} if row is None else {"row": row}))


ORIGIN = along(0)
FOUR = Step("upsert", {"documents": [film(n) for n in range(1, 5)]}, {"acknowledged": 4})
