"""What each writer of the kill test does, one step after the other.

A step follows from the seed, the writer, the number of the step and the documents that the writer
has. Each writer has ids of its own, so the process that writes and the one that looks at what is
left know the same without talking.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import NEVER, DocumentBatch
from akidb_ray.domain.filter import EVERYTHING, Filter, Match, Range
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import (
    Durability,
    ShardDelete,
    ShardPatch,
    ShardUpsert,
    ShardWrite,
    UpsertMode,
    WriteOptions,
)
from akidb_ray.shard.attaching import SegmentFiles, build_segment
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.storage.filesystem import FileSystem
from tests.crash.histories import ALL, Changes, Contents, Known
from tests.unit.shard.shards import SHARD, batch

SPEC = CollectionSpec(16, Metric.COSINE, hnsw_m=8, hnsw_ef_construction=16, wal_retention_seconds=0)
POLICY = ShardPolicy(
    seal_rows=150,
    seal_idle_s=0.1,
    index_min_rows=50,
    merge_factor=3,
    disk_reserve_bytes=0,
    checkpoint_wal_files=6,
    buffered_sync_s=0.05,
    idempotency_s=120.0,
)
WRITERS, IDS = 4, 40
_PAST, _FAR = 1.0, 4e9
ATTACHED = PurePosixPath("attached")


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A write, or documents to attach, and what it does."""

    changes: Changes
    write: ShardWrite | None = None
    attached: DocumentBatch | None = None

    @property
    def key(self) -> str | None:
        return None if self.write is None else self.write.options.idempotency_key

    def segment(self, fs: FileSystem) -> SegmentFiles:
        assert self.attached is not None
        return build_segment(fs, ATTACHED, self.attached, SPEC)


def writer_of(document_id: str) -> int:
    return int(document_id.partition("-")[0])


def plan(seed: int, writer: int, number: int, there: Contents) -> Step:
    """Step `number` of a writer whose documents are `there`."""
    turn = _Turn(random.Random(f"{seed} {writer} {number}"), writer, number, there)
    chance = turn.rng.random()
    if chance < 0.5:
        return _upsert(turn)
    if chance < 0.75:
        return _patch(turn)
    return _delete(turn) if chance < 0.95 else _attach(turn)


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    rng: random.Random
    writer: int
    number: int
    there: Contents

    def ids(self) -> list[str]:
        """Some of the writer's ids; now and then most of them, which takes several records."""
        most = self.rng.choice([3, 10, IDS])
        chosen = self.rng.sample(range(IDS), self.rng.randint(1, most))
        return [f"{self.writer}-{number}" for number in chosen]

    def below(self) -> tuple[Filter, list[str]]:
        """A condition, and which documents meet it."""
        bound = self.rng.randrange(15)
        met = [id for id, known in self.there.items() if known.payload["n"] < bound]
        return Filter((Match("writer", (self.writer,)), Range("n", lt=bound))), met

    def options(self, ids: Sequence[str] = (), only_if: Filter = EVERYTHING) -> WriteOptions:
        chance = self.rng.random()
        durability = Durability.BUFFERED if chance < 0.3 else Durability.FSYNC
        key = f"{self.writer} {self.number}" if chance > 0.95 else None
        versions = {id: self.there[id].version or 0 if id in self.there else 0 for id in ids}
        return WriteOptions(durability, key, versions if chance < 0.2 else {}, only_if)

    def payload(self, position: int) -> dict[str, Any]:
        return {"seed": self.number, "writer": self.writer, "n": position}


def _upsert(turn: _Turn) -> Step:
    ids, mode = turn.ids(), turn.rng.choice(list(UpsertMode))
    only_if, met = turn.below() if turn.rng.random() < 0.2 else (EVERYTHING, list(turn.there))
    expires_at = turn.rng.choice([NEVER, NEVER, NEVER, _FAR, _PAST])
    payloads = [turn.payload(position) for position in range(len(ids))]
    changes: dict[str, Known | None] = {}
    for id, payload in zip(ids, payloads, strict=True):
        if id in turn.there:
            written = mode is not UpsertMode.INSERT and id in met
        else:
            written = mode is not UpsertMode.UPDATE
        if written:
            # What expired before it was written is gone at once.
            known = Known(turn.number, payload, expires_at)
            changes[id] = None if expires_at == _PAST else known
    documents = batch(ids, seed=turn.number, payloads=payloads, expires_at=expires_at)
    options = turn.options(ids, only_if)
    return Step(changes, ShardUpsert(SHARD, documents, ALL, mode, options))


def _patch(turn: _Turn) -> Step:
    patch = PayloadPatch({"patched": turn.number})
    if turn.rng.random() < 0.5:
        ids = turn.ids()
        write = ShardPatch(SHARD, ALL, patch, ids=ids, options=turn.options(ids))
    else:
        filter, ids = turn.below()
        write = ShardPatch(SHARD, ALL, patch, filter=filter, options=turn.options())
    return Step(
        {
            id: Known(
                turn.there[id].seed,
                {**turn.there[id].payload, "patched": turn.number},
                turn.there[id].expires_at,
            )
            for id in ids
            if id in turn.there
        },
        write,
    )


def _delete(turn: _Turn) -> Step:
    if turn.rng.random() < 0.5:
        ids = turn.ids()
        write = ShardDelete(SHARD, ALL, ids=ids, options=turn.options(ids))
    else:
        filter, ids = turn.below()
        write = ShardDelete(SHARD, ALL, filter=filter, options=turn.options())
    return Step({id: None for id in ids if id in turn.there}, write)


def _attach(turn: _Turn) -> Step:
    ids = turn.ids()
    payloads = [turn.payload(position) for position in range(len(ids))]
    documents = batch(ids, seed=turn.number, payloads=payloads)
    known = {id: Known(turn.number, payload) for id, payload in zip(ids, payloads, strict=True)}
    return Step(known, attached=documents)
