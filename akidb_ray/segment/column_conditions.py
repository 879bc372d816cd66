"""Conditions on columns: what `filter_meaning` says, by binary searches and slices of rows.

Python compares whole numbers with floats exactly, so the binary searches do too.
"""

import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from akidb_ray.domain.filter import (
    DateRange,
    Exists,
    GeoBox,
    GeoRadius,
    IsNull,
    KeyCondition,
    Match,
    MatchExcept,
    MatchText,
    Range,
    Scalar,
    ValuesCount,
)
from akidb_ray.domain.flattening import Mark
from akidb_ray.domain.geo import EARTH_RADIUS_M, distances_m
from akidb_ray.segment.column_text import words_that_meet
from akidb_ray.segment.columns import DTYPES, MARKS, NUMBERS, Column, Columns, RowMask

_SCALARS = (*NUMBERS, "string", "bool")
_EMPTY = MARKS.index(Mark.EMPTY)
_MOST = sys.float_info.max
_LIMITS = {kind: (np.iinfo(DTYPES[kind]).min, np.iinfo(DTYPES[kind]).max) for kind in NUMBERS[:2]}
_BINARY = pa.large_binary()
# Looking at so many words with Arrow takes as long as one binary search of Python.
_WORDS_PER_SEARCH = 500
# For so few values a loop is as fast as what takes them all at once.
_FEW = 8
RowNumbers = NDArray[np.int32]
Places = NDArray[np.int64]


def condition_mask(columns: Columns, condition: KeyCondition) -> RowMask:
    """Which rows meet the condition: bool (row_count,). The columns must `answer` it."""
    found = columns.by_path.get(condition.key, {})
    match condition:
        case Exists(wanted=wanted):
            there = _rows_with(columns, found.values())
            return there if wanted else ~there
        case IsNull(wanted=wanted):
            there = _rows_with(columns, found.values())
            nulls = _rows_with(columns, [found["null"]] if "null" in found else [])
            return nulls | ~there if wanted else there & ~nulls
        case ValuesCount():
            return _rows_with(columns, found.values()) & _count_within(columns, found, condition)
    mask = np.zeros(columns.row_count, np.bool_)
    for column in found.values():
        for rows in _matching(column, condition):
            mask[rows] = True
    return mask


def _rows_with(columns: Columns, found: Iterable[Column]) -> RowMask:
    """Rows that are in any of the columns."""
    mask = np.zeros(columns.row_count, np.bool_)
    for column in found:
        mask[column.rows] = True
    return mask


def _count_within(columns: Columns, found: Mapping[str, Column], bounds: ValuesCount) -> RowMask:
    counts = np.zeros(columns.row_count, np.int64)
    for kind, column in found.items():
        if kind != "date":
            rows = column.rows if kind != "mark" else column.rows[column.numbers != _EMPTY]
            counts += np.bincount(rows, minlength=columns.row_count)
    within = np.ones(columns.row_count, np.bool_)
    for compare, bound in (
        (np.greater, bounds.gt), (np.greater_equal, bounds.gte),
        (np.less, bounds.lt), (np.less_equal, bounds.lte),
    ):  # fmt: skip
        if bound is not None:
            within &= compare(counts, bound)
    return within


def _matching(column: Column, condition: KeyCondition) -> Iterator[RowNumbers]:
    """Row numbers whose value at this column meets the condition."""
    rows, kind = column.rows, column.type
    match condition:
        case Match(values=values):
            yield from _slices(rows, *_equal_to(column, values))
        case MatchExcept(values=values) if kind in _SCALARS:
            starts, ends = map(np.unique, _equal_to(column, values))
            yield from _slices(rows, np.append(0, ends), np.append(starts, len(rows)))
        case MatchText() if kind == "string":
            assert column.starts is not None
            yield rows[np.repeat(words_that_meet(condition, column.words), np.diff(column.starts))]
        case Range() if kind in NUMBERS:
            yield rows[_between(column, condition)]
        case DateRange() if kind == "date":
            yield rows[_between(column, condition)]
        case GeoRadius() if kind == "point":
            yield _in_circle(column, condition)
        case GeoBox() if kind == "point":
            yield _in_box(column, condition)


def _slices(rows: RowNumbers, starts: Places, ends: Places) -> Iterator[RowNumbers]:
    """rows[starts[i]:ends[i]] for all i, several at once when there are many."""
    if len(starts) <= _FEW:
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield rows[start:end]
    else:
        counts = ends - starts
        before = np.cumsum(counts) - counts
        yield rows[np.repeat(starts - before, counts) + np.arange(counts.sum())]


def _equal_to(column: Column, values: Sequence[Scalar]) -> tuple[Places, Places]:
    """Starts and ends of the entries that equal the values, for those that are there."""
    if column.type == "string":
        assert column.starts is not None
        wanted = {value for value in values if isinstance(value, str)}
        places = _places_of(column.words, wanted)
        return column.starts[places], column.starts[places + 1]
    if column.type not in _SCALARS:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    numbers = _numbers(column)
    found = np.unique(np.array(_as_numbers(column.type, values), numbers.dtype))
    starts, ends = np.searchsorted(numbers, found), np.searchsorted(numbers, found, "right")
    there = starts < ends
    return starts[there], ends[there]


def _places_of(words: pa.Array, wanted: Collection[str]) -> Places:
    """Where those that are there stand in the sorted words."""
    if len(wanted) > _FEW and len(wanted) * _WORDS_PER_SEARCH > len(words):
        # A string may have halves of characters, which are in no column.
        encoded = pa.array([word.encode(errors="surrogatepass") for word in wanted], _BINARY)
        places: Places = np.flatnonzero(pc.is_in(words.cast(_BINARY), encoded))
        return places
    found = []
    for word in wanted:
        place = bisect_left(range(len(words)), word, key=lambda i: words[i].as_py())
        if place < len(words) and words[place].as_py() == word:
            found.append(place)
    return np.array(found, np.int64)


def _as_numbers(kind: str, values: Sequence[Scalar]) -> list[Any]:
    """The numbers of a column of this type that equal one of the values exactly."""
    if kind == "bool":
        return [value for value in values if isinstance(value, bool)]
    numbers = [value for value in values if not isinstance(value, bool | str)]
    if kind == "float":
        return [value for value in numbers if abs(value) <= _MOST and float(value) == value]
    low, high = _LIMITS[kind]
    # Those that are no whole numbers equal none, and infinity is beyond the limits.
    return [int(value) for value in numbers if low <= value <= high and int(value) == value]


def _between(column: Column, bounds: Range | DateRange) -> slice:
    """The entries within the bounds."""
    numbers, key = column.numbers, float if column.type == "float" else int
    assert numbers is not None
    low, high = 0, len(numbers)
    if bounds.gt is not None:
        low = max(low, bisect_right(numbers, bounds.gt, key=key))
    if bounds.gte is not None:
        low = max(low, bisect_left(numbers, bounds.gte, key=key))
    if bounds.lt is not None:
        high = min(high, bisect_left(numbers, bounds.lt, key=key))
    if bounds.lte is not None:
        high = min(high, bisect_right(numbers, bounds.lte, key=key))
    return slice(low, high)


def _in_circle(column: Column, circle: GeoRadius) -> RowNumbers:
    # A little more than the circle reaches: what is rounded must not cut it.
    reach = 1.000001 * math.degrees(circle.radius_m / EARTH_RADIUS_M) + 1e-6
    near = _latitudes(column, circle.lat - reach, circle.lat + reach)
    points = _numbers(column)[near]
    return column.rows[near][
        distances_m(circle.lon, circle.lat, points.imag, points.real) <= circle.radius_m
    ]


def _in_box(column: Column, box: GeoBox) -> RowNumbers:
    between = _latitudes(column, box.bottom, box.top)
    lons = _numbers(column)[between].imag
    east, west = lons >= box.left, lons <= box.right
    return column.rows[between][east | west if box.left > box.right else east & west]


def _latitudes(column: Column, bottom: float, top: float) -> slice:
    """The points between two latitudes."""
    points = _numbers(column)
    low = bisect_left(points, bottom, key=lambda point: point.real)
    return slice(low, bisect_right(points, top, key=lambda point: point.real))


def _numbers(column: Column) -> NDArray[Any]:
    assert column.numbers is not None
    return column.numbers
