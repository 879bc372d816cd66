"""A write that is sent again with its key is carried out once."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.errors import Exhausted, InvalidArgument, PreconditionFailed, StorageFailed
from akidb_ray.domain.write import ABSENT, Durability, WriteOptions
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import (
    INDEXED,
    Clock,
    count,
    crashed,
    delete,
    get,
    ids_of,
    opened,
    patch,
    reopened,
    seal,
    upsert,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

KEY = WriteOptions(idempotency_key="k1")
IDS = [f"{number:02}" for number in range(30)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replica(fs: WatchedFileSystem, clock: Clock) -> Replica:
    return opened(fs, INDEXED, clock=clock)


def test_repeated_write_gets_the_first_answer_and_changes_nothing(replica: Replica) -> None:
    first = upsert(replica, "a", "b", options=KEY)
    delete(replica, "a")
    assert upsert(replica, "a", "b", options=KEY) == first
    assert ids_of(replica) == ["b"]


@pytest.mark.parametrize("again", [crashed, reopened])
@pytest.mark.parametrize("sealed", [False, True])
def test_answer_survives_the_process_and_the_log(
    replica: Replica, again: Any, sealed: bool
) -> None:
    first = upsert(replica, *IDS, options=KEY)
    gone = delete(replica, "00", "missing", options=WriteOptions(idempotency_key="k2"))
    assert (gone.affected, gone.skipped) == (1, 1)
    if sealed:
        seal(replica)
    for _ in range(2):
        replica = again(replica)
        assert upsert(replica, *IDS, options=KEY) == first
        assert delete(replica, "00", "missing", options=WriteOptions(idempotency_key="k2")) == gone
        assert count(replica) == 29


def test_key_of_another_write_is_refused(replica: Replica) -> None:
    upsert(replica, "a", options=KEY)
    writes = [
        lambda: upsert(replica, "b", options=KEY),
        lambda: upsert(replica, "a", seed=1, options=KEY),
        lambda: upsert(replica, "a", payload={"n": 1}, options=KEY),
        lambda: upsert(replica, "a", expires_at=5.0, options=KEY),
        lambda: upsert(replica, "a", options=replace(KEY, if_versions={"a": ABSENT})),
        lambda: delete(replica, "a", options=KEY),
        lambda: patch(replica, "a", set={"n": 1}, options=KEY),
    ]
    for write in writes:
        with pytest.raises(InvalidArgument, match="was used for another request"):
            write()
    assert count(replica) == 1


def test_key_is_forgotten_after_a_day(replica: Replica, clock: Clock) -> None:
    first = upsert(replica, "a", options=KEY)
    clock.now += 86_399
    assert upsert(replica, "a", options=KEY) == first
    clock.now += 2
    assert upsert(replica, "a", options=KEY).sequence > first.sequence


def test_refused_write_leaves_its_key_free(replica: Replica) -> None:
    options = replace(KEY, if_versions={"a": 7})
    with pytest.raises(PreconditionFailed):
        upsert(replica, "a", options=options)
    assert upsert(replica, "a", options=KEY).affected == 1


@pytest.mark.parametrize("value", [object(), float("nan"), 10**400, "\ud800", {1: 2}])
def test_patch_that_is_no_json_is_refused_with_a_key_too(replica: Replica, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"patch\.set"):
        patch(replica, "a", set={"n": value}, options=KEY)
    assert upsert(replica, "a", options=KEY).affected == 1


def test_patch_with_a_number_of_more_than_64_bits_is_known_again(replica: Replica) -> None:
    upsert(replica, "a")
    first = patch(replica, "a", set={"n": 2**70}, options=KEY)
    upsert(replica, "a")
    assert patch(replica, "a", set={"n": 2**70}, options=KEY) == first
    with pytest.raises(InvalidArgument, match="another request"):
        patch(replica, "a", set={"n": 2**70 + 1}, options=KEY)


def test_answer_is_given_for_a_write_that_changed_nothing(replica: Replica) -> None:
    first = delete(replica, "missing", options=KEY)
    upsert(replica, "missing")
    assert delete(replica, "missing", options=KEY) == first
    assert ids_of(crashed(replica)) == ["missing"]


def test_failed_write_is_carried_out_when_it_is_sent_again(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    fs.watch.fail("append", "wal/", StorageFailed("I/O error"))
    with pytest.raises(StorageFailed):
        upsert(replica, "a", options=KEY)
    again = crashed(replica)
    assert upsert(again, "a", options=KEY).affected == 1
    assert ids_of(again) == ["a"]


def test_buffered_answer_asked_for_again_with_fsync_is_synced(
    replica: Replica, fs: WatchedFileSystem
) -> None:
    upsert(replica, "a", options=replace(KEY, durability=Durability.BUFFERED))
    before = fs.watch.counts["sync"]
    upsert(replica, "a", options=KEY)
    assert fs.watch.counts["sync"] == before + 1


def test_more_keys_than_fit_are_refused_and_other_writes_go_on(
    fs: WatchedFileSystem, clock: Clock
) -> None:
    replica = opened(fs, replace(INDEXED, max_idempotency_keys=2), clock=clock)
    for key in ("k1", "k2"):
        upsert(replica, key, options=WriteOptions(idempotency_key=key))
    with pytest.raises(Exhausted, match="remembers 2 idempotency keys"):
        upsert(replica, "x", options=WriteOptions(idempotency_key="k3"))
    upsert(replica, "y")
    clock.now += 86_401
    upsert(replica, "x", options=WriteOptions(idempotency_key="k3"))
    assert ids_of(replica) == ["k1", "k2", "x", "y"]


def test_vectors_that_differ_in_the_last_bit_are_another_write(replica: Replica) -> None:
    upsert(replica, "a", options=KEY)
    vectors = get(replica, "a")[0].vector[None, :].copy()
    vectors[0, 0] = np.nextafter(vectors[0, 0], np.float32(9))
    with pytest.raises(InvalidArgument):
        upsert(replica, "a", vectors=vectors, options=KEY)


@pytest.mark.parametrize("key", ["", "x" * 256, "ä" * 128])
def test_key_out_of_bounds_is_refused(replica: Replica, key: str) -> None:
    with pytest.raises(InvalidArgument, match="idempotency_key"):
        upsert(replica, "a", options=WriteOptions(idempotency_key=key))
