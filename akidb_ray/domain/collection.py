"""Collections: the persisted settings that decide what a shard stores and how it is searched."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import CollectionId, DatabaseId

MIN_DIMENSION = 16
MAX_DIMENSION = 4096
MAX_SHARD_COUNT = 64
RANGES = {
    "dimension": (MIN_DIMENSION, MAX_DIMENSION),
    "shard_count": (1, MAX_SHARD_COUNT),
    "hnsw_m": (4, 128),
    "hnsw_ef_construction": (8, 2000),
    "replica_factor": (1, 3),
    "wal_retention_seconds": (0, 10 * 365 * 86400),
    "max_doc_count": (1, 2**40),
}
"""The least and the greatest value of each setting that is a number."""


class Metric(StrEnum):
    """How two vectors are compared. Larger is better, except for `l2` (unsquared distance)."""

    COSINE = "cosine"
    DOT = "dot"
    L2 = "l2"

    @property
    def larger_is_better(self) -> bool:
        return self is not Metric.L2


class IndexKind(StrEnum):
    HNSW = "hnsw"
    FLAT = "flat"


class HnswEngine(StrEnum):
    """The library that builds and searches the graphs, see docs/adr/0009."""

    FAISS = "faiss"
    HNSWLIB = "hnswlib"


class Language(StrEnum):
    """Whose stems the words of texts are reduced to, by Snowball; `none` leaves them whole."""

    NONE = "none"
    ARABIC = "arabic"
    ARMENIAN = "armenian"
    BASQUE = "basque"
    CATALAN = "catalan"
    CZECH = "czech"
    DANISH = "danish"
    DUTCH = "dutch"
    ENGLISH = "english"
    ESPERANTO = "esperanto"
    ESTONIAN = "estonian"
    FINNISH = "finnish"
    FRENCH = "french"
    GERMAN = "german"
    GREEK = "greek"
    HINDI = "hindi"
    HUNGARIAN = "hungarian"
    INDONESIAN = "indonesian"
    IRISH = "irish"
    ITALIAN = "italian"
    LITHUANIAN = "lithuanian"
    NEPALI = "nepali"
    NORWEGIAN = "norwegian"
    PERSIAN = "persian"
    POLISH = "polish"
    PORTUGUESE = "portuguese"
    ROMANIAN = "romanian"
    RUSSIAN = "russian"
    SERBIAN = "serbian"
    SPANISH = "spanish"
    SWEDISH = "swedish"
    TAMIL = "tamil"
    TURKISH = "turkish"
    YIDDISH = "yiddish"


class TieringPolicy(StrEnum):
    MEMORY = "memory"
    MEMORY_S3 = "memory_s3"
    S3_ONLY = "s3_only"


class SyncPolicy(StrEnum):
    CONTINUOUS = "continuous"
    SCHEDULED = "scheduled"
    MANUAL = "manual"


class CollectionState(StrEnum):
    """`creating` until its shards have folders; `deleting` until they are gone."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


COLLECTION_MOVES: dict[CollectionState, frozenset[CollectionState]] = {
    CollectionState.CREATING: frozenset({CollectionState.READY, CollectionState.DELETING}),
    CollectionState.READY: frozenset({CollectionState.DELETING}),
    CollectionState.DELETING: frozenset(),
}


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Settings chosen when a collection is made. None of them can change afterwards."""

    dimension: int
    metric: Metric = Metric.COSINE
    shard_count: int = 1
    index_kind: IndexKind = IndexKind.HNSW
    hnsw_m: int = 32
    hnsw_ef_construction: int = 200
    hnsw_engine: HnswEngine = HnswEngine.FAISS
    language: Language = Language.ENGLISH
    embedding_model: str | None = None
    replica_factor: int = 1
    tiering_policy: TieringPolicy = TieringPolicy.MEMORY
    sync_policy: SyncPolicy = SyncPolicy.CONTINUOUS
    wal_retention_seconds: int = 604_800
    max_doc_count: int = 50_000_000


@dataclass(frozen=True, slots=True)
class Collection:
    collection_id: CollectionId
    database_id: DatabaseId
    name: str
    spec: CollectionSpec
    state: CollectionState
    created_at: datetime
    updated_at: datetime
    description: str = ""
    version: int = 1


def check_spec(spec: CollectionSpec) -> CollectionSpec:
    """Raise InvalidArgument, naming the field, for a value out of range or not carried out yet."""
    for setting, (low, high) in RANGES.items():
        _check_range(setting, getattr(spec, setting), low, high)
    _refuse_unless("replica_factor", spec.replica_factor, 1, "replication")
    _refuse_unless("tiering_policy", spec.tiering_policy, TieringPolicy.MEMORY, "tiering")
    _refuse_unless("sync_policy", spec.sync_policy, SyncPolicy.CONTINUOUS, "object store sync")
    return spec


def _check_range(field: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgument(field, f"must be a whole number from {low} to {high}, is {value!r}")


def _refuse_unless(field: str, value: Any, only: Any, feature: str) -> None:
    """A setting that nothing carries out is refused: accepted and ignored would be a lie."""
    if value != only:
        raise InvalidArgument(field, f"only {str(only)!r} works so far: {feature} is not built yet")
