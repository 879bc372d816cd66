"""Making columns from flattened payloads."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from akidb_ray.domain.dates import parse_date
from akidb_ray.domain.flattening import Flat, Mark, Point
from akidb_ray.segment.columns import DTYPES, MARKS, MAX_PATHS, Column, Columns

_TYPES: dict[type, str] = {
    str: "string", int: "int", float: "float", bool: "bool", type(None): "null", Mark: "mark",
    Point: "point",
}  # fmt: skip
# What every date that `parse_date` knows begins with.
_DATE_START = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MARK_NUMBERS = {mark: number for number, mark in enumerate(MARKS)}


def columns_of(flats: Iterable[Flat]) -> Columns:
    """The columns of rows, given by their flattened payloads."""
    entries: dict[str, tuple[list[int], list[Any]]] = {}
    complete = True
    count = 0
    for row, flat in enumerate(flats):
        count = row + 1
        for path, values in flat.items():
            entry = entries.get(path)
            if entry is None:
                if len(entries) == MAX_PATHS:
                    complete = False
                    continue
                entry = entries[path] = ([], [])
            if len(values) == 1:
                entry[0].append(row)
                entry[1].append(values[0])
            else:
                entry[0].extend([row] * len(values))
                entry[1].extend(values)
    by_path = {
        path: {column.type: column for column in _columns_at(np.array(rows, np.int32), values)}
        for path, (rows, values) in entries.items()
    }
    return Columns(count, by_path, complete)


def _columns_at(rows: NDArray[np.int32], values: Sequence[Any]) -> Iterator[Column]:
    """The columns of one path, where row rows[i] has values[i]."""
    types = list(map(type, values))
    different = dict.fromkeys(types)
    for type_ in different:
        if len(different) == 1:
            yield from _columns_of_type(_TYPES[type_], rows, values)
        else:
            chosen = [each is type_ for each in types]
            found = list(compress(values, chosen))
            yield from _columns_of_type(_TYPES[type_], rows[chosen], found)


def _columns_of_type(kind: str, rows: NDArray[np.int32], values: Sequence[Any]) -> Iterator[Column]:
    if kind == "string":
        words, codes = sorted_words(pa.array(values, pa.large_string()))
        yield string_column(rows, codes, words)
        yield from _date_column(rows, codes, words)
    elif kind == "int":
        # JSON as we read it has whole numbers from -2^63 to 2^64 - 1; those beyond are floats.
        large = np.array([value >= 2**63 for value in values])
        for name, chosen in (("int", ~large), ("uint", large)):
            if chosen.any():
                numbers = np.array(list(compress(values, chosen)), DTYPES[name])
                yield number_column(name, rows[chosen], numbers)
    elif kind == "point":
        yield number_column(kind, rows, np.array(values, np.float64).view(np.complex128)[:, 0])
    else:
        if kind == "mark":
            values = [_MARK_NUMBERS[mark] for mark in values]
        elif kind == "null":
            values = [0] * len(values)
        yield number_column(kind, rows, np.array(values, DTYPES[kind]))


def _date_column(
    rows: NDArray[np.int32], codes: NDArray[np.int64], words: pa.Array
) -> Iterator[Column]:
    """The column of the dates among the words, when there are any."""
    like_dates = np.flatnonzero(pc.match_substring_regex(words, _DATE_START))
    found = [parse_date(word) for word in words.take(like_dates).to_pylist()]
    are_dates = np.array([date is not None for date in found], np.bool_)
    if are_dates.any():
        is_date, dates = np.zeros(len(words), np.bool_), np.zeros(len(words), np.int64)
        is_date[like_dates[are_dates]] = True
        dates[like_dates[are_dates]] = [date for date in found if date is not None]
        chosen = is_date[codes]
        yield number_column("date", rows[chosen], dates[codes[chosen]])


def number_column(kind: str, rows: NDArray[np.int32], numbers: NDArray[Any]) -> Column:
    """The column in which row rows[i] has numbers[i]; equal ones stay in this order."""
    order = np.argsort(numbers, kind="stable")
    return Column(kind, rows[order], numbers[order])


def string_column(rows: NDArray[np.int32], codes: NDArray[np.int64], words: pa.Array) -> Column:
    """The column in which row rows[i] has words[codes[i]]. Words that none has are left out."""
    counts = np.bincount(codes, minlength=len(words))
    used = counts > 0
    starts = np.concatenate([[0], np.cumsum(counts[used])])
    order = np.argsort(codes, kind="stable")
    return Column("string", rows[order], words=words.filter(pa.array(used)), starts=starts)


def sorted_words(words: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """The different ones of `words` in the order of Python's strings, and for each of `words` its
    number among them.
    """
    encoded = words.dictionary_encode()
    # Arrow compares bytes of UTF-8, which have the order of the characters that they stand for.
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order))
    return encoded.dictionary.take(pa.array(order)), numbers[encoded.indices.to_numpy()]
