from typing import Any

import pytest

from akidb_ray.domain.errors import InvalidArgument
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
from akidb_ray.domain.filter_operands import MAX_ANY_VALUES, MAX_CONDITIONS, MAX_FILTER_DEPTH
from akidb_ray.domain.filter_parsing import parse_filter

NAN, INFINITY = float("nan"), float("inf")
ONE = {"key": "a", "match": {"value": 1}}
A_IS_1 = Match("a", (1,))
ROME = {"lon": 12.5, "lat": 41.9}
SUVA = {"lon": 178.4, "lat": -18.1}


def refused_at(raw: Any, field: str = "filter") -> str:
    """The field that an error names. Its text must be fit to print."""
    with pytest.raises(InvalidArgument) as refused:
        parse_filter(raw, field)
    assert len(refused.value.detail) < 1000
    return str(refused.value.fields["field"])


@pytest.mark.parametrize(
    ("raw", "condition"),
    [
        ({"key": "a.b", "match": {"value": "x"}}, Match("a.b", ("x",))),
        ({"key": "a", "match": {"value": False}}, Match("a", (False,))),
        ({"key": "t[]", "match": {"any": [1, 2.5, True, "y"]}}, Match("t", (1, 2.5, True, "y"))),
        ({"key": "t", "match": {"any": []}}, Match("t", ())),
        ({"key": "t", "match": {"except": ["x", 1]}}, MatchExcept("t", ("x", 1))),
        ({"key": "t", "match": {"text": "Big  RED, fox"}}, MatchText("t", ("big", "red", "fox"))),
        ({"key": "t", "match": {"phrase": "red fox"}}, MatchText("t", ("red", "fox"), phrase=True)),
        ({"key": "t", "match": {"text": "?!"}}, MatchText("t", ())),
        ({"key": "i[].p", "range": {"gte": 1, "lt": 2.5}}, Range("i[].p", gte=1, lt=2.5)),
        ({"key": "n", "range": {"gt": -INFINITY}}, Range("n", gt=-INFINITY)),
        (
            {"key": "d", "range": {"gt": "1970-01-01T00:00:01Z", "lte": "1970-01-02"}},
            DateRange("d", gt=1_000_000, lte=86_400_000_000),
        ),
        ({"key": "a", "is_null": True}, IsNull("a")),
        ({"key": "a", "is_null": False}, IsNull("a", wanted=False)),
        ({"is_null": {"key": "a[]"}}, IsNull("a")),
        ({"key": "a", "exists": True}, Exists("a")),
        ({"key": "a", "exists": False}, Exists("a", wanted=False)),
        ({"key": "a", "values_count": {"gte": 1, "lt": 3}}, ValuesCount("a", gte=1, lt=3)),
        (
            {"key": "at", "geo_radius": {"center": ROME, "radius": 5}},
            GeoRadius("at", 12.5, 41.9, 5.0),
        ),
        (
            {"key": "at", "geo_box": {"top_left": ROME, "bottom_right": SUVA}},
            GeoBox("at", 41.9, 12.5, -18.1, 178.4),
        ),
        (
            {"key": "at", "geo_bounding_box": {"top_left": ROME, "bottom_right": SUVA}},
            GeoBox("at", 41.9, 12.5, -18.1, 178.4),
        ),
        ({"has_id": ["x", "y"]}, HasId(("x", "y"))),
        ({"has_id": []}, HasId(())),
    ],
)
def test_each_condition_is_understood(raw: Any, condition: Clause) -> None:
    assert parse_filter({"must": [raw]}) == Filter(must=(condition,))
    assert parse_filter({"should": [raw, ONE]}) == Filter(should=(condition, A_IS_1))
    assert parse_filter({"must_not": raw}) == Filter(must_not=(condition,))
    hash(condition)


def test_box_over_180_degrees_is_understood() -> None:
    box = {"top_left": {"lon": 170, "lat": 1}, "bottom_right": {"lon": -170, "lat": 1}}
    assert parse_filter({"must": {"key": "a", "geo_box": box}}).must == (
        GeoBox("a", 1, 170, 1, -170),
    )


@pytest.mark.parametrize(
    "raw", [None, {}, {"must": []}, {"must": [], "should": [], "must_not": []}]
)
def test_empty_filter_allows_everything(raw: Any) -> None:
    assert parse_filter(raw) == EVERYTHING


def test_filters_nest() -> None:
    raw = {
        "must": [ONE, {"should": [{"key": "b", "exists": True}, {"must_not": [ONE]}]}],
        "must_not": [{"must": [ONE, {"key": "c", "is_null": True}]}],
    }
    assert parse_filter(raw) == Filter(
        must=(A_IS_1, Filter(should=(Exists("b"), Filter(must_not=(A_IS_1,))))),
        must_not=(Filter(must=(A_IS_1, IsNull("c"))),),
    )


def test_needless_nesting_is_dissolved() -> None:
    assert parse_filter({"must": [{"must": [ONE]}, {"must": []}]}) == Filter(must=(A_IS_1,))
    assert parse_filter({"must": {"should": [ONE]}}) == Filter(should=(A_IS_1,))
    assert parse_filter({"must": [{"must": [{"should": []}]}]}).is_everything


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("x", "filter"),
        (5, "filter"),
        ([], "filter"),
        ([ONE], "filter"),
        ({1: 2}, "filter"),
        (ONE, "filter"),
        ({"key": "a", "is_null": True}, "filter"),
        ({"must": [], "shuld": []}, "filter.shuld"),
        ({"must": "x"}, "filter.must"),
        ({"must": None}, "filter.must"),
        ({"must": {}}, "filter.must.key"),
        ({"must": [ONE] * (MAX_CONDITIONS + 1)}, "filter.must"),
        ({"must": [ONE, "x"]}, "filter.must[1]"),
        ({"must": [ONE, {}]}, "filter.must[1].key"),
        ({"must": [[ONE]]}, "filter.must[0]"),
        ({"must": [{**ONE, "boost": 2}]}, "filter.must[0].boost"),
        ({"must": [{"match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": "", "match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": "[]", "match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": 5, "match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": "a"}]}, "filter.must[0]"),
        ({"must": [{**ONE, "range": {"gt": 1}}]}, "filter.must[0]"),
        ({"must": [{**ONE, "must": []}]}, "filter.must[0].key"),
        ({"should": [ONE, {"must": {"must_not": {"key": "a"}}}]}, "filter.should[1].must.must_not"),
        ({"must": [{"key": "a", "is_null": "yes"}]}, "filter.must[0].is_null"),
        ({"must": [{"key": "a", "is_null": {"key": "a"}}]}, "filter.must[0].is_null"),
        ({"must": [{"is_null": {"key": ""}}]}, "filter.must[0].is_null.key"),
        ({"must": [{"is_null": {"path": "a"}}]}, "filter.must[0].is_null.path"),
        ({"must": [{"is_null": True}]}, "filter.must[0].key"),
        ({"must": [{"key": "a", "exists": 1}]}, "filter.must[0].exists"),
        ({"must": [{"has_id": "x"}]}, "filter.must[0].has_id"),
        ({"must": [{"has_id": ["x", 5]}]}, "filter.must[0].has_id[1]"),
        ({"must": [{"has_id": [""]}]}, "filter.must[0].has_id[0]"),
        ({"must": [{"has_id": ["\ud800"]}]}, "filter.must[0].has_id[0]"),
        ({"must": [{"has_id": ["x"], "key": "a"}]}, "filter.must[0].key"),
        ({"must": [{"has_id": ["x"] * (MAX_ANY_VALUES + 1)}]}, "filter.must[0].has_id"),
    ],
)  # fmt: skip
def test_wrong_filter_is_refused_and_the_part_named(raw: Any, field: str) -> None:
    assert refused_at(raw) == field


def _refused_in_condition(kind: str, operand: Any) -> str:
    """The part of a condition's operand that an error names."""
    named = refused_at({"must": [ONE, {"key": "a", kind: operand}]}, "where")
    start = f"where.must[1].{kind}"
    assert named.startswith(start)
    return named.removeprefix(start)


@pytest.mark.parametrize(
    ("match", "field"),
    [
        (1, ""),
        ({}, ""),
        ({"value": 1, "any": [1]}, ""),
        ({"txt": "x"}, ".txt"),
        ({"value": None}, ".value"),
        ({"value": [1]}, ".value"),
        ({"value": {"x": 1}}, ".value"),
        ({"value": NAN}, ".value"),
        ({"any": 1}, ".any"),
        ({"any": [1, None]}, ".any[1]"),
        ({"any": [1, NAN]}, ".any[1]"),
        ({"any": [1] * (MAX_ANY_VALUES + 1)}, ".any"),
        ({"except": "x"}, ".except"),
        ({"except": [[]]}, ".except[0]"),
        ({"except": [1] * (MAX_ANY_VALUES + 1)}, ".except"),
        ({"text": 5}, ".text"),
        ({"text": ["x"]}, ".text"),
        ({"phrase": None}, ".phrase"),
    ],
)
def test_wrong_match_is_refused_and_the_part_named(match: Any, field: str) -> None:
    assert _refused_in_condition("match", match) == field


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        (5, ""),
        ({}, ""),
        ({"from": 1}, ".from"),
        ({"gt": "1"}, ".gt"),
        ({"gt": True}, ".gt"),
        ({"gt": 1, "lte": None}, ".lte"),
        ({"lt": NAN}, ".lt"),
        ({"gt": "2020-02-30"}, ".gt"),
        ({"gt": "20200131"}, ".gt"),
        ({"gt": "2020-01-31", "lt": 5}, ""),
        ({"gt": 5, "lt": "2020-01-31"}, ""),
        ({"gt": "2020-01-31", "lt": "tomorrow"}, ".lt"),
    ],
)
def test_wrong_range_is_refused_and_the_part_named(bounds: Any, field: str) -> None:
    assert _refused_in_condition("range", bounds) == field


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        (2, ""),
        ({}, ""),
        ({"eq": 1}, ".eq"),
        ({"gt": 1.5}, ".gt"),
        ({"gt": True}, ".gt"),
        ({"gt": 1, "lt": -1}, ".lt"),
        ({"gte": "1970-01-01"}, ".gte"),
    ],
)
def test_wrong_count_is_refused_and_the_part_named(bounds: Any, field: str) -> None:
    assert _refused_in_condition("values_count", bounds) == field


@pytest.mark.parametrize(
    ("operand", "field"),
    [
        (5, ""),
        ({}, ".center"),
        ({"center": ROME}, ".radius"),
        ({"center": ROME, "radius": 5, "unit": "km"}, ".unit"),
        ({"center": ROME, "radius": -1}, ".radius"),
        ({"center": ROME, "radius": NAN}, ".radius"),
        ({"center": ROME, "radius": INFINITY}, ".radius"),
        ({"center": ROME, "radius": 10**400}, ".radius"),
        ({"center": ROME, "radius": True}, ".radius"),
        ({"center": ROME, "radius": "5 km"}, ".radius"),
        ({"center": [12.5, 41.9], "radius": 5}, ".center"),
        ({"center": {"lon": 1}, "radius": 5}, ".center.lat"),
        ({"center": {**ROME, "alt": 0}, "radius": 5}, ".center.alt"),
        ({"center": {"lon": 180.1, "lat": 0}, "radius": 5}, ".center.lon"),
        ({"center": {"lon": 0, "lat": -90.1}, "radius": 5}, ".center.lat"),
        ({"center": {"lon": NAN, "lat": 0}, "radius": 5}, ".center.lon"),
        ({"center": {"lon": -INFINITY, "lat": 0}, "radius": 5}, ".center.lon"),
        ({"center": {"lon": "1", "lat": 0}, "radius": 5}, ".center.lon"),
    ],
)
def test_wrong_radius_is_refused_and_the_part_named(operand: Any, field: str) -> None:
    assert _refused_in_condition("geo_radius", operand) == field


@pytest.mark.parametrize("kind", ["geo_box", "geo_bounding_box"])
@pytest.mark.parametrize(
    ("operand", "field"),
    [
        (None, ""),
        ({"top_left": ROME}, ".bottom_right"),
        ({"top_left": ROME, "bottom_right": SUVA, "top_right": ROME}, ".top_right"),
        ({"top_left": SUVA, "bottom_right": ROME}, ".top_left.lat"),
        ({"top_left": ROME, "bottom_right": {"lon": 0, "lat": 91}}, ".bottom_right.lat"),
    ],
)
def test_wrong_box_is_refused_and_the_part_named(kind: str, operand: Any, field: str) -> None:
    assert _refused_in_condition(kind, operand) == field


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"must": [{"key": "a", "mach": 1}]}, "known here: exists, geo_bounding_box, geo_box,"),
        ({"must": [{"key": "a", "match": {"is": 1}}]}, "any, except, phrase, text, value"),
        ({"must": [{"key": "a", "range": {"min": 1}}]}, "gt, gte, lt, lte"),
        ({"must": [], "and": []}, "must, must_not, should"),
        ({"must": [{"key": "a", "exists": "ja"}]}, "must be true or false, is 'ja'"),
        ({"must": [{"key": "a", "match": {"value": None}}]}, "is_null"),
        ({"must": [{"key": "a", "range": {"gt": "new"}}]}, "2020-01-31T12:00:00Z"),
        ({"must": [{"key": "a", "match": {"any": "x" * 10_000}}]}, "must be a list, is 'xxx"),
        (ONE, '{"must": [...]}'),
        ({"must": [{"key": "n", "match": {"value": 1}, "exists": True}]}, "has match, exists"),
    ],
)
def test_error_tells_the_value_and_the_fix(raw: Any, said: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_filter(raw)
    assert said in refused.value.detail
    assert len(refused.value.detail) < 500


def _nested(depth: int) -> dict[str, Any]:
    raw: dict[str, Any] = {"should": [ONE]}
    for _ in range(depth - 1):
        raw = {"must_not": [ONE, raw]}
    return raw


def test_depth_is_limited() -> None:
    parse_filter(_nested(MAX_FILTER_DEPTH))
    deepest = "filter" + ".must_not[1]" * MAX_FILTER_DEPTH
    assert refused_at(_nested(MAX_FILTER_DEPTH + 1)) == deepest
    assert refused_at(_nested(400)) == deepest


def test_conditions_are_limited_over_the_whole_tree() -> None:
    half = {"should": [ONE] * (MAX_CONDITIONS // 2)}
    parse_filter({"must": [half, half]})
    assert refused_at({"must": [half, half, ONE]}) == "filter"


def test_most_values_are_allowed() -> None:
    many = list(range(MAX_ANY_VALUES))
    assert parse_filter({"must": {"key": "a", "match": {"any": many}}}).must == (
        Match("a", tuple(many)),
    )


def test_lone_surrogates_pass() -> None:
    raw = {"must": [{"key": "\ud800", "match": {"any": ["\ud800", "x\udfff"]}}]}
    assert parse_filter(raw) == Filter((Match("\ud800", ("\ud800", "x\udfff")),))


def test_filters_add_up() -> None:
    one, other = Filter((A_IS_1,)), Filter(should=(Range("b", gt=2),))
    assert one & other == Filter((one, other))
    assert EVERYTHING & one == one & EVERYTHING == one
    assert (EVERYTHING & EVERYTHING).is_everything
