"""What is asked of shards, and what they answer. These values cross process borders."""

from collections.abc import Sequence
from dataclasses import dataclass

from akidb_ray.domain.document import DocumentBatch, Vectors
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


@dataclass(frozen=True, slots=True, eq=False)
class ShardUpsert:
    shard: ShardKey
    documents: DocumentBatch
    visible: RowFilter


@dataclass(frozen=True, slots=True, eq=False)
class ShardDelete:
    """Deletes the given ids, or all documents that pass the filter when `ids` is None."""

    shard: ShardKey
    visible: RowFilter
    ids: Sequence[str] | None = None
    filter: Filter = EVERYTHING


ShardWrite = ShardUpsert | ShardDelete


@dataclass(frozen=True, slots=True, eq=False)
class ShardGet:
    shard: ShardKey
    ids: Sequence[str]
    visible: RowFilter
    with_vector: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ShardCount:
    shard: ShardKey
    visible: RowFilter
    filter: Filter = EVERYTHING


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """`sequence` is the position of the write in its shard; `affected` the documents changed."""

    sequence: int
    affected: int


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """How a shard stands.

    `unindexed` live rows are searched exactly, because no graph holds them (yet). `indexing` says
    that maintenance has work left: few unindexed rows alone are none.
    """

    sequence: int = 0
    documents: int = 0
    unindexed: int = 0
    segments: int = 0
    wal_bytes: int = 0
    indexing: bool = False
