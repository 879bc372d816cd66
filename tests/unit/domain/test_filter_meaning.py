"""What each condition says of one document."""

from typing import Any

import pytest

from akidb_ray.domain.filter import (
    EVERYTHING,
    Clause,
    DateRange,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    HasId,
    IsNull,
    Match,
    MatchExcept,
    MatchText,
    Range,
    ValuesCount,
)
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.flattening import flatten

DOCUMENT: dict[str, Any] = {
    "word": "blue",
    "whole": 3,
    "broken": 2.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "tags": ["x", 3, True, None, "y"],
    "empty": [],
    "nulls": [None],
    "place": {"city": "Rome", "at": {"lat": 41.9, "lon": 12.5}},
    "bare": {},
    "items": [{"name": "pen", "price": 1}, {"name": "ink", "prices": [5, 7]}, 8],
    "grid": [[1, 2], [3]],
    "huge": 2**63 + 1,
    "text": "The Quick brown fox, the lazy dog's",
    "texts": ["red fish", "blue whale"],
    "day": "2020-01-31",
    "moments": ["soon", "2020-01-31T12:00:00+02:00", 5],
    "stops": [{"lon": 179, "lat": 0}, {"lon": -179, "lat": 10}],
}
FLAT = flatten(DOCUMENT)
SCALAR_KEYS = ["word", "whole", "broken", "yes", "no", "tags", "place.city", "items", "huge"]
NO_SCALAR_KEYS = ["nothing", "nulls", "empty", "place", "place.at", "bare", "grid", "stops", "none"]


def _holds(clause: Clause, document: dict[str, Any] = DOCUMENT) -> bool:
    return passes(Filter((clause,)), flatten(document), "d1")


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
        ("place.at.lat", 41.9),
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
        ("word", "blu"),
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
        ("place", "object"),
        ("grid", "array"),
        ("empty", "empty"),
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
    assert not any(_holds(Match(key, ())) for key in FLAT)


@pytest.mark.parametrize(
    ("key", "values", "holds"),
    [
        ("word", ("red",), True),
        ("word", ("red", "blue"), False),
        ("whole", (3.0,), False),
        ("whole", ("3", True), True),
        ("yes", (1,), True),
        ("yes", (True,), False),
        ("tags", ("x", 3, True), True),
        ("tags", ("x", 3, True, "y"), False),
        ("items", (8,), False),
        ("items", (9,), True),
    ],
)
def test_except_wants_another_value(key: str, values: tuple[Any, ...], holds: bool) -> None:
    assert _holds(MatchExcept(key, values)) is holds


@pytest.mark.parametrize("key", SCALAR_KEYS)
def test_except_nothing_wants_any_value(key: str) -> None:
    assert _holds(MatchExcept(key, ()))


@pytest.mark.parametrize("key", NO_SCALAR_KEYS)
def test_except_wants_a_value_to_be_there(key: str) -> None:
    assert not _holds(MatchExcept(key, ("x",)))
    assert not _holds(MatchExcept(key, ()))


@pytest.mark.parametrize(
    ("key", "words", "phrase", "holds"),
    [
        ("text", ("fox", "quick"), False, True),
        ("text", ("fox", "fox"), False, True),
        ("text", ("fox", "cat"), False, False),
        ("text", ("dog",), False, False),
        ("text", ("dog's",), False, True),
        ("text", ("fo",), False, False),
        ("text", ("quick", "brown", "fox"), True, True),
        ("text", ("fox", "the", "lazy"), True, True),
        ("text", ("fox", "quick"), True, False),
        ("text", ("quick", "fox"), True, False),
        ("text", ("lazy", "dog's", "bed"), True, False),
        ("texts", ("blue",), False, True),
        ("texts", ("red", "whale"), False, False),
        ("texts", ("fish", "blue"), True, False),
        ("whole", ("3",), False, False),
        ("yes", ("true",), False, False),
        ("missing", ("blue",), False, False),
    ],
)
def test_text_has_words(key: str, words: tuple[str, ...], phrase: bool, holds: bool) -> None:
    assert _holds(MatchText(key, words, phrase)) is holds


@pytest.mark.parametrize("phrase", [False, True])
def test_no_words_match_no_text(phrase: bool) -> None:
    assert not _holds(MatchText("text", (), phrase))
    assert not _holds(MatchText("a", (), phrase), {"a": ""})


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


@pytest.mark.parametrize("key", ["yes", "word", "day", *NO_SCALAR_KEYS])
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


MIDNIGHT = 1_580_428_800_000_000  # 2020-01-31 in UTC
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (DateRange("day", gte=MIDNIGHT, lte=MIDNIGHT), True),
        (DateRange("day", gt=MIDNIGHT), False),
        (DateRange("day", lt=MIDNIGHT), False),
        (DateRange("day", gt=MIDNIGHT - 1, lt=MIDNIGHT + 1), True),
        (DateRange("moments", gte=MIDNIGHT + 10 * HOUR, lte=MIDNIGHT + 10 * HOUR), True),
        (DateRange("moments", lt=MIDNIGHT + 10 * HOUR), False),
        (DateRange("word", gt=0), False),
        (DateRange("whole", gt=0), False),
        (DateRange("nothing", gt=0), False),
        (DateRange("missing", gt=0), False),
    ],
)
def test_dates_in_strings_are_within_a_range(condition: DateRange, holds: bool) -> None:
    assert _holds(condition) is holds


@pytest.mark.parametrize("key", list(FLAT))
def test_whatever_is_there_exists(key: str) -> None:
    assert _holds(Exists(key))
    assert not _holds(Exists(key, wanted=False))


@pytest.mark.parametrize("key", ["missing", "place.street", "items[].size", "grid[][]"])
def test_what_is_missing_does_not_exist_and_is_null(key: str) -> None:
    assert not _holds(Exists(key))
    assert _holds(Exists(key, wanted=False))
    assert _holds(IsNull(key))
    assert not _holds(IsNull(key, wanted=False))


@pytest.mark.parametrize(
    ("key", "null"),
    [
        ("nothing", True),
        ("nulls", True),
        ("tags", True),
        ("word", False),
        ("no", False),
        ("empty", False),
        ("bare", False),
        ("grid", False),
    ],
)
def test_null_is_null_also_among_others(key: str, null: bool) -> None:
    assert _holds(IsNull(key)) is null
    assert _holds(IsNull(key, wanted=False)) is not null


@pytest.mark.parametrize(
    ("key", "count"),
    [
        ("word", 1),
        ("nothing", 1),
        ("nulls", 1),
        ("tags", 5),
        ("empty", 0),
        ("bare", 1),
        ("place", 1),
        ("items", 3),
        ("items[].prices", 2),
        ("grid", 2),
        ("grid[]", 3),
    ],
)
def test_values_are_counted(key: str, count: int) -> None:
    assert _holds(ValuesCount(key, gte=count, lte=count))
    assert not _holds(ValuesCount(key, gt=count))
    assert not _holds(ValuesCount(key, lt=count))


def test_values_of_a_missing_key_are_not_counted() -> None:
    assert not _holds(ValuesCount("missing", gte=0))
    assert not _holds(ValuesCount("missing", lt=5))


@pytest.mark.parametrize(
    ("key", "lon", "lat", "radius_m", "holds"),
    [
        ("place.at", 12.5, 41.9, 0, True),
        ("place.at", 12.5, 42.9, 111_200, True),
        ("place.at", 12.5, 42.9, 111_100, False),
        ("stops", -179, 0, 223_000, True),
        ("stops", -179, 0, 222_000, False),
        ("place", 12.5, 41.9, 1e9, False),
        ("whole", 0, 0, 1e9, False),
        ("missing", 0, 0, 1e9, False),
    ],
)
def test_points_lie_in_a_radius(
    key: str, lon: float, lat: float, radius_m: float, holds: bool
) -> None:
    assert _holds(GeoRadius(key, lon, lat, radius_m)) is holds


@pytest.mark.parametrize(
    ("key", "top", "left", "bottom", "right", "holds"),
    [
        ("place.at", 42, 12, 41, 13, True),
        ("place.at", 41.9, 12.5, 41.9, 12.5, True),
        ("place.at", 42, 12.6, 41, 13, False),
        ("place.at", 41.8, 12, 41, 13, False),
        ("stops", 1, 178, -1, -178, True),
        ("stops", 11, 179.5, 9, -178, True),
        ("stops", 11, -178, -1, 178, False),
        ("stops", 11, 179.5, -1, -179.5, False),
        ("place.at", 42, 13, 41, 12, False),
        ("place", 90, -180, -90, 180, False),
        ("missing", 90, -180, -90, 180, False),
    ],
)
def test_points_lie_in_a_box(
    key: str, top: float, left: float, bottom: float, right: float, holds: bool
) -> None:
    assert _holds(GeoBox(key, top, left, bottom, right)) is holds


def test_documents_are_chosen_by_id() -> None:
    assert _holds(HasId(("d0", "d1")))
    assert not _holds(HasId(("d0",)))
    assert not _holds(HasId(()))


YES, NO = Exists("word"), Exists("missing")


@pytest.mark.parametrize(
    ("filter", "allowed"),
    [
        (EVERYTHING, True),
        (Filter(must=(YES, YES)), True),
        (Filter(must=(YES, NO)), False),
        (Filter(should=(NO, YES)), True),
        (Filter(should=(NO, NO)), False),
        (Filter(must_not=(NO,)), True),
        (Filter(must_not=(NO, YES)), False),
        (Filter((YES,), (YES,), (NO,)), True),
        (Filter((YES,), (NO,), (NO,)), False),
        (Filter((NO,), (YES,)), False),
        (Filter((YES,), (YES,), (YES,)), False),
        (Filter(must=(Filter(should=(NO, YES)), Filter(must_not=(NO,)))), True),
        (Filter(must_not=(Filter(must=(YES, NO)),)), True),
        (Filter(must_not=(EVERYTHING,)), False),
        (Filter(should=(NO, EVERYTHING)), True),
        (Filter(must=(YES,)) & Filter(should=(NO,)), False),
        (Filter(must=(YES,)) & Filter(should=(YES,)), True),
    ],
)
def test_clauses_are_combined(filter: Filter, allowed: bool) -> None:
    assert passes(filter, FLAT, "d1") is allowed


@pytest.mark.parametrize(
    "condition",
    [
        Match("a", ("x",)),
        MatchExcept("a", ("x",)),
        MatchText("a", ("x",)),
        Range("a", gt=0),
        DateRange("a", gt=0),
        ValuesCount("a", gt=0),
        GeoRadius("a", 0, 0, 1),
        GeoBox("a", 1, 0, 0, 1),
    ],
)
def test_must_not_lets_documents_without_the_key_pass(condition: Clause) -> None:
    assert not passes(Filter(must=(condition,)), {}, "d1")
    assert passes(Filter(must_not=(condition,)), {}, "d1")
