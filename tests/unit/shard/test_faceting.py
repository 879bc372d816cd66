"""Facets: how many documents have each value, counted exactly."""

from collections.abc import Callable
from typing import Any

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import EVERYTHING, Filter, Range, RowFilter
from akidb_ray.domain.query import FacetQuery
from akidb_ray.shard.faceting import facets
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import Clock, delete, only, opened, seal, upsert
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Settle = Callable[[Replica], None]


def found(
    replica: Replica,
    key: str,
    limit: int = 10,
    filter: Filter = EVERYTHING,
    visible: RowFilter = RowFilter(),
) -> list[tuple[Any, int]]:
    query = FacetQuery(key, limit, filter)
    return [(facet.value, facet.count) for facet in facets(replica.view(), query, visible)]


def write(replica: Replica, *payloads: dict[str, Any] | None) -> None:
    upsert(replica, *map(str, range(len(payloads))), payloads=payloads)


def test_the_most_frequent_come_first(replica: Replica, settle: Settle) -> None:
    write(replica, *[{"n": n % 10 if n < 30 else 7} for n in range(40)], None, {"m": 1})
    settle(replica)
    assert found(replica, "n", 3) == [(7, 13), (0, 3), (1, 3)]
    assert len(found(replica, "n", 100)) == 10
    assert found(replica, "missing") == []


def test_an_array_counts_once_for_each_of_its_values(replica: Replica, settle: Settle) -> None:
    write(replica, {"t": ["x", "y", "x"]}, {"t": "x"}, {"t": []}, {"t": None}, {"t": [["z"], {}]})
    settle(replica)
    assert found(replica, "t") == [("x", 2), ("y", 1)]
    assert found(replica, "t[]") == [("x", 2), ("y", 1)]


def test_values_inside_of_objects_are_counted(replica: Replica, settle: Settle) -> None:
    write(replica, {"a": {"b": 1}}, {"a": {"b": 1}, "stops": [{"n": "k"}, {"n": "k"}, {"n": 2}]})
    settle(replica)
    assert found(replica, "a.b") == [(1, 2)]
    assert found(replica, "a") == []
    assert found(replica, "stops[].n") == [("k", 1), (2, 1)]


def test_strings_numbers_and_booleans_are_told_apart(replica: Replica, settle: Settle) -> None:
    write(replica, {"v": 1}, {"v": 1.0}, {"v": True}, {"v": "1"}, {"v": [1, 1.0]}, {"v": False})
    settle(replica)
    counted = found(replica, "v")
    assert counted == [(1, 3), ("1", 1), (False, 1), (True, 1)]
    assert [type(value) for value, _ in counted[1:]] == [str, bool, bool]


def test_ties_are_strings_then_numbers_then_booleans_each_by_value(replica: Replica) -> None:
    write(replica, *[{"v": v} for v in (True, 10, 9.5, "b", "a", -1, False, "ü", "B")])
    assert [value for value, _ in found(replica, "v")] == [
        "B", "a", "b", "ü", -1, 9.5, 10, False, True,
    ]  # fmt: skip


def test_only_what_passes_is_visible_and_alive_is_counted(fs: WatchedFileSystem) -> None:
    clock = Clock()
    replica = opened(fs, clock=clock)
    write(replica, *[{"n": n, "even": n % 2 == 0} for n in range(10)])
    seal(replica)
    upsert(replica, "10", "11", payload={"n": 5, "even": False}, expires_at=clock.now + 1)
    delete(replica, "0", "1")
    assert found(replica, "even") == [(False, 6), (True, 4)]
    assert found(replica, "even", filter=Filter((Range("n", lt=6),))) == [(False, 4), (True, 2)]
    assert found(replica, "n", visible=RowFilter(only("even", True))) == [
        (2, 1), (4, 1), (6, 1), (8, 1),
    ]  # fmt: skip
    clock.now += 1
    assert found(replica, "even") == [(False, 4), (True, 4)]


def test_counts_of_all_segments_are_added(replica: Replica) -> None:
    for number in range(4):
        upsert(replica, str(number), payload={"v": [1, 1.0, 2][number % 3]})
        seal(replica) if number % 2 else replica.freeze()
    upsert(replica, "1", payload={"v": 3})
    assert found(replica, "v") == [(1, 2), (2, 1), (3, 1)]


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("limit", FacetQuery("n", 0)),
        ("limit", FacetQuery("n", 10_001)),
        ("key", FacetQuery("")),
        ("key", FacetQuery("[]")),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(
    replica: Replica, field: str, query: FacetQuery
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        facets(replica.view(), query, RowFilter())
    assert caught.value.fields["field"] == field
