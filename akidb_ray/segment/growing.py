"""The growing segment: the newest rows, in memory, searched exactly.

One writer appends; readers use views that cover the rows of their time. Rows never move or change,
so a reader needs no lock: arrays are replaced by larger copies, and old views keep the old ones.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from sys import getsizeof
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from akidb_ray.domain.document import Times, Vectors
from akidb_ray.domain.filter import Condition, Filter, HasId
from akidb_ray.domain.flattening import Flat
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.documents import SCHEMA
from akidb_ray.segment.filtering import filter_mask
from akidb_ray.segment.growing_columns import GrowingColumns
from akidb_ray.segment.growing_text import GrowingText
from akidb_ray.segment.id_index import rows_by_id
from akidb_ray.segment.postings import TextBlock
from akidb_ray.segment.rows import Rows
from akidb_ray.segment.terms import Analyzer
from akidb_ray.segment.value_counting import ValueCounts
from akidb_ray.segment.view import Contents, StoredRow

_FIRST_CAPACITY = 16
# What Python's objects take, measured: a row, a payload with values, a path in one, a value at a
# path. To the bytes of a payload come its strings, as values.
_ROW_BYTES = 130
_PAYLOAD_BYTES = 200
_PATH_BYTES = 110
_VALUE_BYTES = 28
_PER_PAYLOAD_BYTE = 1.75


class _Growing:
    """An array with room for more rows; when there is none left, a larger copy takes its place."""

    def __init__(self, dtype: Any, *shape_of_row: int) -> None:
        self.values: NDArray[Any] = np.empty((_FIRST_CAPACITY, *shape_of_row), dtype)

    def put(self, first: int, last: int, added: ArrayLike) -> None:
        """Set the rows from `first` on, which nobody reads yet."""
        values = self.values
        if last > len(values):
            values = np.empty((max(last, 2 * len(values)), *values.shape[1:]), values.dtype)
            values[:first] = self.values[:first]
        values[first:last] = added
        self.values = values


class GrowingSegment:
    def __init__(self, dimension: int) -> None:
        self._vectors = _Growing(np.float32, dimension)
        self._versions = _Growing(np.int64)
        self._lengths = _Growing(np.float32)
        self._expires_at = _Growing(np.float64)
        self._any_expires = False
        self._ids: list[str] = []
        self._texts: list[str | None] = []
        self._payloads: list[bytes | None] = []
        self._flats: list[Flat] = []
        self._columns = GrowingColumns(self._flats)
        self._text = GrowingText()
        self._newest: dict[str, int] = {}
        # The row that held the same id before, -1 when none did: older views must still find
        # theirs.
        self._former: list[int] = []
        self._contents_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Memory that the rows take, with what is allocated for more."""
        arrays = (self._vectors, self._versions, self._lengths, self._expires_at)
        lists = (self._ids, self._texts, self._payloads, self._flats, self._former)
        return (
            self._contents_bytes
            + self._columns.size_bytes
            + self._text.size_bytes
            + sum(array.values.nbytes for array in arrays)
            + sum(map(getsizeof, (*lists, self._newest)))
        )

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def vectors(self) -> Vectors:
        return self._vectors.values

    @property
    def expires_at(self) -> Times | None:
        return self._expires_at.values if self._any_expires else None

    def append(self, rows: Rows, version: int) -> None:
        """Add rows, each id at most once, all written by record number `version`."""
        first = len(self)
        last = first + len(rows)
        self._vectors.put(first, last, rows.vectors)
        self._versions.put(first, last, version)
        self._lengths.put(first, last, rows.lengths)
        self._expires_at.put(first, last, rows.expires_at)
        self._any_expires = self._any_expires or bool(np.isfinite(rows.expires_at).any())
        # Before a reader can meet the new row of an id, it must find the way to the former one.
        self._former.extend([self._newest.get(document_id, -1) for document_id in rows.ids])
        self._newest.update(zip(rows.ids, range(first, last), strict=True))
        self._texts.extend(rows.texts)
        # Copies, since orjson gives its results in blocks of 4 KiB.
        self._payloads.extend([p if p is None else bytes(memoryview(p)) for p in rows.payloads])
        self._flats.extend(rows.flats)
        self._ids.extend(rows.ids)
        self._contents_bytes += _contents_bytes(rows)

    def id(self, row: int) -> str:
        return self._ids[row]

    def ids_of(self, rows: Sequence[int]) -> list[str]:
        return [self._ids[row] for row in rows]

    def contents_of(self, rows: Sequence[int], with_payload: bool) -> Contents:
        versions = self._versions.values[rows].tolist()
        if not with_payload:
            return Contents.without_payload(versions)
        return Contents(
            versions,
            [self._payloads[row] for row in rows],
            [self._texts[row] for row in rows],
        )

    def row(self, row: int) -> StoredRow:
        return StoredRow(
            self._ids[row],
            int(self._versions.values[row]),
            float(self._lengths.values[row]),
            self._texts[row],
            self._payloads[row],
            float(self._expires_at.values[row]),
        )

    def flat(self, row: int) -> Flat:
        """The row's flattened payload."""
        return self._flats[row]

    def documents(self) -> pa.RecordBatch:
        """All rows without their vectors, as `documents.SCHEMA` says."""
        rows = len(self)
        columns = {
            "id": self._ids[:rows],
            "version": self._versions.values[:rows],
            "length": self._lengths.values[:rows],
            "text": self._texts[:rows],
            "payload": self._payloads[:rows],
            "expires_at": self._expires_at.values[:rows],
        }
        return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)

    def find(self, document_id: str, rows: int) -> int:
        row = self._newest.get(document_id, -1)
        while row >= rows:
            row = self._former[row]
        return row

    def id_order(self, rows: int) -> NDArray[np.uint32]:
        return rows_by_id(pa.array(self._ids[:rows], pa.large_string()))

    def find_many(
        self, ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> Iterator[tuple[int, int]]:
        for position, document_id in enumerate(ids):
            row = self._newest.get(document_id)
            if row is not None:
                yield position, row

    def filter_mask(self, filter: Filter, rows: int) -> RowMask:
        return filter_mask(filter, np.ones(rows, np.bool_), self._condition_mask)

    def _condition_mask(self, condition: Condition, candidates: RowMask) -> RowMask:
        if not isinstance(condition, HasId):
            return self._columns.mask(condition, candidates)
        mask = np.zeros(len(candidates), np.bool_)
        for document_id in condition.ids:
            row = self.find(document_id, len(candidates))
            if row >= 0:
                mask[row] = True
        return mask

    def value_counts(self, key: str, allowed: RowMask) -> ValueCounts:
        return self._columns.value_counts(key, allowed)

    def text_blocks(self, rows: int, analyzer: Analyzer) -> tuple[TextBlock, ...]:
        return self._text.blocks(lambda start, end: self._texts[start:end], rows, analyzer)

    def known_text(self, analyzer: Analyzer) -> tuple[TextBlock, ...]:
        """The postings that searches have made so far, of the first rows."""
        return self._text.known(analyzer)


def _contents_bytes(rows: Rows) -> int:
    """What the objects take that rows are made of, apart from arrays and lists, within 20 %."""
    values = chain.from_iterable(flat.values() for flat in rows.flats)
    return (
        _ROW_BYTES * len(rows)
        + sum(map(len, rows.ids))
        + sum(map(getsizeof, rows.texts))
        + _PAYLOAD_BYTES * sum(map(bool, rows.flats))
        + int(_PER_PAYLOAD_BYTE * sum(len(payload) for payload in rows.payloads if payload))
        + _PATH_BYTES * sum(map(len, rows.flats))
        + _VALUE_BYTES * sum(map(len, values))
    )
