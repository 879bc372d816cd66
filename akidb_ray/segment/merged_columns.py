"""Columns of a merged segment, made from those of its sources without reading their payloads.

The result is what `encode_columns` gives for the merged rows. It needs sources that hold all their
paths and all types, and no more paths together than a segment may have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.segment.column_building import number_column, sorted_words, string_column
from akidb_ray.segment.column_files import write_columns
from akidb_ray.segment.columns import MAX_PATHS, Column, Columns, RowMask
from akidb_ray.storage.filesystem import Bytes


@dataclass(frozen=True, slots=True, eq=False)
class ColumnSource:
    """Columns of a segment, and the new number of each of its rows, -1 for those left behind.

    New numbers rise with the old ones, and from one source to the next.
    """

    columns: Columns
    new_rows: NDArray[np.int64]


def can_merge(sources: Sequence[Columns]) -> bool:
    paths = {path for columns in sources for path in columns.by_path}
    whole = all(columns.complete and columns.all_types for columns in sources)
    return whole and len(paths) <= MAX_PATHS


def merge_columns(sources: Sequence[ColumnSource]) -> list[Bytes]:
    """The columns of the merged rows, encoded."""
    return write_columns(merged_columns(sources))


def merged_columns(sources: Sequence[ColumnSource]) -> Columns:
    """The columns of the merged rows, of sources that `can_merge`."""
    parts: dict[str, dict[str, list[Part]]] = {}
    for source in sources:
        for path, columns in source.columns.by_path.items():
            for kind, column in columns.items():
                found = parts.setdefault(path, {}).setdefault(kind, [])
                found.append((column, source.new_rows))
    merged = {path: _merge_path(kinds) for path, kinds in parts.items()}
    row_count = sum(int(np.count_nonzero(source.new_rows >= 0)) for source in sources)
    return Columns(row_count, merged, complete=True)


Part = tuple[Column, NDArray[np.int64]]


def _merge_path(parts: Mapping[str, Sequence[Part]]) -> dict[str, Column]:
    merged = {kind: _merge(kind, found) for kind, found in parts.items()}
    return {kind: column for kind, column in merged.items() if len(column.rows)}


def _merge(kind: str, parts: Sequence[Part]) -> Column:
    moved = [new_rows[column.rows] for column, new_rows in parts]
    kept = [rows >= 0 for rows in moved]
    rows = _chosen(moved, kept).astype(np.int32)
    if kind != "string":
        return number_column(kind, rows, _chosen([column.numbers for column, _ in parts], kept))
    words, codes = sorted_words(pa.concat_arrays([column.words for column, _ in parts]))
    entries, start = [], 0
    for column, _ in parts:
        assert column.starts is not None
        own = codes[start : start + len(column.words)]
        entries.append(np.repeat(own, np.diff(column.starts)))
        start += len(own)
    return string_column(rows, _chosen(entries, kept), words)


def _chosen(arrays: Sequence[Any], kept: Sequence[RowMask]) -> NDArray[Any]:
    return np.concatenate([array[mask] for array, mask in zip(arrays, kept, strict=True)])
