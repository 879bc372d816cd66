"""What a write waits for, and what a reader may ask for."""

import random
from dataclasses import replace

import pytest

from akidb_ray.domain.errors import Exhausted, Unavailable
from akidb_ray.domain.write import Durability, WriteOptions
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.memory_disk import Keep
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.unit.shard.shards import (
    INDEXED,
    NAMES,
    POLICY,
    SPEC,
    Clock,
    crashed,
    delete,
    ids_of,
    opened,
    seal,
    upsert,
    work,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

BUFFERED = WriteOptions(durability=Durability.BUFFERED)


def test_buffered_write_waits_for_no_sync_and_is_seen(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, "first")
    before = fs.watch.counts["sync"]
    upsert(replica, "a", options=BUFFERED)
    assert fs.watch.counts["sync"] == before
    assert ids_of(replica) == ["a", "first"]
    assert ids_of(crashed(replica)) == ["a", "first"], "the operating system had it"


def test_buffered_write_is_synced_after_a_while(fs: WatchedFileSystem) -> None:
    clock = Clock()
    replica = opened(fs, POLICY, clock=clock)
    upsert(replica, "a", options=BUFFERED)
    clock.now += 0.9
    flush(replica)
    assert replica.wal.unsynced_since is not None
    clock.now += 0.2
    flush(replica)
    assert replica.wal.unsynced_since is None


def _power_lost(replica: Replica) -> Replica:
    fs = replica.fs
    assert isinstance(fs, MemoryFileSystem)
    return open_replica(
        fs.power_loss(Keep.SYNCED, random.Random(0)), replica.policy, replica.around
    )


def test_power_loss_takes_buffered_writes_and_no_others() -> None:
    fs = MemoryFileSystem()
    create_replica(fs, SPEC, NAMES)
    replica = open_replica(fs, INDEXED)
    upsert(replica, "a", "b")
    lost = upsert(replica, "a", seed=1, options=BUFFERED)
    delete(replica, "b", options=BUFFERED)
    replica = _power_lost(replica)
    assert ids_of(replica) == ["a", "b"]
    assert upsert(replica, "c").sequence > lost.sequence, "no position is given twice"
    assert ids_of(_power_lost(replica)) == ["a", "b", "c"]


def test_checkpoint_makes_durable_what_its_tombstones_speak_of() -> None:
    fs = MemoryFileSystem()
    create_replica(fs, SPEC, NAMES)
    replica = open_replica(fs, INDEXED)
    ids = [f"{number:02}" for number in range(30)]
    upsert(replica, *ids)
    replica.freeze()
    upsert(replica, "00", seed=1, options=BUFFERED)
    work(replica)
    assert ids_of(_power_lost(replica)) == ids


def test_read_is_answered_when_the_shard_has_got_that_far(replica: Replica) -> None:
    outcome = upsert(replica, "a")
    assert replica.view(outcome.sequence).documents == 1
    with pytest.raises(Unavailable, match=f"at version {outcome.sequence}"):
        replica.view(outcome.sequence + 1)
    assert crashed(replica).view(outcome.sequence).documents == 1


def test_writes_slow_down_and_end_while_graphs_lag_behind(fs: WatchedFileSystem) -> None:
    slept: list[float] = []
    policy = replace(INDEXED, unindexed_slow_rows=20, unindexed_max_rows=40, max_write_delay_s=1.0)
    create_replica(fs, SPEC, NAMES)
    replica = open_replica(fs, policy, Surroundings(sleep=slept.append))
    for number in range(40):
        upsert(replica, f"{number:02}")
    assert slept == [pytest.approx(over / 20) for over in range(1, 20)]
    with pytest.raises(Exhausted, match="wait to be indexed"):
        upsert(replica, "more")
    delete(replica, "00")
    upsert(replica, "more")
    seal(replica)
    slept.clear()
    upsert(replica, "again")
    assert slept == []


def test_deletes_alone_shorten_the_log(fs: WatchedFileSystem) -> None:
    spec = replace(SPEC, wal_retention_seconds=0)
    replica = opened(fs, replace(INDEXED, checkpoint_wal_bytes=20_000), spec)
    upsert(replica, *(f"{number:04}" for number in range(2000)))
    seal(replica)
    for number in range(300):
        delete(replica, f"{number:04}", *(f"missing-{number}-{n}" for n in range(20)))
        work(replica)
    assert replica.wal.size_bytes < 50_000
    assert len(ids_of(crashed(replica))) == 1700


def test_log_of_many_short_lives_is_checkpointed(fs: WatchedFileSystem) -> None:
    replica = opened(
        fs, replace(POLICY, checkpoint_wal_files=5), replace(SPEC, wal_retention_seconds=0)
    )
    for number in range(7):
        upsert(replica, str(number))
        replica = crashed(replica)
    assert replica.wal.files_count == 7
    work(replica)
    assert replica.wal.files_count == 1
    assert ids_of(crashed(replica)) == [str(number) for number in range(7)]
