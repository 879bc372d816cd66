"""Documents that expire: gone at their time to the tick, whatever holds them."""

from collections.abc import Callable

import pytest

from akidb_ray.domain.document import NEVER
from akidb_ray.domain.filter import EVERYTHING, Filter, Range
from akidb_ray.domain.write import UpsertMode, WriteOptions
from akidb_ray.shard.merging import merge
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import (
    INDEXED,
    Clock,
    count,
    crashed,
    delete,
    delete_where,
    get,
    ids_of,
    only,
    opened,
    patch,
    reopened,
    seal,
    search,
    upsert,
    vectors_for,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Settle = Callable[[Replica], None]
IDS = [f"{number:02}" for number in range(30)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replica(fs: WatchedFileSystem, clock: Clock) -> Replica:
    replica = opened(fs, INDEXED, clock=clock)
    upsert(replica, *IDS, payload={"kind": "stays"})
    upsert(replica, "soon", "soon too", payload={"kind": "goes"}, expires_at=clock.now + 10)
    return replica


def seen(replica: Replica) -> set[str]:
    """All ids, asked for in every way; the ways must agree."""
    found = ids_of(replica)
    assert count(replica) == replica.view().documents == len(found)
    hits = search(replica, vectors_for(["q"])[0], limit=99)
    assert sorted(hit.id for hit in hits) == found
    assert [d.id for d in get(replica, *sorted([*IDS, "soon", "soon too"]))] == found
    return set(found)


def test_document_is_gone_exactly_at_its_time(
    replica: Replica, clock: Clock, settle: Settle
) -> None:
    settle(replica)
    clock.now += 9.999
    assert seen(replica) == {*IDS, "soon", "soon too"}
    assert ids_of(replica, only("kind", "goes")) == ["soon", "soon too"]
    clock.now += 0.001
    assert seen(replica) == set(IDS)
    assert ids_of(replica, only("kind", "goes")) == []
    assert seen(crashed(replica)) == set(IDS)


def test_view_keeps_the_time_it_was_made_at(replica: Replica, clock: Clock) -> None:
    view = replica.view()
    clock.now += 11
    assert view.documents == 32
    assert replica.view().documents == 30


def test_expired_document_counts_as_missing_for_writes(
    replica: Replica, clock: Clock, settle: Settle
) -> None:
    settle(replica)
    clock.now += 11
    assert delete(replica, "soon").affected == 0
    assert delete_where(replica, only("kind", "goes")).affected == 0
    assert patch(replica, "soon too", set={"x": 1}).affected == 0
    assert upsert(replica, "soon too", mode=UpsertMode.UPDATE).affected == 0
    outcome = upsert(replica, "soon too", mode=UpsertMode.INSERT)
    assert outcome.affected == 1
    assert seen(replica) == {*IDS, "soon too"}
    assert seen(crashed(replica)) == {*IDS, "soon too"}


def test_expired_document_has_no_version(replica: Replica, clock: Clock) -> None:
    clock.now += 11
    upsert(replica, "soon", options=WriteOptions(if_versions={"soon": 0}))
    assert "soon" in seen(replica)


def test_replay_decides_by_the_time_of_the_write(replica: Replica, clock: Clock) -> None:
    assert delete(replica, "soon").affected == 1
    clock.now += 11
    again = crashed(replica)
    assert seen(again) == set(IDS)
    assert get(again, "soon") == []


def test_sealing_and_merging_leave_expired_rows_out(replica: Replica, clock: Clock) -> None:
    seal(replica)
    upsert(replica, "later", expires_at=clock.now + 100)
    upsert(replica, "at once", expires_at=clock.now)
    seal(replica)
    assert [len(live.live) for live in replica.live.sealed] == [32, 1]
    clock.now += 11
    merge(replica, replica.live.sealed, None)
    assert [len(live.live) for live in replica.live.sealed] == [31]
    assert ids_of(reopened(replica)) == [*IDS, "later"]


def test_segment_whose_rows_expire_is_purged(replica: Replica, clock: Clock) -> None:
    delete(replica, *IDS)
    seal(replica)
    clock.now += 11
    seal(replica)
    assert replica.live.sealed == []
    assert ids_of(crashed(replica)) == []


def test_patch_moves_the_expiry(replica: Replica, clock: Clock, settle: Settle) -> None:
    settle(replica)
    patch(replica, "soon", expires_at=NEVER)
    patch(replica, "00", expires_at=clock.now + 5)
    clock.now += 11
    assert seen(replica) == {*IDS[1:], "soon"}
    assert get(replica, "soon")[0].expires_at == NEVER


def test_expiry_comes_back_with_the_document(replica: Replica, clock: Clock) -> None:
    (found,) = get(replica, "soon")
    assert found.expires_at == clock.now + 10
    assert get(crashed(replica), "00")[0].expires_at == NEVER


def test_range_delete_leaves_no_expired_row_behind(replica: Replica, clock: Clock) -> None:
    upsert(replica, "n", payload={"n": 3}, expires_at=clock.now + 1)
    assert delete_where(replica, Filter((Range("n", gt=1),))).affected == 1
    assert count(replica, EVERYTHING) == 32
