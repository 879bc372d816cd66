"""The growing segment: the newest rows, in memory, searched exactly.

One writer appends; readers use views that cover the rows of their time. Rows never move or change,
so a reader needs no lock: arrays are replaced by larger copies, and old views keep the old ones.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.domain.document import NEVER, Times, Vectors
from akidb_ray.domain.filter import Condition, Filter, Flat, passes
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.documents import SCHEMA
from akidb_ray.segment.rows import Rows
from akidb_ray.segment.view import StoredRow

_FIRST_CAPACITY = 16
# What a row costs in memory beside its vector, text and payload: list cells, dict entry, objects.
_ROW_OVERHEAD_BYTES = 600


class GrowingSegment:
    def __init__(self, dimension: int) -> None:
        self._vectors = np.empty((_FIRST_CAPACITY, dimension), np.float32)
        self._ids: list[str] = []
        self._versions: list[int] = []
        self._lengths: list[float] = []
        self._texts: list[str | None] = []
        self._payloads: list[bytes | None] = []
        self._flats: list[Flat] = []
        self._expires_at: Times | None = None
        self._newest: dict[str, int] = {}
        # The row that held the same id before, -1 when none did: older views must still find
        # theirs.
        self._former: list[int] = []
        self._contents_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Memory that the rows take, with what is allocated for more."""
        return self._vectors.nbytes + self._contents_bytes + len(self) * _ROW_OVERHEAD_BYTES

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def vectors(self) -> Vectors:
        return self._vectors

    @property
    def expires_at(self) -> Times | None:
        return self._expires_at

    def append(self, rows: Rows, version: int) -> None:
        """Add rows, all written by record number `version`."""
        first = len(self)
        self._reserve(first + len(rows))
        self._vectors[first : first + len(rows)] = rows.vectors
        self._note_expiry(first, rows.expires_at)
        for row, document_id in enumerate(rows.ids, start=first):
            self._former.append(self._newest.get(document_id, -1))
            self._newest[document_id] = row
        self._versions.extend([version] * len(rows))
        self._lengths.extend(rows.lengths.tolist())
        self._texts.extend(rows.texts)
        self._payloads.extend(rows.payloads)
        self._flats.extend(rows.flats)
        self._ids.extend(rows.ids)
        # The payload's bytes, and its values by path.
        self._contents_bytes += sum(3 * len(payload) for payload in rows.payloads if payload)
        self._contents_bytes += sum(len(text) for text in rows.texts if text)

    def _reserve(self, rows: int) -> None:
        capacity, dimension = self._vectors.shape
        if rows > capacity:
            larger = np.empty((max(rows, 2 * capacity), dimension), np.float32)
            larger[:capacity] = self._vectors
            self._vectors = larger

    def _note_expiry(self, first: int, expires_at: Times) -> None:
        if self._expires_at is None:
            if not np.isfinite(expires_at).any():
                return
            self._expires_at = np.full(first, NEVER)
        self._expires_at = np.concatenate([self._expires_at[:first], expires_at])

    def id(self, row: int) -> str:
        return self._ids[row]

    def row(self, row: int) -> StoredRow:
        return StoredRow(
            self._ids[row],
            self._versions[row],
            self._lengths[row],
            self._texts[row],
            self._payloads[row],
            NEVER if self._expires_at is None else float(self._expires_at[row]),
        )

    def flat(self, row: int) -> Flat:
        """The row's flattened payload."""
        return self._flats[row]

    def documents(self) -> pa.RecordBatch:
        """All rows without their vectors, as `documents.SCHEMA` says."""
        rows = len(self)
        expires_at = self._expires_at if self._expires_at is not None else np.full(rows, NEVER)
        columns = {
            "id": self._ids[:rows],
            "version": self._versions[:rows],
            "length": self._lengths[:rows],
            "text": self._texts[:rows],
            "payload": self._payloads[:rows],
            "expires_at": expires_at[:rows],
        }
        return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)

    def find(self, document_id: str, rows: int) -> int:
        row = self._newest.get(document_id, -1)
        while row >= rows:
            row = self._former[row]
        return row

    def find_many(
        self, ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> Iterator[tuple[int, int]]:
        for position, document_id in enumerate(ids):
            row = self._newest.get(document_id)
            if row is not None:
                yield position, row

    def condition_mask(self, condition: Condition, rows: int) -> RowMask:
        filter = Filter((condition,))
        return np.fromiter(
            (passes(filter, self._flats[row]) for row in range(rows)), np.bool_, rows
        )
