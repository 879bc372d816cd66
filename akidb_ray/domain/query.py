"""What is asked of shards, and what they answer. These values cross process borders.

A read that names a `min_version` is answered by a shard that has got that far, or not at all: the
`sequence` of a write is the one that reads must name to see it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from akidb_ray.domain.document import StoredDocument, Vectors
from akidb_ray.domain.filter import EVERYTHING, Filter, RowFilter, Scalar
from akidb_ray.domain.pickling import pickled_by_fields
from akidb_ray.domain.placement import ShardKey

Answer_co = TypeVar("Answer_co", covariant=True)
MAX_LIMIT = 10_000
MAX_EF = 10_000
DEFAULT_EF = 64


@dataclass(frozen=True, slots=True, eq=False)
class VectorQuery:
    """The `limit` nearest documents to `vector`, float32 (dimension,), among those that pass,
    without the first `offset` of them.

    `ef` is the breadth of the graph search; `exact` compares with every allowed row instead. Those
    that score worse than `score_threshold` are left out (a distance above it under l2).
    """

    vector: Vectors
    limit: int = 10
    filter: Filter = EVERYTHING
    ef: int = DEFAULT_EF
    exact: bool = False
    with_payload: bool = True
    with_vector: bool = False
    offset: int = 0
    score_threshold: float | None = None
    explain: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # An array by itself takes as long as all the rest, see domain/pickling.py.
        vector = self.vector.astype(np.float32, copy=False).tobytes()
        return _vector_query, (vector, *_all_but_vector(self))


_all_but_vector = attrgetter(
    *(field.name for field in fields(VectorQuery) if field.name != "vector")
)


def _vector_query(vector: bytes, *others: Any) -> VectorQuery:
    return VectorQuery(np.frombuffer(vector, np.float32), *others)


@dataclass(frozen=True, slots=True)
class TextStatistics:
    """What BM25 weighs the terms of a text by: `documents` have words, `words` in all, and
    `frequencies` says how many of them have each term.
    """

    documents: int = 0
    words: int = 0
    frequencies: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __add__(self, other: "TextStatistics") -> "TextStatistics":
        frequencies = Counter(self.frequencies)
        frequencies.update(other.frequencies)
        documents, words = self.documents + other.documents, self.words + other.words
        return TextStatistics(documents, words, dict(frequencies))


@dataclass(frozen=True, slots=True)
class TextQuery:
    """The `limit` documents whose `text` fits best by BM25, without the first `offset` of them.

    A document takes part when it has at least one of the words, and all that stand between double
    quotes, one behind the other. Scores are 0 and above; larger is better. They are those of the
    `statistics`, or, of none, of the statistics of all documents that are there.
    """

    text: str
    limit: int = 10
    filter: Filter = EVERYTHING
    with_payload: bool = True
    with_vector: bool = False
    offset: int = 0
    score_threshold: float | None = None
    explain: bool = False
    statistics: TextStatistics | None = None


class FusionMethod(StrEnum):
    """How two ranked lists become one: by reciprocal rank, or by weighted min-max scores."""

    RRF = "rrf"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True)
class Fusion:
    """`k` damps the first ranks of RRF. The weights are those of the vector's and the text's list;
    None stands for 1 and 1 under RRF, and for 0.6 and 0.4 under `weighted`.
    """

    method: FusionMethod = FusionMethod.RRF
    k: int = 60
    vector_weight: float | None = None
    text_weight: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HybridQuery:
    """Vector and text searched together, each for its best `candidates`, fused into one list."""

    vector: Vectors
    text: str
    fusion: Fusion = Fusion()
    limit: int = 10
    filter: Filter = EVERYTHING
    ef: int = DEFAULT_EF
    exact: bool = False
    candidates: int = 100
    with_payload: bool = True
    with_vector: bool = False
    offset: int = 0
    score_threshold: float | None = None
    explain: bool = False


Query = VectorQuery | TextQuery | HybridQuery


@dataclass(frozen=True, slots=True, eq=False)
class RangeQuery:
    """All documents that score at least `radius` (at most, under l2) against `vector`, best first,
    up to `limit` of them.
    """

    vector: Vectors
    radius: float
    limit: int = MAX_LIMIT
    filter: Filter = EVERYTHING
    ef: int = DEFAULT_EF
    exact: bool = False
    with_payload: bool = True
    with_vector: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class GroupQuery:
    """The best `limit` groups of documents that share a value at the payload path `key`, by their
    best document, and the best `size` documents of each.

    A document with an array at `key` is in the group of each of its elements; one without a value
    there is in none. With `values` only these groups are wanted. `query` says what is searched; its
    limit, offset and threshold are not looked at.
    """

    query: VectorQuery | TextQuery
    key: str
    limit: int = 10
    size: int = 3
    values: Sequence[Scalar] | None = None


@dataclass(frozen=True, slots=True)
class FacetQuery:
    """The most frequent values at the payload path `key` among the documents that pass."""

    key: str
    limit: int = 10
    filter: Filter = EVERYTHING


@dataclass(frozen=True, slots=True)
class ScrollQuery:
    """The next `limit` documents that pass, in the order of their ids (by code point), behind the
    id `after`.
    """

    limit: int = 100
    after: str | None = None
    filter: Filter = EVERYTHING
    with_payload: bool = True
    with_vector: bool = False


class Hit(msgspec.Struct, frozen=True, eq=False):
    """One found document. `score` is the cosine, the dot product, or the l2 distance; BM25 for a
    text; what fusion gives for both.
    """

    id: str
    score: float
    version: int
    payload: bytes | None = None
    text: str | None = None
    vector: Vectors | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Documents that share `value`, best first."""

    value: Scalar
    hits: Sequence[Hit]


@dataclass(frozen=True, slots=True)
class Facet:
    """`count` documents have `value`."""

    value: Scalar
    count: int


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """How one segment was searched.

    Of its `rows`, `allowed` were alive and passed. `way` is `exact`, `mask`, `overfetch` (see
    docs/engine.md) or `text`; `candidates` were compared with the query or came from the graph, and
    `widened` says how often the graph was asked again.
    """

    rows: int
    allowed: int
    way: str
    candidates: int
    widened: int = 0
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The plan of each segment, and how long each step of the whole took."""

    segments: Sequence[SegmentPlan]
    took_ms: Mapping[str, float]


class ShardRead(Generic[Answer_co]):
    """What one shard is asked for, answered by a value of the type that it names, or by an error.

    `visible` is what the asking principal may see.
    """

    __slots__ = ()
    shard: ShardKey
    min_version: int


@pickled_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class ShardHits:
    """What a search of one shard found, and how, if the query asked for that."""

    hits: list[Hit]
    explanation: Explanation | None = None


@pickled_by_fields
@dataclass(frozen=True, slots=True, eq=False)
class ShardSearch(ShardRead[ShardHits]):
    shard: ShardKey
    query: Query
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardTextStatistics(ShardRead[TextStatistics]):
    """Of the terms of `text`, over all documents, whoever may see them."""

    shard: ShardKey
    text: str
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardVector(ShardRead[Vectors]):
    """The vector of a document as searches compare it, float32 (dimension,). Answered by NotFound
    when the document is not there.
    """

    shard: ShardKey
    id: str
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardGroups(ShardRead[list[Group]]):
    shard: ShardKey
    query: GroupQuery
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardFacets(ShardRead[list[Facet]]):
    shard: ShardKey
    query: FacetQuery
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardScroll(ShardRead[list[StoredDocument]]):
    shard: ShardKey
    query: ScrollQuery
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardGet(ShardRead[list[StoredDocument]]):
    """Those documents that are there, in the order of `ids`."""

    shard: ShardKey
    ids: Sequence[str]
    visible: RowFilter
    with_vector: bool = False
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardVersions(ShardRead[Mapping[str, int]]):
    """The versions of those documents that are there, by their ids."""

    shard: ShardKey
    ids: Sequence[str]
    visible: RowFilter
    min_version: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShardCount(ShardRead[int]):
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
