"""Filters with `$` operators mean what their native form means."""

from typing import Any

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Exists, Filter, IsNull, Match, Range
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.filter_operands import MAX_ANY_VALUES, MAX_CONDITIONS, MAX_FILTER_DEPTH
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.flattening import flatten
from tests.unit.domain.test_filter_parsing import refused_at


def _match(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "match": {"value": value}}


def _range(**bounds: Any) -> dict[str, Any]:
    return {"key": "a", "range": bounds}


A, B, C = _match("a", 1), _match("b", "x"), _match("c", True)


@pytest.mark.parametrize(
    ("raw", "native"),
    [
        ({"genre": "drama"}, {"must": [_match("genre", "drama")]}),
        ({"a": 1, "b": "x"}, {"must": [A, B]}),
        ({"a.b": 2.5}, {"must": [_match("a.b", 2.5)]}),
        ({"tags[]": "x"}, {"must": [_match("tags", "x")]}),
        ({"a": None}, {"must": [{"key": "a", "is_null": True}]}),
        ({"a": {"$eq": 1}}, {"must": [A]}),
        ({"a": {"$eq": None}}, {"must": [{"key": "a", "is_null": True}]}),
        ({"a": {"$ne": 1}}, {"must_not": [A]}),
        ({"a": {"$ne": None}}, {"must_not": [{"key": "a", "is_null": True}]}),
        ({"a": {"$in": [1, "x"]}}, {"must": [{"key": "a", "match": {"any": [1, "x"]}}]}),
        ({"a": {"$in": []}}, {"must": [{"key": "a", "match": {"any": []}}]}),
        ({"a": {"$nin": [1, 2]}}, {"must_not": [{"key": "a", "match": {"any": [1, 2]}}]}),
        ({"a": {"$gt": 1}}, {"must": [_range(gt=1)]}),
        ({"a": {"$gte": 1, "$lt": 2.5}}, {"must": [_range(gte=1, lt=2.5)]}),
        ({"a": {"$lte": 1}}, {"must": [_range(lte=1)]}),
        (
            {"a": {"$gte": "2020-01-31", "$lt": "2020-02-01T00:00:00Z"}},
            {"must": [_range(gte="2020-01-31", lt="2020-02-01T00:00:00Z")]},
        ),
        ({"a": {"$exists": True}}, {"must": [{"key": "a", "exists": True}]}),
        ({"a": {"$exists": False}}, {"must": [{"key": "a", "exists": False}]}),
        ({"a": {"$contains": "Red fox"}}, {"must": [{"key": "a", "match": {"text": "Red fox"}}]}),
        ({"a": {"$not": {"$gt": 1}}}, {"must_not": [_range(gt=1)]}),
        ({"a": {"$not": {"$gt": 1, "$ne": 5}}}, {"must_not": [
            {"must": [_range(gt=1)], "must_not": [_match("a", 5)]}]}),
        ({"a": {"$gt": 1, "$ne": 5}}, {"must": [_range(gt=1)], "must_not": [_match("a", 5)]}),
        ({"$and": [{"a": 1}, {"b": "x"}]}, {"must": [A, B]}),
        ({"$and": [{"a": 1}, {"$and": [{"b": "x"}, {"c": True}]}]}, {"must": [A, B, C]}),
        ({"$or": [{"a": 1}, {"b": "x"}]}, {"should": [A, B]}),
        ({"$or": [{"a": 1, "b": "x"}, {"c": True}]}, {"should": [{"must": [A, B]}, C]}),
        ({"$nor": [{"a": 1}, {"b": "x"}]}, {"must_not": [A, B]}),
        ({"$not": {"a": 1}}, {"must_not": [A]}),
        ({"$not": {"a": 1, "b": "x"}}, {"must_not": [{"must": [A, B]}]}),
        ({"c": True, "$or": [{"a": 1}, {"b": "x"}]}, {"must": [C, {"should": [A, B]}]}),
        ({"$and": [{"$or": [{"a": 1}, {"b": "x"}]}, {"$or": [{"b": "x"}, {"c": True}]}]},
         {"must": [{"should": [A, B]}, {"should": [B, C]}]}),
    ],
)  # fmt: skip
def test_operators_are_translated(raw: Any, native: Any) -> None:
    assert parse_filter(raw) == parse_filter(native)


def test_translation_does_not_nest_needlessly() -> None:
    raw = {"$and": [{"year": {"$gte": 1990, "$lt": 2000}}, {"$and": [{"genre": "drama"}]}]}
    assert parse_filter(raw) == Filter(
        (Range("year", gte=1990, lt=2000), Match("genre", ("drama",)))
    )
    assert parse_filter({"a": None, "b": {"$exists": True}}) == Filter((IsNull("a"), Exists("b")))


@pytest.mark.parametrize("raw", [{"a": {"$ne": 1}}, {"a": {"$nin": [1, 2]}}, {"$not": {"a": 1}}])
def test_complements_let_documents_without_the_field_pass(raw: Any) -> None:
    filter = parse_filter(raw)
    assert passes(filter, flatten({}), "d")
    assert passes(filter, flatten({"a": 3}), "d")
    assert not passes(filter, flatten({"a": [3, 1]}), "d")


def test_fields_may_have_the_names_of_conditions() -> None:
    assert parse_filter({"key": "x", "text": "y"}) == Filter(
        (Match("key", ("x",)), Match("text", ("y",)))
    )


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"must": [], "$and": [{"a": 1}]}, "filter"),
        ({"should": [{"$or": [{"a": 1}]}]}, "filter.should[0]"),
        ({"must": [{"key": "a", "$gt": 1}]}, "filter.must[0]"),
        ({"$and": [{"a": 1}, {"must": []}]}, "filter.$and[1]"),
        ({"$not": {"should": []}}, "filter.$not"),
    ],
)
def test_mixing_the_two_dialects_is_refused(raw: Any, field: str) -> None:
    assert refused_at(raw) == field
    with pytest.raises(InvalidArgument, match="mixes the two ways"):
        parse_filter(raw)


@pytest.mark.parametrize("raw", [{"shoud": []}, {"shoud": [{"key": "a", "exists": True}]}])
def test_list_as_a_value_is_refused_and_both_possibilities_named(raw: Any) -> None:
    assert refused_at(raw) == "filter.shoud"
    with pytest.raises(InvalidArgument, match=r"must, must_not, should.*\$in"):
        parse_filter(raw)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"$xor": []}, "filter.$xor"),
        ({"$gt": 5}, "filter.$gt"),
        ({"$and": []}, "filter.$and"),
        ({"$and": {"a": 1}}, "filter.$and"),
        ({"$or": [{"a": 1}, "x"]}, "filter.$or[1]"),
        ({"$or": [{"a": 1}, {}]}, "filter.$or[1]"),
        ({"$nor": None}, "filter.$nor"),
        ({"$not": [{"a": 1}]}, "filter.$not"),
        ({"$not": {}}, "filter.$not"),
        ({"$and": [{"a": 1}] * (MAX_CONDITIONS + 1)}, "filter.$and"),
        ({"$or": [{"a": {"$gt": 1, "$ne": 2}}] * MAX_CONDITIONS}, "filter"),
        ({"": 1}, "filter."),
        ({"[]": 1}, "filter.[]"),
        ({"a": {}}, "filter.a"),
        ({"a": {"b": 1}}, "filter.a.b"),
        ({"a": {"$gt": 1, "b": 1}}, "filter.a.b"),
        ({"a": {"$regex": "x"}}, "filter.a.$regex"),
        ({"a": {1: 2}}, "filter.a"),
        ({"a": float("nan")}, "filter.a"),
        ({"a": {"$eq": [1]}}, "filter.a.$eq"),
        ({"a": {"$eq": {"x": 1}}}, "filter.a.$eq"),
        ({"a": {"$ne": float("nan")}}, "filter.a.$ne"),
        ({"a": {"$in": "x"}}, "filter.a.$in"),
        ({"a": {"$in": [1, None]}}, "filter.a.$in[1]"),
        ({"a": {"$nin": [[]]}}, "filter.a.$nin[0]"),
        ({"a": {"$nin": [1] * (MAX_ANY_VALUES + 1)}}, "filter.a.$nin"),
        ({"a": {"$gt": "x"}}, "filter.a.$gt"),
        ({"a": {"$lte": True}}, "filter.a.$lte"),
        ({"a": {"$gt": "2020-01-31", "$lt": 5}}, "filter.a"),
        ({"a": {"$exists": 1}}, "filter.a.$exists"),
        ({"a": {"$contains": 5}}, "filter.a.$contains"),
        ({"a": {"$not": 5}}, "filter.a.$not"),
        ({"a": {"$not": {}}}, "filter.a.$not"),
        ({"a": {"$not": {"$gt": "x"}}}, "filter.a.$not.$gt"),
        ({"has_id": ["x"]}, "filter.has_id"),
    ],
)
def test_wrong_operator_is_refused_and_the_part_named(raw: Any, field: str) -> None:
    assert refused_at(raw) == field


def test_depth_is_limited_for_objects_and_for_operators() -> None:
    objects: Any = {"a": 1}
    operators: Any = {"$gt": 1}
    for _ in range(MAX_FILTER_DEPTH - 1):
        objects, operators = {"$not": objects}, {"$not": operators}
    parse_filter(objects)
    parse_filter({"a": operators})
    assert refused_at({"$not": objects}) == "filter" + ".$not" * MAX_FILTER_DEPTH
    assert refused_at({"a": {"$not": operators}}) == "filter.a" + ".$not" * MAX_FILTER_DEPTH
