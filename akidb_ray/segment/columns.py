"""Payload columns: for each (path, type) the values of a segment's rows, sorted, with their rows.

One shape serves every condition: equal values and values in a range are neighbours, so a condition
is two binary searches and a slice of row numbers. A document with an array at a path has an entry
per element, one without the path has none. The types:

    string, int, uint, float, bool   scalars; a row has each number in one of the three
    null                             each null, as 0
    mark                             what else is there but a value, by its place in MARKS
    point                            lat + lon*1j, which sorts by latitude
    date                             the dates among the strings, in microseconds since 1970

Dates stand beside the strings that they are read from; every other value is in one column.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.filter import KeyCondition, Match, MatchExcept, MatchText, Range
from akidb_ray.domain.flattening import Mark

MAX_PATHS = 256
RowMask = NDArray[np.bool_]

NUMBERS = ("int", "uint", "float")
MARKS = (Mark.OBJECT, Mark.ARRAY, Mark.EMPTY)
DTYPES: dict[str, Any] = {
    "int": np.int64, "uint": np.uint64, "float": np.float64, "bool": np.uint8, "null": np.uint8,
    "mark": np.uint8, "point": np.complex128, "date": np.int64,
}  # fmt: skip
# What Python's objects take, measured: a column, and a path.
_COLUMN_BYTES, _PATH_BYTES = 700, 300


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """`rows[i]` holds the i-th smallest value, `numbers[i]` when it is no string. Rows with equal
    values rise.

    Strings have `words`, an Arrow array, sorted; number w has the rows starts[w]:starts[w+1].
    """

    type: str
    rows: NDArray[np.int32]
    numbers: NDArray[Any] | None = None
    words: Any = None
    starts: NDArray[np.int64] | None = None

    @property
    def size_bytes(self) -> int:
        arrays = (self.rows, self.numbers, self.words, self.starts)
        return _COLUMN_BYTES + sum(array.nbytes for array in arrays if array is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """All columns of `row_count` rows: `by_path[path][type]`.

    When not `complete`, paths that are missing here may have values. Those that an earlier version
    wrote lack nulls, marks, points and dates, and have not `all_types`.
    """

    row_count: int
    by_path: Mapping[str, Mapping[str, Column]]
    complete: bool
    all_types: bool = True

    def knows(self, path: str) -> bool:
        """Whether all scalars at the path are here."""
        return self.complete or path in self.by_path

    def answer(self, condition: KeyCondition) -> bool:
        """Whether `condition_mask` may be asked for it."""
        scalars_suffice = isinstance(condition, Match | MatchExcept | MatchText | Range)
        return self.knows(condition.key) and (self.all_types or scalars_suffice)

    @property
    def size_bytes(self) -> int:
        """About what they take in memory."""
        found = [column for each in self.by_path.values() for column in each.values()]
        return _PATH_BYTES * len(self.by_path) + sum(column.size_bytes for column in found)
