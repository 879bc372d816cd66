"""The parts of which conditions are made: keys, values, bounds, points. For both dialects.

Each function takes decoded JSON and the name of the field it came from, and raises InvalidArgument
with that name and what is wrong with the value.
"""

import reprlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from akidb_ray.domain.dates import parse_date
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import DateRange, MatchText, Range, Scalar
from akidb_ray.domain.words import words_of

MAX_FILTER_DEPTH = 16
MAX_CONDITIONS = 256
MAX_ANY_VALUES = 10_000
CLAUSES = ("must", "should", "must_not")
BOUNDS = ("gt", "gte", "lt", "lte")
MIXED = (
    "mixes the two ways to write a filter; write all of it with must, should and must_not, or all "
    "of it with $ operators"
)

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 60


def shown(value: Any) -> str:
    """A value as an error tells it: in Python's notation, shortened."""
    return _shortener.repr(value)


def parse_object(raw: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
        raise InvalidArgument(field, f"must be an object, is {shown(raw)}")
    return raw


def parse_known(raw: Any, known: Iterable[str], field: str) -> Mapping[str, Any]:
    """An object that has no other keys than the known ones."""
    checked, known = parse_object(raw, field), sorted(known)
    for key in checked:
        if key not in known:
            reason = f"is not known; known here: {', '.join(known)}"
            raise InvalidArgument(f"{field}.{key}", reason)
    return checked


def check_depth(depth: int, field: str) -> None:
    if depth > MAX_FILTER_DEPTH:
        raise InvalidArgument(field, f"is nested deeper than {MAX_FILTER_DEPTH} filters")


def parse_key(raw: Any, field: str) -> str:
    """The path of a key: `tags[]` is the same as `tags`."""
    if not isinstance(raw, str) or not raw.removesuffix("[]"):
        raise InvalidArgument(field, f"must name a payload key, such as 'a.b', is {shown(raw)}")
    return raw.removesuffix("[]")


def parse_scalar(raw: Any, field: str) -> Scalar:
    # Nothing equals NaN, and it has no place in a sorted column.
    if not isinstance(raw, (str, int, float, bool)) or raw != raw:
        hint = "; null is asked for with is_null, or with $eq" if raw is None else ""
        raise InvalidArgument(field, f"{shown(raw)} is not a string, number or boolean{hint}")
    return raw


def parse_scalars(raw: Any, field: str) -> tuple[Scalar, ...]:
    values = parse_list(raw, field)
    return tuple(parse_scalar(value, f"{field}[{row}]") for row, value in enumerate(values))


def parse_list(raw: Any, field: str) -> Sequence[Any]:
    if not isinstance(raw, list):
        raise InvalidArgument(field, f"must be a list, is {shown(raw)}")
    if len(raw) > MAX_ANY_VALUES:
        raise InvalidArgument(field, f"has {len(raw)} values; {MAX_ANY_VALUES} are allowed")
    return raw


def parse_bool(raw: Any, field: str) -> bool:
    if not isinstance(raw, bool):
        raise InvalidArgument(field, f"must be true or false, is {shown(raw)}")
    return raw


def parse_text(key: str, raw: Any, field: str, phrase: bool = False) -> MatchText:
    if not isinstance(raw, str):
        raise InvalidArgument(field, f"must be a string, is {shown(raw)}")
    return MatchText(key, tuple(words_of(raw)), phrase)


def parse_range(
    key: str, bounds: Mapping[str, Any], field: str, sign: str = ""
) -> Range | DateRange:
    """A Range, or a DateRange when the bounds are dates. Each bound is named by one of BOUNDS, in
    the request with `sign` before it.
    """
    dates: dict[str, int] = {}
    for name, value in bounds.items():
        date = parse_date(value) if isinstance(value, str) else None
        if date is not None:
            dates[name] = date
        elif not is_number(value):
            reason = "must be a number or a date such as '2020-01-31' or '2020-01-31T12:00:00Z'"
            raise InvalidArgument(f"{field}.{sign}{name}", f"{reason}, is {shown(value)}")
    if dates and len(dates) < len(bounds):
        raise InvalidArgument(field, "mixes numbers and dates; give bounds of one type")
    return DateRange(key, **dates) if dates else Range(key, **bounds)


def is_number(value: Any) -> bool:
    """Whether this is a number, infinity included, and neither a boolean nor NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def parse_number(raw: Any, least: float, most: float, field: str) -> float:
    if not is_number(raw) or not least <= raw <= most:
        allowed = f"from {least:g}" + (f" to {most:g}" if most < sys.float_info.max else " up")
        raise InvalidArgument(field, f"must be a number {allowed}, is {shown(raw)}")
    return float(raw)


def parse_count(raw: Any, field: str) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 0:
        raise InvalidArgument(field, f"must be a whole number from 0 up, is {shown(raw)}")
    return raw


def parse_point(raw: Any, field: str) -> tuple[float, float]:
    """(lon, lat), in degrees."""
    raw = parse_known(raw, ("lon", "lat"), field)
    for name in ("lon", "lat"):
        if name not in raw:
            raise InvalidArgument(f"{field}.{name}", "is missing; a point has lon and lat")
    lon = parse_number(raw["lon"], -180, 180, f"{field}.lon")
    return lon, parse_number(raw["lat"], -90, 90, f"{field}.lat")
