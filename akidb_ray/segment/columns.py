"""Payload columns of a sealed segment: for each (path, type) its values, sorted, with their rows.

One shape serves every condition: equal values and values in a range are neighbours, so a condition
is two binary searches and a slice of row numbers. A document with an array at a path has an entry
per element, one without the path has none. Python compares whole numbers with floats exactly, so
the binary searches do too.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from akidb_ray.domain.filter import Condition, Range, Scalar
from akidb_ray.segment.arrow_batches import check_schema, decode_file, encode_file
from akidb_ray.storage.filesystem import Bytes

MAX_PATHS = 256
RowMask = NDArray[np.bool_]

_DTYPES: dict[str, Any] = {
    "int": np.int64, "uint": np.uint64, "float": np.float64, "bool": np.uint8,
}  # fmt: skip
_BINARY = pa.large_binary()
_KEYS: dict[str, Callable[[Any], Any]] = {"int": int, "uint": int, "float": float, "bool": bool}
# One row for each column. Those of strings have no numbers, the others no words and starts.
_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("rows", pa.large_list(pa.int32()), nullable=False),
        pa.field("numbers", pa.large_binary(), nullable=False),
        pa.field("words", pa.large_list(pa.large_string()), nullable=False),
        pa.field("starts", pa.large_list(pa.int64()), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """`rows[i]` holds the i-th smallest value, `numbers[i]` when it is no string.

    Strings have `words`, an Arrow array, sorted; number w has the rows starts[w]:starts[w+1].
    """

    type: str
    rows: NDArray[np.int32]
    numbers: NDArray[Any] | None = None
    words: Any = None
    starts: NDArray[np.int64] | None = None

    def slice_for(self, condition: Condition) -> Iterator[NDArray[np.int32]]:
        """Row numbers whose value at this column meets the condition."""
        if isinstance(condition, Range):
            if self.type in ("int", "uint", "float"):
                yield self._between(condition)
            return
        for value in condition.values:
            if self.type == "string":
                if isinstance(value, str):
                    yield self._equal_word(value)
            elif (self.type == "bool") == isinstance(value, bool) and not isinstance(value, str):
                yield self._equal_number(value)

    def _equal_number(self, value: Scalar) -> NDArray[np.int32]:
        key, numbers = _KEYS[self.type], self.numbers
        assert numbers is not None
        low = bisect_left(numbers, value, key=key)
        return self.rows[low : bisect_right(numbers, value, lo=low, key=key)]

    def _equal_word(self, word: str) -> NDArray[np.int32]:
        assert self.starts is not None
        place = bisect_left(range(len(self.words)), word, key=lambda i: self.words[i].as_py())
        if place == len(self.words) or self.words[place].as_py() != word:
            return self.rows[:0]
        return self.rows[self.starts[place] : self.starts[place + 1]]

    def _between(self, bounds: Range) -> NDArray[np.int32]:
        key, numbers = _KEYS[self.type], self.numbers
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
        return self.rows[low:high]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """All columns of a segment. When not `complete`, paths that are missing here may have
    values.
    """

    row_count: int
    by_path: dict[str, list[Column]]
    complete: bool

    def knows(self, path: str) -> bool:
        return self.complete or path in self.by_path

    def mask(self, condition: Condition) -> RowMask:
        """Which rows meet the condition: bool (row_count,). The path must be known."""
        mask = np.zeros(self.row_count, np.bool_)
        for column in self.by_path.get(condition.key, ()):
            for rows in column.slice_for(condition):
                mask[rows] = True
        return mask


# JSON as we read it has whole numbers from -2^63 to 2^64 - 1; those beyond are floats.
_TYPES: dict[type, str] = {str: "string", float: "float", bool: "bool"}


def encode_columns(flats: Iterable[Mapping[str, list[Any]]]) -> list[Bytes]:
    """Build the columns of rows, given by their flattened payloads, as one Arrow IPC file."""
    entries: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    paths: set[str] = set()
    complete = True
    for row, flat in enumerate(flats):
        for path, values in flat.items():
            if path not in paths:
                if len(paths) == MAX_PATHS:
                    complete = False
                    continue
                paths.add(path)
            for value in values:
                kind = _TYPES.get(type(value)) or ("int" if value < 2**63 else "uint")
                rows, kept = entries.setdefault((path, kind), ([], []))
                rows.append(row)
                kept.append(value)
    columns = {key: _column(key[1], *entry) for key, entry in entries.items()}
    return write_columns(columns, complete)


def _column(kind: str, rows: list[int], values: list[Any]) -> Column:
    row_numbers = np.array(rows, np.int32)
    if kind == "string":
        words, codes = sorted_words(pa.array(values, pa.large_string()))
        return string_column(row_numbers, codes, words)
    return number_column(kind, row_numbers, np.array(values, _DTYPES[kind]))


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


def write_columns(columns: Mapping[tuple[str, str], Column], complete: bool) -> list[Bytes]:
    """The file of these columns, which are named by path and type."""
    # Booleans come last: they take a byte each, and what is behind them would not be aligned.
    ordered = sorted(columns.items(), key=lambda item: (item[1].type == "bool", item[0]))
    found = [column for _, column in ordered]
    cells = [
        pa.array([path for (path, _), _ in ordered], pa.string()),
        pa.array([column.type for column in found], pa.string()),
        _lists([pa.array(c.rows, pa.int32()) for c in found], pa.int32()),
        pa.array([b"" if c.numbers is None else c.numbers.tobytes() for c in found], _BINARY),
        _lists([c.words for c in found], pa.large_string()),
        _lists([None if c.starts is None else pa.array(c.starts) for c in found], pa.int64()),
    ]
    schema = _SCHEMA.with_metadata({"complete": str(int(complete))})
    return encode_file(pa.RecordBatch.from_arrays(cells, schema=schema))


def _lists(parts: Sequence[pa.Array | None], type: pa.DataType) -> pa.Array:
    """One list for each part; an empty one for None."""
    arrays = [pa.array([], type) if part is None else part for part in parts]
    offsets = np.cumsum([0, *map(len, arrays)])
    values = pa.concat_arrays([pa.array([], type), *arrays])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)


def decode_columns(data: memoryview, row_count: int) -> Columns:
    """Columns over mapped bytes: arrays are views, only the list of paths is read.

    Raises ValueError for bytes that cannot be columns of so many rows.
    """
    batch = decode_file(data)
    check_schema(batch, _SCHEMA)
    complete = (batch.schema.metadata or {}).get(b"complete") == b"1"
    by_path: dict[str, list[Column]] = {}
    for record in range(batch.num_rows):
        cells = {name: batch.column(name)[record] for name in _SCHEMA.names}
        column = _decode(cells, row_count)
        by_path.setdefault(cells["path"].as_py(), []).append(column)
    return Columns(row_count, by_path, complete)


def _decode(cells: Mapping[str, Any], row_count: int) -> Column:
    kind = cells["type"].as_py()
    rows = cells["rows"].values.to_numpy()
    if len(rows) and not (rows.min() >= 0 and rows.max() < row_count):
        raise ValueError("a column names rows that are not there")
    if kind == "string":
        words, starts = cells["words"].values, cells["starts"].values.to_numpy()
        if len(starts) != len(words) + 1 or starts[0] != 0 or starts[-1] != len(rows):
            raise ValueError("a column has other words than rows")
        if words.null_count or np.any(starts[1:] < starts[:-1]):
            raise ValueError("a column of words makes no sense")
        return Column(kind, rows, words=words, starts=starts)
    if kind not in _DTYPES:
        raise ValueError(f"a column has the unknown type {kind!r}")
    numbers = np.frombuffer(cells["numbers"].as_buffer(), _DTYPES[kind])
    if len(numbers) != len(rows):
        raise ValueError("a column has other numbers than rows")
    return Column(kind, rows, numbers)
