from typing import Any

import pytest

from akidb_ray.domain.filter import EVERYTHING, Filter, Match, Range, flatten, passes

DOCUMENT = {
    "word": "blue",
    "whole": 3,
    "broken": 2.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "tags": ["x", 3, True, None, "y"],
    "empty": [],
    "place": {"city": "Rome", "at": {"lat": 41.9}},
    "items": [{"name": "pen", "price": 1}, {"name": "ink", "prices": [5, 7]}, 8],
    "grid": [[1, 2], [3]],
    "huge": 2**63 + 1,
}


def _holds(condition: Match | Range, document: dict[str, Any] = DOCUMENT) -> bool:
    return passes(Filter((condition,)), flatten(document))


def test_flattening_opens_objects_and_arrays() -> None:
    assert flatten(DOCUMENT) == {
        "word": ["blue"],
        "whole": [3],
        "broken": [2.5],
        "yes": [True],
        "no": [False],
        "tags": ["x", 3, True, "y"],
        "place.city": ["Rome"],
        "place.at.lat": [41.9],
        "items[].name": ["pen", "ink"],
        "items[].price": [1],
        "items[].prices": [5, 7],
        "items": [8],
        "grid[]": [1, 2, 3],
        "huge": [2**63 + 1],
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("word", "blue"),
        ("whole", 3),
        ("whole", 3.0),
        ("broken", 2.5),
        ("yes", True),
        ("no", False),
        ("tags", "y"),
        ("tags", 3.0),
        ("tags", True),
        ("place.city", "Rome"),
        ("items[].name", "ink"),
        ("items[].prices", 7),
        ("items", 8),
        ("grid[]", 3),
        ("huge", 2**63 + 1),
    ],
)
def test_value_matches(key: str, value: Any) -> None:
    assert _holds(Match(key, (value,)))
    assert _holds(Match(key, ("something else", -1, value)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("word", "Blue"),
        ("whole", "3"),
        ("whole", True),
        ("yes", 1),
        ("yes", 1.0),
        ("yes", "true"),
        ("no", 0),
        ("no", ""),
        ("nothing", "null"),
        ("nothing", False),
        ("tags", False),
        ("tags", 1),
        ("empty", "x"),
        ("missing", "x"),
        ("place", "Rome"),
        ("city", "Rome"),
        ("items.name", "pen"),
        ("grid", 1),
        ("huge", 2**63),
        ("huge", float(2**63)),
    ],
)
def test_value_does_not_match(key: str, value: Any) -> None:
    assert not _holds(Match(key, (value,)))


def test_match_of_no_values_matches_nothing() -> None:
    assert not _holds(Match("word", ()))


@pytest.mark.parametrize(
    ("bounds", "inside"),
    [
        ({"gt": 2}, True),
        ({"gt": 3}, False),
        ({"gte": 3}, True),
        ({"gte": 3.1}, False),
        ({"lt": 3}, False),
        ({"lt": 3.1}, True),
        ({"lte": 3}, True),
        ({"gt": 2, "lt": 4}, True),
        ({"gt": 4, "lt": 2}, False),
        ({"gt": float("-inf"), "lt": float("inf")}, True),
    ],
)
def test_range_compares_by_value(bounds: dict[str, float], inside: bool) -> None:
    assert _holds(Range("whole", **bounds)) is inside


@pytest.mark.parametrize("key", ["yes", "word", "nothing", "missing", "empty"])
def test_only_numbers_are_in_a_range(key: str) -> None:
    assert not _holds(Range(key, gte=-10))
    assert not _holds(Range(key, lte=10))


def test_one_element_must_meet_all_bounds_of_a_range() -> None:
    assert not _holds(Range("items[].prices", gt=5, lt=7))
    assert _holds(Range("items[].prices", gte=5, lt=7))


def test_whole_numbers_and_floats_compare_exactly() -> None:
    beyond = {"n": 2**53 + 1}
    assert not _holds(Match("n", (float(2**53),)), beyond)
    assert _holds(Range("n", gt=float(2**53)), beyond)


def test_all_conditions_must_hold() -> None:
    flat = flatten(DOCUMENT)
    assert passes(Filter((Match("word", ("blue",)), Range("whole", gt=2))), flat)
    assert not passes(Filter((Match("word", ("blue",)), Range("whole", gt=3))), flat)
    assert passes(EVERYTHING, flat)
    assert passes(EVERYTHING, {})
