"""What filters mean, for one document at a time. Plain on purpose: whatever evaluates filters
faster must give the same answers.

- Whole numbers and floats compare by value; booleans are not numbers.
- An array matches by any of its elements.
- Where nothing is, only `exists` and `is_null` match; `must_not` is the complement, so that there
  it lets documents without the key pass.
"""

from collections.abc import Sequence
from typing import TypeGuard

from akidb_ray.domain.dates import parse_date
from akidb_ray.domain.filter import (
    Clause,
    DateRange,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    HasId,
    IsNull,
    KeyCondition,
    Match,
    MatchExcept,
    MatchText,
    Range,
    Scalar,
    ValuesCount,
)
from akidb_ray.domain.flattening import Flat, Mark, Point, Value
from akidb_ray.domain.geo import distances_m
from akidb_ray.domain.words import words_of


def passes(filter: Filter, flat: Flat, document_id: str) -> bool:
    """Whether a document, given by its flattened payload and its id, passes the filter."""

    def holds(clause: Clause) -> bool:
        if isinstance(clause, Filter):
            return passes(clause, flat, document_id)
        if isinstance(clause, HasId):
            return document_id in clause.ids
        if isinstance(clause, Exists):
            return (clause.key in flat) is clause.wanted
        if isinstance(clause, IsNull):
            return (clause.key not in flat or None in flat[clause.key]) is clause.wanted
        if isinstance(clause, ValuesCount):
            return clause.key in flat and _within(clause, _count(flat[clause.key]))
        return any(_value_meets(clause, value) for value in flat.get(clause.key, ()))

    return (
        all(map(holds, filter.must))
        and (not filter.should or any(map(holds, filter.should)))
        and not any(map(holds, filter.must_not))
    )


def _count(values: Sequence[Value]) -> int:
    return sum(value is not Mark.EMPTY for value in values)


def _value_meets(condition: KeyCondition, value: Value) -> bool:
    match condition:
        case Match(values=wanted):
            return _is_scalar(value) and any(_same(value, one) for one in wanted)
        case MatchExcept(values=unwanted):
            return _is_scalar(value) and not any(_same(value, one) for one in unwanted)
        case MatchText(words=words, phrase=phrase):
            return isinstance(value, str) and _has_words(words_of(value), words, phrase)
        case Range():
            return _is_number(value) and _within(condition, value)
        case DateRange():
            date = parse_date(value) if isinstance(value, str) else None
            return date is not None and _within(condition, date)
        case GeoRadius(lon=lon, lat=lat, radius_m=radius_m):
            return isinstance(value, Point) and bool(
                distances_m(lon, lat, value.lon, value.lat) <= radius_m
            )
        case GeoBox():
            return isinstance(value, Point) and _in_box(condition, value)
    raise AssertionError(f"not a condition on one value: {condition!r}")


def _is_scalar(value: Value) -> TypeGuard[Scalar]:
    return isinstance(value, (str, int, float, bool))


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(left: Scalar, right: Scalar) -> bool:
    # True == 1 in Python, but a boolean is not a number in a filter.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _has_words(found: Sequence[str], wanted: Sequence[str], phrase: bool) -> bool:
    if not wanted:
        return False
    if not phrase:
        return set(wanted) <= set(found)
    starts = range(len(found) - len(wanted) + 1)
    return any(tuple(found[start : start + len(wanted)]) == tuple(wanted) for start in starts)


def _within(bounds: Range | DateRange | ValuesCount, value: int | float) -> bool:
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


def _in_box(box: GeoBox, point: Point) -> bool:
    east, west = point.lon >= box.left, point.lon <= box.right
    over_180 = box.left > box.right
    return box.bottom <= point.lat <= box.top and (east or west if over_180 else east and west)
