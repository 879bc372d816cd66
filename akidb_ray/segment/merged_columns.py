"""Columns of a merged segment, made from those of its sources without reading their payloads.

The result is what `encode_columns` gives for the merged rows. It needs sources that hold all their
paths, and no more paths together than a segment may have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from akidb_ray.segment.columns import MAX_PATHS, Column, Columns, encode_records


@dataclass(frozen=True, slots=True, eq=False)
class ColumnSource:
    """Columns of a segment, and the new number of each of its rows, -1 for those left behind.

    New numbers rise with the old ones, and from one source to the next.
    """

    columns: Columns
    new_rows: NDArray[np.int64]


def can_merge(sources: Sequence[Columns]) -> bool:
    paths = {path for columns in sources for path in columns.by_path}
    return all(columns.complete for columns in sources) and len(paths) <= MAX_PATHS


def merge_columns(sources: Sequence[ColumnSource]) -> list[bytes]:
    """The columns of the merged rows, encoded."""
    keys = {
        (path, column.type)
        for source in sources
        for path, columns in source.columns.by_path.items()
        for column in columns
    }
    records = []
    for path, kind in sorted(keys):
        parts = [
            (column, source.new_rows)
            for source in sources
            for column in source.columns.by_path.get(path, ())
            if column.type == kind
        ]
        record = _merge_words(parts) if kind == "string" else _merge_numbers(parts)
        if len(record["rows"]):
            records.append({"path": path, "type": kind, **record})
    return encode_records(records, complete=True)


Part = tuple[Column, NDArray[np.int64]]


def _merge_numbers(parts: Sequence[Part]) -> dict[str, Any]:
    rows, numbers = [], []
    for column, new_rows in parts:
        moved = new_rows[column.rows]
        kept = moved >= 0
        rows.append(moved[kept])
        assert column.numbers is not None
        numbers.append(column.numbers[kept])
    all_rows, values = np.concatenate(rows), np.concatenate(numbers)
    order = np.argsort(values, kind="stable")
    return {"rows": all_rows[order].astype(np.int32), "numbers": values[order].tobytes()}


def _merge_words(parts: Sequence[Part]) -> dict[str, Any]:
    words_of = [column.words.to_pylist() for column, _ in parts]
    words = sorted(set().union(*words_of))
    code_of = {word: code for code, word in enumerate(words)}
    rows, codes = [], []
    for (column, new_rows), own in zip(parts, words_of, strict=True):
        assert column.starts is not None
        translated = np.fromiter((code_of[word] for word in own), np.int64, len(own))
        entries = np.repeat(translated, np.diff(column.starts))
        moved = new_rows[column.rows]
        kept = moved >= 0
        rows.append(moved[kept])
        codes.append(entries[kept])
    all_rows, all_codes = np.concatenate(rows), np.concatenate(codes)
    used, all_codes = np.unique(all_codes, return_inverse=True)
    order = np.argsort(all_codes, kind="stable")
    return {
        "rows": all_rows[order].astype(np.int32),
        "words": [words[code] for code in used.tolist()],
        "starts": np.searchsorted(all_codes[order], np.arange(len(used) + 1)),
    }
