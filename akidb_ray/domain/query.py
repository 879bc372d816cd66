"""What is asked of shards, and what they answer. These values cross process borders.

A read that names a `min_version` is answered by a shard that has got that far, or not at all: the
`sequence` of a write is the one that reads must name to see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from akidb_ray.domain.document import Vectors
from akidb_ray.domain.filter import EVERYTHING, Filter, RowFilter
from akidb_ray.domain.placement import ShardKey

MAX_LIMIT = 10_000
DEFAULT_EF = 64


@dataclass(frozen=True, slots=True, eq=False)
class VectorQuery:
    """The `limit` nearest documents to `vector`, float32 (dimension,), among those that pass.

    `ef` is the breadth of the graph search; `exact` compares with every allowed row instead.
    """

    vector: Vectors
    limit: int = 10
    filter: Filter = EVERYTHING
    ef: int = DEFAULT_EF
    exact: bool = False
    with_payload: bool = True
    with_vector: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """One found document. `score` is the cosine, the dot product, or the l2 distance."""

    id: str
    score: float
    version: int
    payload: bytes | None = None
    text: str | None = None
    vector: Vectors | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ShardSearch:
    shard: ShardKey
    query: VectorQuery
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardGet:
    shard: ShardKey
    ids: Sequence[str]
    visible: RowFilter
    with_vector: bool = False
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardCount:
    shard: ShardKey
    visible: RowFilter
    filter: Filter = EVERYTHING
    min_version: int = 0


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """How a shard stands.

    `unindexed` live rows are searched exactly, because no graph holds them (yet). `indexing` says
    that maintenance has work left: few unindexed rows alone are none. `memory_bytes` are held by
    the host for this shard; `mapped_bytes` are files that the system keeps in memory while it can.
    """

    sequence: int = 0
    documents: int = 0
    unindexed: int = 0
    segments: int = 0
    wal_bytes: int = 0
    indexing: bool = False
    memory_bytes: int = 0
    mapped_bytes: int = 0
