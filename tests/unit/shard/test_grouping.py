"""Groups: the best values of a key, each with its best documents."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import EVERYTHING, Filter, Range, RowFilter
from akidb_ray.domain.query import GroupQuery, TextQuery, VectorQuery
from akidb_ray.shard.grouping import search_groups
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import DIMENSION, delete, only, seal, upsert

Settle = Callable[[Replica], None]
ALL = RowFilter()
ORIGIN = np.zeros(DIMENSION, np.float32)


def write(replica: Replica, payloads: Sequence[dict[str, Any] | None], first: int = 0) -> None:
    """Documents "0000", "0001", ... at the distances 0, 1, ... of the origin."""
    numbers = range(first, first + len(payloads))
    vectors = np.zeros((len(payloads), DIMENSION), np.float32)
    vectors[:, 0] = numbers
    upsert(replica, *[f"{n:04}" for n in numbers], vectors=vectors, payloads=payloads)


def groups(
    replica: Replica,
    key: str = "g",
    limit: int = 10,
    size: int = 3,
    values: Sequence[Any] | None = None,
    filter: Filter = EVERYTHING,
    visible: RowFilter = ALL,
    exact: bool = True,
) -> list[tuple[Any, list[int]]]:
    """Each group's value, and the numbers of its documents."""
    query = GroupQuery(VectorQuery(ORIGIN, filter=filter, exact=exact), key, limit, size, values)
    found = search_groups(replica.view(), query, visible)
    return [(group.value, [int(hit.id) for hit in group.hits]) for group in found]


@pytest.mark.parametrize("exact", [True, False])
def test_groups_come_by_their_best_document_with_their_best_documents(
    replica: Replica, settle: Settle, exact: bool
) -> None:
    write(replica, [{"g": "abc"[n % 3]} for n in range(60)])
    settle(replica)
    assert groups(replica, limit=2, exact=exact) == [("a", [0, 3, 6]), ("b", [1, 4, 7])]
    assert groups(replica, size=1, exact=exact) == [("a", [0]), ("b", [1]), ("c", [2])]
    delete(replica, "0000", "0003")
    assert groups(replica, limit=3, size=1, exact=exact) == [("b", [1]), ("c", [2]), ("a", [6])]


@pytest.mark.parametrize("exact", [True, False])
def test_a_large_group_hides_no_small_one(replica: Replica, settle: Settle, exact: bool) -> None:
    write(replica, [{"g": "large"} if n < 900 else {"g": f"s{n % 4}"} for n in range(920)])
    settle(replica)
    assert groups(replica, limit=3, size=2, exact=exact) == [
        ("large", [0, 1]), ("s0", [900, 904]), ("s1", [901, 905]),
    ]  # fmt: skip
    assert [value for value, _ in groups(replica, limit=100, size=1)] == [
        "large", "s0", "s1", "s2", "s3",
    ]  # fmt: skip


def test_a_group_is_filled_with_documents_far_behind(replica: Replica, settle: Settle) -> None:
    payloads = [{"g": "rare"}, *[{"g": "often"}] * 500, *[{"g": "rare"}] * 3]
    write(replica, payloads)
    settle(replica)
    assert groups(replica, size=3) == [("rare", [0, 501, 502]), ("often", [1, 2, 3])]


def test_an_array_puts_its_document_into_several_groups(replica: Replica, settle: Settle) -> None:
    write(
        replica, [{"g": ["b", "a", "b"]}, {"g": "b"}, {"g": []}, {"g": None}, None, {"g": [["c"]]}]
    )
    settle(replica)
    assert groups(replica) == [("a", [0]), ("b", [0, 1])]
    assert groups(replica, limit=1) == [("a", [0])]
    assert groups(replica, key="g[]", limit=1) == [("a", [0])]


def test_an_element_of_a_known_group_hides_no_other_one(replica: Replica) -> None:
    write(replica, [*[{"g": "x"}] * 20, {"g": ["x", "new"]}, {"g": ["new", "newer"]}])
    assert groups(replica, limit=3, size=2) == [("x", [0, 1]), ("new", [20, 21]), ("newer", [21])]


def test_equal_numbers_are_one_group_and_booleans_another(replica: Replica, settle: Settle) -> None:
    write(replica, [{"g": g} for g in (1, True, 1.0, "1", 0, False, True, 0.0)])
    settle(replica)
    found = groups(replica)
    assert found == [(1, [0, 2]), (True, [1, 6]), ("1", [3]), (0, [4, 7]), (False, [5])]
    assert [isinstance(value, bool) for value, _ in found] == [False, True, False, False, True]


def test_only_the_wanted_values_are_grouped(replica: Replica, settle: Settle) -> None:
    write(replica, [{"g": [n % 5, f"s{n % 7}"]} for n in range(70)])
    settle(replica)
    assert groups(replica, values=[3, 1.0, "s6", "none"], size=2) == [
        (1, [1, 6]), (3, [3, 8]), ("s6", [6, 13]),
    ]  # fmt: skip
    assert groups(replica, values=[3, 3.0, 1], limit=1, size=1) == [(1, [1])]
    assert groups(replica, values=[True, 99]) == []
    assert groups(replica, values=[]) == []


def test_only_what_passes_and_is_visible_is_grouped(replica: Replica, settle: Settle) -> None:
    write(replica, [{"g": "ab"[n % 2], "n": n, "team": "xyz"[n % 3]} for n in range(100)])
    settle(replica)
    late = Filter((Range("n", gte=50),))
    assert groups(replica, filter=late, size=2) == [("a", [50, 52]), ("b", [51, 53])]
    theirs = RowFilter(only("team", "x"))
    assert groups(replica, filter=late, size=2, visible=theirs) == [
        ("b", [51, 57]), ("a", [54, 60]),
    ]  # fmt: skip


def test_groups_go_over_all_segments(replica: Replica) -> None:
    for part in range(4):
        write(replica, [{"g": (part + n) % 6} for n in range(10)], first=10 * part)
        seal(replica) if part % 2 else replica.freeze()
    write(replica, [{"g": 99}], first=7)
    wanted: dict[int, list[int]] = {}
    for number in range(40):
        value = 99 if number == 7 else (number // 10 + number % 10) % 6
        wanted.setdefault(value, []).append(number)
    assert groups(replica, size=3) == [(value, found[:3]) for value, found in wanted.items()]


def test_hits_hold_only_what_was_asked_for(replica: Replica) -> None:
    write(replica, [{"g": 1}])
    query = VectorQuery(ORIGIN, with_payload=False, with_vector=True)
    ((group,)) = search_groups(replica.view(), GroupQuery(query, "g"), ALL)
    (hit,) = group.hits
    assert (hit.payload, hit.score) == (None, 0.0)
    assert hit.vector is not None


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1001}),
        ("size", {"size": 0}),
        ("size", {"size": 101}),
        ("key", {"key": ""}),
        ("values[1]", {"values": ["x", None]}),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(
    replica: Replica, field: str, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        groups(replica, **change)
    assert caught.value.fields["field"] == field


def test_what_is_wrong_with_the_query_that_is_grouped_is_refused(replica: Replica) -> None:
    query = GroupQuery(VectorQuery(ORIGIN, ef=0), "g")
    with pytest.raises(InvalidArgument, match="ef"):
        search_groups(replica.view(), query, ALL)


def test_the_limit_offset_and_threshold_of_the_grouped_query_are_not_looked_at(
    replica: Replica,
) -> None:
    write(replica, [{"g": n % 2} for n in range(10)])
    query = VectorQuery(ORIGIN, limit=0, offset=3, score_threshold=0.0)
    found = search_groups(replica.view(), GroupQuery(query, "g", size=2), ALL)
    assert [[hit.id for hit in group.hits] for group in found] == [
        ["0000", "0002"], ["0001", "0003"],
    ]  # fmt: skip


def test_texts_are_grouped_by_how_well_they_fit(replica: Replica, settle: Settle) -> None:
    # The texts of these documents are "text 0 of" and their ids.
    write(replica, [{"g": "ab"[n % 2]} for n in range(30)])
    settle(replica)
    query = GroupQuery(TextQuery("0007 text"), "g", size=2)
    first, second = search_groups(replica.view(), query, ALL)
    assert (first.value, [hit.id for hit in first.hits]) == ("b", ["0007", "0001"])
    assert (second.value, [hit.id for hit in second.hits]) == ("a", ["0000", "0002"])
    assert first.hits[0].score > first.hits[1].score == second.hits[0].score
