"""Payload filters as values: trees of conditions.

`filter_parsing` reads them from JSON, `filter_meaning` says what they mean for one document, and
`flattening` what a condition sees of a payload. A key is a path: `a.b` goes into objects, `a[].b`
through arrays of objects.
"""

from dataclasses import dataclass
from typing import Any

from akidb_ray.domain.pickling import pickled_by_fields

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Match:
    """Any of `values` is at `key`."""

    key: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class MatchExcept:
    """A string, number or boolean other than `values` is at `key`."""

    key: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class MatchText:
    """A string that has all of `words` is at `key`; as a `phrase`, one behind the other."""

    key: str
    words: tuple[str, ...]
    phrase: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """A number within all the given bounds is at `key`."""

    key: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class DateRange:
    """A string that is a date within all the given bounds is at `key`. Bounds are whole
    microseconds since 1970, UTC.
    """

    key: str
    gt: int | None = None
    gte: int | None = None
    lt: int | None = None
    lte: int | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether there is anything at `key`, be it null or empty, is as `wanted`."""

    key: str
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class IsNull:
    """Whether `key` is missing or has a null is as `wanted`."""

    key: str
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class ValuesCount:
    """The number of values at `key` is within all the given bounds: elements of an array, 1 for
    anything else that is there.
    """

    key: str
    gt: int | None = None
    gte: int | None = None
    lt: int | None = None
    lte: int | None = None


@dataclass(frozen=True, slots=True)
class GeoRadius:
    """A point `{"lon": ..., "lat": ...}` at most `radius_m` metres from here is at `key`."""

    key: str
    lon: float
    lat: float
    radius_m: float


@dataclass(frozen=True, slots=True)
class GeoBox:
    """A point in this box is at `key`. When left is above right, it goes over 180 degrees."""

    key: str
    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, slots=True)
class HasId:
    """The document has one of these ids."""

    ids: tuple[str, ...]


KeyCondition = (
    Match | MatchExcept | MatchText | Range | DateRange | Exists | IsNull | ValuesCount
    | GeoRadius | GeoBox
)  # fmt: skip
Condition = KeyCondition | HasId


@pickled_by_fields
@dataclass(frozen=True, slots=True)
class Filter:
    """All of `must` hold, at least one of `should` (when there are any), and none of `must_not`.

    An empty one allows everything.
    """

    must: tuple["Condition | Filter", ...] = ()
    should: tuple["Condition | Filter", ...] = ()
    must_not: tuple["Condition | Filter", ...] = ()

    @property
    def is_everything(self) -> bool:
        return not (self.must or self.should or self.must_not)

    def __and__(self, other: "Filter") -> "Filter":
        if self.is_everything or other.is_everything:
            return other if self.is_everything else self
        return Filter(must=(self, other))


Clause = Condition | Filter
EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class RowFilter:
    """What a principal may see of a collection: the answer of `authorize`."""

    visible: Filter = EVERYTHING

    def __reduce__(self) -> tuple[Any, ...]:
        return RowFilter, (self.visible,)
