"""Histories of one shard, and what must be left of them wherever they stop.

A `Driver` writes and tells an `Oracle` before and after, so that the oracle knows at each moment
what was acknowledged, what was acknowledged as buffered, and what is under way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import NEVER, StoredDocument, Vectors
from akidb_ray.domain.filter import Filter, Range, RowFilter
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import (
    DEFAULT_OPTIONS,
    Durability,
    ShardDelete,
    ShardPatch,
    ShardUpsert,
    ShardWrite,
    UpsertMode,
    WriteOptions,
    WriteOutcome,
)
from akidb_ray.shard.attaching import SegmentFiles, attach
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.storage.filesystem import FileSystem
from tests.unit.shard.shards import SHARD, Clock, batch, vectors_for

# Retention of nothing: the log is dropped as soon as it may be.
SPEC = CollectionSpec(16, Metric.L2, hnsw_m=4, hnsw_ef_construction=8, wal_retention_seconds=0)
POLICY = ShardPolicy(
    seal_rows=12,
    seal_idle_s=1e9,
    index_min_rows=10,
    merge_factor=2,
    disk_reserve_bytes=0,
    lock_wait_s=0.0,
)
BUFFERED = WriteOptions(Durability.BUFFERED)
ALL = RowFilter()


@dataclass(frozen=True, slots=True)
class Known:
    """A document: its vector and text follow from its id and `seed`. `version` is None until its
    write was acknowledged.
    """

    seed: int
    payload: Mapping[str, Any]
    expires_at: float = NEVER
    version: int | None = None


Contents = Mapping[str, Known]
# What a write does: the documents that it puts, and None for those that it removes.
Changes = Mapping[str, Known | None]


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """`states` holds the contents that were last acknowledged as durable, and then those after each
    buffered write since. `under_way` is what a write would do that was not acknowledged.

    `answers` are those of acknowledged writes by key; `sent` is the write under way if it has one.
    `highest` is the largest sequence ever given.
    """

    states: tuple[Contents, ...] = ({},)
    under_way: Changes | None = None
    sent: ShardWrite | None = None
    answers: Mapping[str, tuple[ShardWrite, WriteOutcome]] = field(default_factory=dict)
    highest: int = 0

    @property
    def newest(self) -> Contents:
        return self.states[-1]

    def possible(self, power_lost: bool) -> list[Contents]:
        """What may be there: of buffered writes a loss of power takes the last ones."""
        acknowledged = self.states if power_lost else self.states[-1:]
        if self.under_way is None:
            return list(acknowledged)
        return [*acknowledged, after(self.newest, self.under_way)]


@dataclass(eq=False)
class Driver:
    """Writes to a replica and tells the oracle."""

    replica: Replica
    clock: Clock
    oracle: Oracle = field(default_factory=Oracle)

    @classmethod
    def opened(cls, fs: FileSystem, clock: Clock, oracle: Oracle) -> "Driver":
        return cls(open_replica(fs, POLICY, Surroundings(clock=clock)), clock, oracle)

    def reopen(self) -> None:
        self.replica.close()
        self.replica = open_replica(self.replica.fs, POLICY, self.replica.around)

    def upsert(
        self,
        ids: list[str],
        seed: int,
        mode: UpsertMode = UpsertMode.UPSERT,
        options: WriteOptions = DEFAULT_OPTIONS,
        expires_at: float = NEVER,
    ) -> None:
        payloads = [{"n": number, "seed": seed} for number in range(len(ids))]
        documents = batch(ids, seed=seed, payloads=payloads, expires_at=expires_at)
        there = alive(self.oracle.newest, self.clock.now)
        skipped = {UpsertMode.INSERT: there.keys(), UpsertMode.UPDATE: ids - there.keys()}
        changes = {
            id: Known(seed, payload, expires_at)
            for id, payload in zip(ids, payloads, strict=True)
            if id not in skipped.get(mode, ())
        }
        self._send(ShardUpsert(SHARD, documents, ALL, mode, options), changes)

    def delete(self, ids: list[str], options: WriteOptions = DEFAULT_OPTIONS) -> None:
        there = alive(self.oracle.newest, self.clock.now)
        write = ShardDelete(SHARD, ALL, ids=ids, options=options)
        self._send(write, {id: None for id in ids if id in there})

    def delete_below(self, bound: int) -> None:
        write = ShardDelete(SHARD, ALL, filter=Filter((Range("n", lt=bound),)))
        self._send(write, dict.fromkeys(self._below(bound)))

    def patch(self, ids: list[str], value: int, options: WriteOptions = DEFAULT_OPTIONS) -> None:
        write = ShardPatch(SHARD, ALL, PayloadPatch({"p": value}), ids=ids, options=options)
        self._send(write, self._patched(ids, value))

    def patch_below(self, bound: int, value: int) -> None:
        filter = Filter((Range("n", lt=bound),))
        write = ShardPatch(SHARD, ALL, PayloadPatch({"p": value}), filter=filter)
        self._send(write, self._patched(self._below(bound), value))

    def _below(self, bound: int) -> list[str]:
        there = alive(self.oracle.newest, self.clock.now)
        return [id for id, known in there.items() if known.payload["n"] < bound]

    def _patched(self, ids: list[str], value: int) -> dict[str, Known | None]:
        there = alive(self.oracle.newest, self.clock.now)
        return {
            id: replace(there[id], payload={**there[id].payload, "p": value}, version=None)
            for id in ids
            if id in there
        }

    def attach(self, source: FileSystem, files: SegmentFiles, ids: list[str], seed: int) -> None:
        changes = {id: Known(seed, {"n": n, "seed": seed}) for n, id in enumerate(ids)}
        self._attempt(changes, lambda: attach(self.replica, source, [files]), durable=True)

    def maintain(self) -> None:
        while maintain(self.replica):
            pass

    def _send(self, write: ShardWrite, changes: Changes) -> None:
        options = write.options
        key = options.idempotency_key
        self.oracle = replace(self.oracle, sent=write if key else None)
        durable = options.durability is Durability.FSYNC
        outcome = self._attempt(changes, lambda: self.replica.write(write), durable)
        if key is not None:
            answers = {**self.oracle.answers, key: (write, outcome)}
            self.oracle = replace(self.oracle, sent=None, answers=answers)

    def _attempt(
        self,
        changes: Changes,
        send: Callable[[], WriteOutcome],
        durable: bool,
    ) -> WriteOutcome:
        oracle = self.oracle
        self.oracle = replace(oracle, under_way=changes)
        outcome = send()
        assert outcome.affected == len(changes)
        assert outcome.sequence > oracle.highest, "a sequence was given twice"
        newest = after(oracle.newest, changes, outcome.sequence)
        states = (newest,) if durable else (*oracle.states, newest)
        self.oracle = replace(self.oracle, states=states, under_way=None, highest=outcome.sequence)
        return outcome


def after(contents: Contents, changes: Changes, version: int | None = None) -> Contents:
    result = {id: known for id, known in contents.items() if id not in changes}
    for id, known in changes.items():
        if known is not None:
            result[id] = replace(known, version=version)
    return result


def alive(contents: Contents, now: float) -> Contents:
    return {id: known for id, known in contents.items() if known.expires_at > now}


def contents_of(replica: Replica) -> Contents:
    """All documents, each checked to be whole: vector, text and payload are of one write."""
    view = replica.view()
    ids = sorted(view.matching_ids(Filter(), ALL))
    assert len(ids) == len(set(ids)) == view.documents
    documents = view.get(ids, ALL, with_vector=True)
    assert [document.id for document in documents] == ids
    contents = {document.id: _known(document) for document in documents}
    if documents:
        wanted = np.array([_vector(id, known.seed) for id, known in contents.items()])
        found = np.array([document.vector for document in documents])
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    return contents


def _known(document: StoredDocument) -> Known:
    payload = orjson.loads(document.payload or b"")
    assert document.text == f"text {payload['seed']} of {document.id}"
    return Known(payload["seed"], payload, document.expires_at, document.version)


@cache
def _vector(id: str, seed: int) -> Vectors:
    vector: Vectors = vectors_for([id], seed)[0]
    return vector


def check(driver: Driver, *, power_lost: bool = True) -> None:
    """Every acknowledged write is there, the one under way whole or not at all, and those that
    were only buffered up to one of them. A write that is sent again under its key changes nothing
    when it was carried out, and is carried out when it was not.
    """
    oracle, now = driver.oracle, driver.clock.now
    found = contents_of(driver.replica)
    possible = [alive(contents, now) for contents in oracle.possible(power_lost)]
    assert any(same_contents(found, contents, oracle.highest) for contents in possible), (
        found,
        oracle,
    )
    highest = max([oracle.highest, *(known.version or 0 for known in found.values())])
    driver.oracle = replace(oracle, states=(found,), highest=highest)
    for write, outcome in oracle.answers.values():
        assert driver.replica.write(write) == outcome
    assert not oracle.answers or contents_of(driver.replica) == found
    if oracle.sent is not None:
        _send_again(driver, oracle.sent)
    driver.oracle = replace(driver.oracle, under_way=None, sent=None)


def _send_again(driver: Driver, sent: ShardWrite) -> None:
    """The write under way: it is carried out now, or was before."""
    oracle = driver.oracle
    outcome = driver.replica.write(sent)
    found = contents_of(driver.replica)
    assert oracle.under_way is not None
    wanted = after(oracle.newest, oracle.under_way)
    assert same_contents(found, alive(wanted, driver.clock.now), highest=0)
    answers = {**oracle.answers, str(sent.options.idempotency_key): (sent, outcome)}
    highest = max(oracle.highest, outcome.sequence)
    driver.oracle = replace(oracle, states=(found,), answers=answers, highest=highest)


def same_contents(found: Contents, wanted: Contents, highest: int) -> bool:
    """Whether these are the same documents. Those of the write under way have one new version."""
    if found.keys() != wanted.keys():
        return False
    new = {id for id, known in wanted.items() if known.version is None}
    versions = {found[id].version or 0 for id in new}
    if len(versions) > 1 or any(version <= highest for version in versions):
        return False
    return all(
        known == replace(found[id], version=None if id in new else found[id].version)
        for id, known in wanted.items()
    )
