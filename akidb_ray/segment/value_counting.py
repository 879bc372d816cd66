"""How many rows have each value at a path: the facets of a segment.

Values are told apart as filters do: 1 and 1.0 are one value, True is another.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.filter import Scalar
from akidb_ray.domain.flattening import Flat
from akidb_ray.segment.columns import NUMBERS, Column, Columns, RowMask

_KINDS: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number"}
# By ("string", "bool" or "number", value). Of equal numbers any one may stand for all.
ValueCounts = Mapping[tuple[str, Scalar], int]


def count_in_flats(
    key: str, allowed: RowMask, flat: Callable[[int], Flat]
) -> Counter[tuple[str, Scalar]]:
    """For each scalar at `key` the number of allowed rows that have it, by flattened payloads."""
    counts: Counter[tuple[str, Scalar]] = Counter()
    for row in np.flatnonzero(allowed).tolist():
        values = flat(row).get(key, ())
        counts.update({(_KINDS[type(v)], v) for v in values if isinstance(v, str | int | float)})
    return counts


def count_in_columns(key: str, columns: Columns, allowed: RowMask) -> Counter[tuple[str, Scalar]]:
    """For each scalar at `key` the number of allowed rows that have it. The path must be known."""
    found = columns.by_path.get(key, {})
    counts: Counter[tuple[str, Scalar]] = Counter()
    for kind in ("string", "bool", *NUMBERS):
        if kind in found:
            named = "number" if kind in NUMBERS else kind
            values, numbers = _counts_of(found[kind], allowed)
            counts.update(dict(zip(zip(repeat(named), values), numbers, strict=False)))
    counts.subtract(("number", value) for value in _counted_twice(found, allowed))
    return counts


def _counts_of(column: Column, allowed: RowMask) -> tuple[list[Scalar], list[int]]:
    """The values that allowed rows have, and how many have each."""
    starts = _starts(column)
    counted = allowed[column.rows]
    # A row that has a value twice is there twice, one behind the other.
    again = np.zeros(len(counted), np.bool_)
    again[1:] = column.rows[1:] == column.rows[:-1]
    again[starts[:-1][starts[:-1] < len(again)]] = False
    counted &= ~again
    sums = np.concatenate([[0], np.cumsum(counted)])
    counts = np.diff(sums[starts])
    present = np.flatnonzero(counts)
    return _values(column, starts, present), counts[present].tolist()


def _starts(column: Column) -> NDArray[np.int64]:
    """Where the entries of each value start, and the last ones end."""
    if column.starts is not None:
        return column.starts
    numbers = column.numbers
    assert numbers is not None
    changes = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    first = [0] if len(numbers) else []
    return np.concatenate([first, changes, [len(numbers)]]).astype(np.int64)


def _values(column: Column, starts: NDArray[np.int64], chosen: NDArray[np.int64]) -> list[Scalar]:
    if column.words is not None:
        words: list[Scalar] = column.words.take(chosen).to_pylist()
        return words
    assert column.numbers is not None
    numbers: list[Scalar] = column.numbers[starts[chosen]].tolist()
    return list(map(bool, numbers)) if column.type == "bool" else numbers


def _counted_twice(found: Mapping[str, Column], allowed: RowMask) -> list[Scalar]:
    """Values that an allowed row has as a whole number and as a float too, for each such row."""
    if "float" not in found:
        return []
    twice: list[Scalar] = []
    for kind in ("int", "uint"):
        if kind in found:
            both = np.intersect1d(found[kind].rows, found["float"].rows)
            both = both[allowed[both]]
            pairs = _pairs(found[kind], both) & _pairs(found["float"], both)
            twice += [value for _, value in pairs]
    return twice


def _pairs(column: Column, rows: NDArray[np.int32]) -> set[tuple[int, Scalar]]:
    """All (row, value) of these rows."""
    assert column.numbers is not None
    chosen = np.isin(column.rows, rows)
    return set(zip(column.rows[chosen].tolist(), column.numbers[chosen].tolist(), strict=True))
