"""Scrolling: each document once, in the order of the ids, whatever happens meanwhile."""

from collections.abc import Callable

import numpy as np
import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import EVERYTHING, Filter, Range, RowFilter
from akidb_ray.domain.query import ScrollQuery
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.scrolling import scroll
from tests.unit.shard.shards import Clock, delete, only, opened, seal, upsert
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Settle = Callable[[Replica], None]
ALL = RowFilter()


def page(
    replica: Replica, after: str | None, limit: int = 7, filter: Filter = EVERYTHING
) -> list[str]:
    found = scroll(replica.view(), ScrollQuery(limit, after, filter), ALL)
    return [document.id for document in found]


def pages(
    replica: Replica, limit: int, filter: Filter = EVERYTHING, between: Callable[[], None] = int
) -> list[str]:
    """All ids, page by page; `between` is done after each."""
    ids: list[str] = []
    while found := page(replica, ids[-1] if ids else None, limit, filter):
        assert len(found) <= limit
        ids += found
        between()
    return ids


def test_documents_come_in_the_order_of_their_ids(replica: Replica, settle: Settle) -> None:
    ids = ["b", "a", "aa", "A", "Z", "é", "ü", "日本", "\U0001f40a", "\uffee", "10", "9", " "]
    upsert(replica, *ids)
    settle(replica)
    assert page(replica, None, 100) == sorted(ids)
    for limit in (1, 2, 5, 13):
        assert pages(replica, limit) == sorted(ids)


def test_segments_are_merged_into_one_order(replica: Replica) -> None:
    ids = [f"{number:03}" for number in range(100)]
    upsert(replica, *ids[::3])
    seal(replica)
    upsert(replica, *ids[1::3])
    replica.freeze()
    upsert(replica, *ids[2::3])
    assert pages(replica, 9) == ids
    upsert(replica, *ids[::5], seed=1)
    delete(replica, *ids[10:30])
    assert pages(replica, 9) == [*ids[:10], *ids[30:]]
    assert page(replica, "015", 2) == ["030", "031"]
    assert page(replica, "0299", 2) == ["030", "031"]
    assert page(replica, "100") == []


def test_few_that_pass_are_found_among_many(replica: Replica, settle: Settle) -> None:
    ids = [f"{number:04}" for number in range(3000)]
    payloads = [{"n": number} for number in range(3000)]
    upsert(replica, *ids, payloads=payloads, vectors=np.ones((3000, 16), np.float32))
    settle(replica)
    late = Filter((Range("n", gte=2990),))
    assert pages(replica, 4, late) == ids[2990:]
    seen = scroll(replica.view(), ScrollQuery(10, filter=late), RowFilter(only("n", 2995)))
    assert [document.id for document in seen] == ["2995"]


def test_what_is_there_all_the_time_comes_exactly_once(replica: Replica, settle: Settle) -> None:
    kept = [f"k{number:02}" for number in range(40)]
    upsert(replica, *kept)
    settle(replica)
    steps = iter(range(1000))

    def churn() -> None:
        step = next(steps)
        upsert(replica, *kept[step % 7 :: 7], seed=step)
        upsert(replica, f"a{step}", f"z{step % 3}", f"k{step:02}x")
        delete(replica, f"a{step - 1}", f"k{step - 1:02}x")
        if step % 4 == 0:
            seal(replica)

    found = pages(replica, 3, between=churn)
    assert [id for id in found if id in kept] == kept
    assert found == sorted(set(found))


def test_a_held_view_goes_on_as_it_was(replica: Replica, settle: Settle) -> None:
    ids = [f"{number:02}" for number in range(20)]
    upsert(replica, *ids)
    settle(replica)
    view = replica.view()
    delete(replica, *ids[:15])
    upsert(replica, *ids[15:], "99", seed=1)
    seal(replica)
    assert [d.id for d in scroll(view, ScrollQuery(100), ALL)] == ids


def test_an_expired_document_is_not_there(fs: WatchedFileSystem) -> None:
    clock = Clock()
    replica = opened(fs, clock=clock)
    upsert(replica, "a", "c")
    upsert(replica, "b", expires_at=clock.now + 1)
    assert page(replica, None) == ["a", "b", "c"]
    clock.now += 1
    assert page(replica, None) == ["a", "c"]


def test_documents_hold_only_what_was_asked_for(replica: Replica) -> None:
    upsert(replica, "a", payload={"n": 1})
    (whole,) = scroll(replica.view(), ScrollQuery(with_vector=True), ALL)
    assert (whole.payload, whole.text) == (b'{"n":1}', "text 0 of a")
    assert whole.vector is not None
    (bare,) = scroll(replica.view(), ScrollQuery(with_payload=False), ALL)
    assert (bare.payload, bare.text, bare.vector) == (None, None, None)
    assert bare.version == whole.version


@pytest.mark.parametrize("limit", [0, -1, 10_001, True])
def test_a_limit_out_of_bounds_is_refused(replica: Replica, limit: int) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        scroll(replica.view(), ScrollQuery(limit), ALL)
