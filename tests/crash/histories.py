"""Scripted histories of one shard, and what must be left of them wherever they stop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.filter import Filter, Range, RowFilter
from akidb_ray.domain.write import ShardDelete, ShardUpsert
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.filesystem import FileSystem
from tests.unit.shard.shards import NAMES, SHARD, batch, vectors_for

# Retention of nothing: the log is dropped as soon as it may be.
SPEC = CollectionSpec(16, Metric.L2, hnsw_m=4, hnsw_ef_construction=8, wal_retention_seconds=0)
POLICY = ShardPolicy(
    seal_rows=12, seal_idle_s=1e9, index_min_rows=10, disk_reserve_bytes=0, lock_wait_s=0.0
)

# What a document is made of: the seed of its vector and text, and its number.
Contents = dict[str, tuple[int, int]]


@dataclass(eq=False)
class Oracle:
    """`sure` is what was acknowledged; `maybe` is that with the write under way."""

    sure: Contents = field(default_factory=dict)
    maybe: Contents | None = None

    def attempt(self, change: Callable[[Contents], None], write: Callable[[], object]) -> None:
        after = dict(self.sure)
        change(after)
        self.maybe = after
        write()
        self.sure, self.maybe = after, None


@dataclass(eq=False)
class Driver:
    """Writes to a replica and tells the oracle."""

    replica: Replica
    oracle: Oracle

    def upsert(self, ids: list[str], seed: int) -> None:
        def change(contents: Contents) -> None:
            contents.update({id: (seed, number) for number, id in enumerate(ids)})

        payloads = [{"n": number, "seed": seed} for number in range(len(ids))]
        documents = batch(ids, seed=seed, payloads=payloads)
        write = ShardUpsert(SHARD, documents, RowFilter())
        self.oracle.attempt(change, lambda: self.replica.write(write))

    def delete(self, ids: list[str]) -> None:
        def change(contents: Contents) -> None:
            for id in ids:
                contents.pop(id, None)

        write = ShardDelete(SHARD, RowFilter(), ids=ids)
        self.oracle.attempt(change, lambda: self.replica.write(write))

    def delete_below(self, bound: int) -> None:
        def change(contents: Contents) -> None:
            for id in [id for id, (_, number) in contents.items() if number < bound]:
                del contents[id]

        write = ShardDelete(SHARD, RowFilter(), filter=Filter((Range("n", lt=bound),)))
        self.oracle.attempt(change, lambda: self.replica.write(write))

    def maintain(self) -> None:
        while maintain(self.replica):
            pass


def full_history(fs: FileSystem, oracle: Oracle) -> None:
    """Every kind of operation, from making the folder to closing it and opening it again."""
    create_replica(fs, SPEC, NAMES)
    driver = Driver(open_replica(fs, POLICY), oracle)
    driver.upsert(["a", "b", "c"], seed=1)
    driver.delete(["b"])
    driver.upsert([f"x{n}" for n in range(12)], seed=2)
    driver.upsert(["a", "x3", "y"], seed=3)
    driver.maintain()
    driver.delete(["x4", "c"])
    driver.upsert([f"x{n}" for n in range(4, 17)], seed=4)
    driver.upsert(["late"], seed=5)
    driver.maintain()
    driver.delete_below(2)
    driver.replica.close()
    driver.replica = open_replica(fs, POLICY)
    driver.upsert(["z", "x5"], seed=6)
    driver.replica.freeze()
    driver.delete(["x6", "z"])
    driver.maintain()
    driver.upsert(["end"], seed=7)


def contents_of(replica: Replica) -> Contents:
    """All documents, each checked to be whole: vector, text and payload are of one write."""
    view = replica.view()
    ids = sorted(view.matching_ids(Filter(), RowFilter()))
    assert len(ids) == len(set(ids)) == view.documents
    found: Contents = {}
    for document in view.get(ids, RowFilter(), with_vector=True):
        seed, number = _numbers(document.payload)
        assert document.text == f"text {seed} of {document.id}"
        np.testing.assert_array_equal(document.vector, vectors_for([document.id], seed)[0])
        found[document.id] = (seed, number)
    assert sorted(found) == ids
    return found


def _numbers(payload: bytes | None) -> tuple[int, int]:
    content: Any = orjson.loads(payload or b"")
    return content["seed"], content["n"]


def check(replica: Replica, oracle: Oracle) -> None:
    """Every acknowledged write is there; the one under way is there whole or not at all."""
    found = contents_of(replica)
    assert found in (oracle.sure, oracle.maybe), (found, oracle)
    oracle.sure, oracle.maybe = found, None
