"""Payload columns of a sealed segment: for each (path, type) its values, sorted, with their rows.

One shape serves every condition: equal values and values in a range are neighbours, so a condition
is two binary searches and a slice of row numbers. A document with an array at a path has an entry
per element, one without the path has none. Python compares whole numbers with floats exactly, so
the binary searches do too.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.domain.filter import Condition, Flat, Range, Scalar

MAX_PATHS = 256
RowMask = NDArray[np.bool_]

_DTYPES: dict[str, Any] = {
    "int": np.int64, "uint": np.uint64, "float": np.float64, "bool": np.uint8,
}  # fmt: skip
_KEYS: dict[str, Callable[[Any], Any]] = {"int": int, "uint": int, "float": float, "bool": bool}
_SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "type": pa.string(),
        "rows": pa.large_list(pa.int32()),
        "numbers": pa.large_binary(),
        "words": pa.large_list(pa.large_string()),
        "starts": pa.large_list(pa.int64()),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """`rows[i]` holds the i-th smallest value. Strings: value number w has rows
    starts[w]:starts[w+1].
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


def _type_of(value: Scalar) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        # JSON as we read it has whole numbers from -2^63 to 2^64 - 1; those beyond are floats.
        return "int" if value < 2**63 else "uint"
    return "float" if isinstance(value, float) else "string"


def encode_columns(flats: Iterable[Flat]) -> list[bytes]:
    """Build the columns of rows, given by their flattened payloads, as one Arrow IPC file."""
    entries: dict[tuple[str, str], tuple[list[int], list[Scalar]]] = {}
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
                rows, kept = entries.setdefault((path, _type_of(value)), ([], []))
                rows.append(row)
                kept.append(value)
    records = [_encode(path, kind, *entries[path, kind]) for path, kind in sorted(entries)]
    return encode_records(records, complete)


def encode_records(records: Sequence[dict[str, Any]], complete: bool) -> list[bytes]:
    """The file of columns that are there already, one record per path and type."""
    schema = _SCHEMA.with_metadata({"complete": str(int(complete))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(records, schema=schema))
    return [bytes(sink.getvalue())]


def _encode(path: str, kind: str, rows: Sequence[int], values: Sequence[Any]) -> dict[str, Any]:
    row_numbers = np.asarray(rows, np.int32)
    if kind == "string":
        words = sorted(set(values))
        code_of = {word: code for code, word in enumerate(words)}
        codes = np.fromiter((code_of[value] for value in values), np.int64, len(values))
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(words) + 1))
        return {
            "path": path,
            "type": kind,
            "rows": row_numbers[order],
            "words": words,
            "starts": starts,
        }
    numbers = np.asarray(values, _DTYPES[kind])
    order = np.argsort(numbers, kind="stable")
    return {
        "path": path,
        "type": kind,
        "rows": row_numbers[order],
        "numbers": numbers[order].tobytes(),
    }


def decode_columns(data: memoryview, row_count: int) -> Columns:
    """Columns over mapped bytes: arrays are views, only the list of paths is read."""
    with pa.ipc.open_file(pa.py_buffer(data)) as reader:
        complete = reader.schema.metadata[b"complete"] == b"1"
        batch = reader.get_batch(0)
    by_path: dict[str, list[Column]] = {}
    for record in range(batch.num_rows):
        cells = {name: batch.column(name)[record] for name in _SCHEMA.names}
        kind = cells["type"].as_py()
        rows = cells["rows"].values.to_numpy()
        if kind == "string":
            starts = cells["starts"].values.to_numpy()
            column = Column(kind, rows, words=cells["words"].values, starts=starts)
        else:
            column = Column(kind, rows, np.frombuffer(cells["numbers"].as_buffer(), _DTYPES[kind]))
        by_path.setdefault(cells["path"].as_py(), []).append(column)
    return Columns(row_count, by_path, complete)
