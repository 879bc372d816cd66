"""The file `columns.arrow` of a sealed segment: one Arrow batch with a row for each column.

Its schema says in `complete` whether all paths are there, and in `kinds` which types: files without
it have scalars only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from akidb_ray.domain.flattening import Flat
from akidb_ray.segment.arrow_batches import check_schema, decode_file, encode_file
from akidb_ray.segment.column_building import columns_of
from akidb_ray.segment.columns import DTYPES, Column, Columns
from akidb_ray.storage.filesystem import Bytes

_BINARY = pa.large_binary()
_KINDS = b"2"
# Columns of strings have no numbers, the others no words and starts.
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


def encode_columns(flats: Iterable[Flat]) -> list[Bytes]:
    """The file of the columns of rows, given by their flattened payloads."""
    return write_columns(columns_of(flats))


def write_columns(columns: Columns) -> list[Bytes]:
    """The file of these columns."""
    named = [(path, column) for path, each in columns.by_path.items() for column in each.values()]
    # Those that take a byte each come last: what is behind them would not be aligned.
    named.sort(key=lambda item: (_item_bytes(item[1].type) == 1, item[0], item[1].type))
    found = [column for _, column in named]
    cells = [
        pa.array([path for path, _ in named], pa.string()),
        pa.array([column.type for column in found], pa.string()),
        _lists([pa.array(c.rows, pa.int32()) for c in found], pa.int32()),
        pa.array([b"" if c.numbers is None else c.numbers.tobytes() for c in found], _BINARY),
        _lists([c.words for c in found], pa.large_string()),
        _lists([None if c.starts is None else pa.array(c.starts) for c in found], pa.int64()),
    ]
    metadata = {b"complete": b"1" if columns.complete else b"0", b"kinds": _KINDS}
    schema = _SCHEMA.with_metadata(metadata)
    return encode_file(pa.RecordBatch.from_arrays(cells, schema=schema))


def _item_bytes(kind: str) -> int:
    return 0 if kind == "string" else np.dtype(DTYPES[kind]).itemsize


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
    metadata = batch.schema.metadata or {}
    by_path: dict[str, dict[str, Column]] = {}
    for record in range(batch.num_rows):
        cells = {name: batch.column(name)[record] for name in _SCHEMA.names}
        column = _decode(cells, row_count)
        by_path.setdefault(cells["path"].as_py(), {})[column.type] = column
    complete, all_types = metadata.get(b"complete") == b"1", metadata.get(b"kinds") == _KINDS
    return Columns(row_count, by_path, complete, all_types)


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
    if kind not in DTYPES:
        raise ValueError(f"a column has the unknown type {kind!r}")
    numbers = np.frombuffer(cells["numbers"].as_buffer(), DTYPES[kind])
    if len(numbers) != len(rows):
        raise ValueError("a column has other numbers than rows")
    return Column(kind, rows, numbers)
