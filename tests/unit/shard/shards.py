"""Small shards, and short ways to write to and read from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import NEVER, DocumentBatch, StoredDocument, Vectors
from akidb_ray.domain.filter import EVERYTHING, Filter, Match, RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import Hit, VectorQuery
from akidb_ray.domain.write import (
    DEFAULT_OPTIONS,
    ShardDelete,
    ShardPatch,
    ShardUpsert,
    UpsertMode,
    WriteOptions,
    WriteOutcome,
)
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.storage.filesystem import FileSystem

DIMENSION = 16
SPEC = CollectionSpec(DIMENSION, Metric.L2, hnsw_m=8, hnsw_ef_construction=64)
SHARD = ShardKey(TenantId.new(), CollectionId.new(), 0)
NAMES = {"tenant": "acme", "database": "default", "collection": "docs"}
POLICY = ShardPolicy(
    seal_rows=10_000, seal_idle_s=1e9, index_min_rows=10_000, disk_reserve_bytes=0, lock_wait_s=0.0
)
INDEXED = ShardPolicy(
    seal_rows=10_000, seal_idle_s=1e9, index_min_rows=20, disk_reserve_bytes=0, lock_wait_s=0.0
)


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(
    fs: FileSystem, policy: ShardPolicy = POLICY, spec: CollectionSpec = SPEC, **around: Any
) -> Replica:
    """Open the replica in `fs`, made first when there is none."""
    create_replica(fs, spec, NAMES)
    return open_replica(fs, policy, Surroundings(**around))


def reopened(replica: Replica, policy: ShardPolicy | None = None) -> Replica:
    """Close in order and open again."""
    replica.close()
    return open_replica(replica.fs, policy or replica.policy, replica.around)


def crashed(replica: Replica) -> Replica:
    """Open again as after a kill: nothing was finished, the operating system let go of files."""
    replica.wal.close()
    replica.lock.release()
    return open_replica(replica.fs, replica.policy, replica.around)


def work(replica: Replica) -> None:
    """All maintenance there is."""
    while maintain(replica):
        pass


def seal(replica: Replica) -> None:
    """Freeze the growing segment and do all maintenance."""
    replica.freeze()
    work(replica)


def vectors_for(ids: Sequence[str], seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    """A vector per id that depends on nothing but the id and the seed."""
    rows = [np.random.default_rng([seed, *id.encode()]).normal(size=dimension) for id in ids]
    return np.array(rows, np.float32).reshape(len(ids), dimension)


def batch(
    ids: Sequence[str],
    payload: Mapping[str, Any] | None = None,
    seed: int = 0,
    vectors: Vectors | None = None,
    payloads: Sequence[Mapping[str, Any] | None] | None = None,
    expires_at: float = NEVER,
) -> DocumentBatch:
    """Documents with these ids; `payload` is for all of them, `payloads` has one for each."""
    contents = payloads if payloads is not None else [payload] * len(ids)
    return DocumentBatch(
        ids=list(ids),
        vectors=vectors_for(ids, seed) if vectors is None else vectors,
        texts=[f"text {seed} of {id}" for id in ids],
        payloads=[None if content is None else orjson.dumps(content) for content in contents],
        expires_at=None if expires_at == NEVER else np.full(len(ids), expires_at),
    )


def upsert(
    replica: Replica,
    *ids: str,
    visible: RowFilter = RowFilter(),
    mode: UpsertMode = UpsertMode.UPSERT,
    options: WriteOptions = DEFAULT_OPTIONS,
    **contents: Any,
) -> WriteOutcome:
    return replica.write(ShardUpsert(SHARD, batch(ids, **contents), visible, mode, options))


def delete(
    replica: Replica,
    *ids: str,
    visible: RowFilter = RowFilter(),
    options: WriteOptions = DEFAULT_OPTIONS,
) -> WriteOutcome:
    return replica.write(ShardDelete(SHARD, visible, ids=list(ids), options=options))


def patch(
    replica: Replica,
    *ids: str,
    visible: RowFilter = RowFilter(),
    options: WriteOptions = DEFAULT_OPTIONS,
    **change: Any,
) -> WriteOutcome:
    write = ShardPatch(SHARD, visible, PayloadPatch(**change), ids=list(ids), options=options)
    return replica.write(write)


def delete_where(
    replica: Replica, filter: Filter, visible: RowFilter = RowFilter()
) -> WriteOutcome:
    return replica.write(ShardDelete(SHARD, visible, filter=filter))


def only(key: str, value: Any) -> Filter:
    return Filter((Match(key, (value,)),))


def get(replica: Replica, *ids: str, visible: RowFilter = RowFilter()) -> list[StoredDocument]:
    return replica.view().get(ids, visible, with_vector=True)


def ids_of(replica: Replica, filter: Filter = EVERYTHING) -> list[str]:
    return sorted(replica.view().matching_ids(filter, RowFilter()))


def count(replica: Replica, filter: Filter = EVERYTHING) -> int:
    return replica.view().count(filter, RowFilter())


def search(
    replica: Replica, vector: Vectors, visible: RowFilter = RowFilter(), **options: Any
) -> list[Hit]:
    return replica.view().search(VectorQuery(vector, **options), visible)
