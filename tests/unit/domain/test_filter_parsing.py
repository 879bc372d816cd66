from typing import Any

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import (
    EVERYTHING,
    MAX_ANY_VALUES,
    MAX_CONDITIONS,
    Filter,
    Match,
    Range,
    parse_filter,
)

NAN = float("nan")
ONE = {"key": "a", "match": {"value": 1}}


def test_all_conditions_are_understood() -> None:
    raw = {
        "must": [
            {"key": "a.b", "match": {"value": "x"}},
            {"key": "tags[]", "match": {"any": [1, 2.5, True, "y"]}},
            {"key": "items[].price", "range": {"gte": 1, "lt": 2.5}},
        ]
    }
    assert parse_filter(raw) == Filter(
        (
            Match("a.b", ("x",)),
            Match("tags", (1, 2.5, True, "y")),
            Range("items[].price", gte=1, lt=2.5),
        )
    )


@pytest.mark.parametrize("raw", [None, {}, {"must": []}])
def test_empty_filter_allows_everything(raw: Any) -> None:
    assert parse_filter(raw) == EVERYTHING


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("x", "filter"),
        ([], "filter"),
        ({"should": []}, "filter.should"),
        ({"must": {}}, "filter.must"),
        ({"must": [ONE] * (MAX_CONDITIONS + 1)}, "filter.must"),
        ({"must": [ONE, "x"]}, "filter.must[1]"),
        ({"must": [{**ONE, "boost": 2}]}, "filter.must[0].boost"),
        ({"must": [{"match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": "", "match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": "[]", "match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": 5, "match": {"value": 1}}]}, "filter.must[0].key"),
        ({"must": [{"key": "a"}]}, "filter.must[0]"),
        ({"must": [{**ONE, "range": {"gt": 1}}]}, "filter.must[0]"),
    ],
)
def test_wrong_filter_is_refused_and_the_part_named(raw: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_filter(raw)
    assert refused.value.fields["field"] == field


@pytest.mark.parametrize(
    ("match", "field"),
    [
        (1, ""),
        ({}, ""),
        ({"value": 1, "any": [1]}, ""),
        ({"text": "x"}, ".text"),
        ({"value": None}, ".value"),
        ({"value": [1]}, ".value"),
        ({"value": {"x": 1}}, ".value"),
        ({"value": NAN}, ".value"),
        ({"any": 1}, ".any"),
        ({"any": [1, None]}, ".any"),
        ({"any": [1, NAN]}, ".any"),
        ({"any": [1] * (MAX_ANY_VALUES + 1)}, ".any"),
    ],
)
def test_wrong_match_is_refused_and_the_part_named(match: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_filter({"must": [ONE, {"key": "a", "match": match}]}, "where")
    assert refused.value.fields["field"] == f"where.must[1].match{field}"


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
    ],
)
def test_wrong_range_is_refused_and_the_part_named(bounds: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_filter({"must": [{"key": "a", "range": bounds}]})
    assert refused.value.fields["field"] == f"filter.must[0].range{field}"


def test_filters_add_up() -> None:
    both = Filter((Match("a", (1,)),)) & Filter((Range("b", gt=2),))
    assert both == Filter((Match("a", (1,)), Range("b", gt=2)))
    assert EVERYTHING & both == both
