"""Payload filters: their shape, their parsing, and their meaning for one document.

A filter is `{"must": [condition, ...]}` where each condition names a `key` and has either
`match: {"value": x}`, `match: {"any": [x, ...]}` or `range: {"gt"|"gte"|"lt"|"lte": number}`.

Meaning: a document passes when every condition holds; a condition holds when any value at its key
does (arrays match by any element); a missing key holds nothing. Integers and floats compare by
value, booleans are not numbers. Keys are paths: `a.b` goes into objects, `a[].b` through arrays of
objects. Anything unknown is an error, never ignored.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from akidb_ray.domain.errors import InvalidArgument

Scalar = str | int | float | bool
Flat = Mapping[str, list[Scalar]]

MAX_DEPTH = 100
MAX_CONDITIONS = 64
MAX_ANY_VALUES = 10_000
_BOUNDS = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class Match:
    """Any of `values` is at `key`."""

    key: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A number within all the given bounds is at `key`."""

    key: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


Condition = Match | Range


@dataclass(frozen=True, slots=True)
class Filter:
    """All of `must` hold. An empty one allows everything."""

    must: tuple[Condition, ...] = ()

    def __and__(self, other: "Filter") -> "Filter":
        return Filter(self.must + other.must)


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class RowFilter:
    """What a principal may see of a collection: the answer of `authorize`."""

    visible: Filter = EVERYTHING


def flatten(payload: Mapping[str, Any]) -> dict[str, list[Scalar]]:
    """All scalar values of a payload (decoded JSON) by path. Arrays are opened, nulls left out.

    Raises InvalidArgument when it is nested too deeply.
    """
    flat: dict[str, list[Scalar]] = {}
    _flatten_object(flat, payload, "", MAX_DEPTH)
    return flat


def _flatten_object(
    flat: dict[str, list[Scalar]], value: Mapping[str, Any], prefix: str, depth: int
) -> None:
    # Every document that is written comes through here: exact types are told apart fastest.
    for key, inner in value.items():
        kind = type(inner)
        if kind is dict:
            _check_depth(depth)
            _flatten_object(flat, inner, f"{prefix}{key}.", depth - 1)
        elif kind is list:
            _check_depth(depth)
            _flatten_list(flat, inner, prefix + key, depth - 1)
        elif inner is not None:
            flat.setdefault(prefix + key, []).append(inner)


def _flatten_list(flat: dict[str, list[Scalar]], value: list[Any], path: str, depth: int) -> None:
    for inner in value:
        kind = type(inner)
        if kind is dict:
            _check_depth(depth)
            _flatten_object(flat, inner, f"{path}[].", depth - 1)
        elif kind is list:
            _check_depth(depth)
            _flatten_list(flat, inner, f"{path}[]", depth - 1)
        elif inner is not None:
            flat.setdefault(path, []).append(inner)


def _check_depth(depth: int) -> None:
    if depth == 1:
        raise InvalidArgument("payload", f"is nested deeper than {MAX_DEPTH} levels")


def passes(filter: Filter, flat: Flat) -> bool:
    """Whether a document, given by its flattened payload, passes the filter."""
    return all(_holds(condition, flat.get(condition.key, ())) for condition in filter.must)


def _holds(condition: Condition, values: "list[Scalar] | tuple[()]") -> bool:
    if isinstance(condition, Match):
        return any(_same(value, wanted) for value in values for wanted in condition.values)
    return any(_is_number(value) and _within(condition, value) for value in values)


def _same(left: Scalar, right: Scalar) -> bool:
    # True == 1 in Python, but a boolean is not a number in a filter.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _within(bounds: Range, value: Any) -> bool:
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


def parse_filter(raw: Any, field: str = "filter") -> Filter:
    """Build a Filter from decoded JSON (None gives one that allows everything).

    Raises InvalidArgument that names the part, such as `filter.must[1].range.from`.
    """
    if raw is None:
        return EVERYTHING
    _check_keys(raw, {"must"}, field)
    conditions = raw.get("must", [])
    if not isinstance(conditions, list):
        raise InvalidArgument(f"{field}.must", "must be a list of conditions")
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidArgument(f"{field}.must", f"has more than {MAX_CONDITIONS} conditions")
    return Filter(
        tuple(
            _parse_condition(condition, f"{field}.must[{position}]")
            for position, condition in enumerate(conditions)
        )
    )


def _parse_condition(raw: Any, field: str) -> Condition:
    _check_keys(raw, {"key", "match", "range"}, field)
    key = raw.get("key")
    if not isinstance(key, str) or not key.removesuffix("[]"):
        raise InvalidArgument(f"{field}.key", "must name a payload key")
    key = key.removesuffix("[]")
    if ("match" in raw) == ("range" in raw):
        raise InvalidArgument(field, "needs exactly one of 'match' and 'range'")
    if "match" in raw:
        return Match(key, _parse_match(raw["match"], f"{field}.match"))
    return Range(key, **_parse_range(raw["range"], f"{field}.range"))


def _parse_match(raw: Any, field: str) -> tuple[Scalar, ...]:
    _check_keys(raw, {"value", "any"}, field)
    if len(raw) != 1:
        raise InvalidArgument(field, "needs exactly one of 'value' and 'any'")
    values = [raw["value"]] if "value" in raw else raw["any"]
    name = f"{field}.value" if "value" in raw else f"{field}.any"
    if not isinstance(values, list):
        raise InvalidArgument(name, "must be a list")
    if len(values) > MAX_ANY_VALUES:
        raise InvalidArgument(name, f"has more than {MAX_ANY_VALUES} values")
    for value in values:
        # Nothing equals NaN, and it has no place in a sorted column.
        if not isinstance(value, (str, int, float, bool)) or value != value:
            raise InvalidArgument(name, f"{value!r} is not a string, number or boolean")
    return tuple(values)


def _parse_range(raw: Any, field: str) -> dict[str, float]:
    _check_keys(raw, set(_BOUNDS), field)
    if not raw:
        raise InvalidArgument(field, f"needs at least one of {', '.join(_BOUNDS)}")
    for name, value in raw.items():
        if not _is_number(value) or (isinstance(value, float) and math.isnan(value)):
            raise InvalidArgument(f"{field}.{name}", f"must be a number, is {value!r}")
    return dict(raw)


def _check_keys(raw: Any, known: set[str], field: str) -> None:
    if not isinstance(raw, Mapping):
        raise InvalidArgument(field, "must be an object")
    for key in raw:
        if key not in known:
            names = ", ".join(sorted(known))
            raise InvalidArgument(f"{field}.{key}", f"is not known; known here: {names}")
