"""Sealed segments: files that never change once written, mapped into memory to be read.

    segment.json     how many rows, and size and checksum of each file below
    vectors.f32      float32 (n, d), row by row
    documents.arrow  id, version, length, text, payload, expires_at
    ids.idx          64-bit hashes of the ids, sorted (8 bytes each), then their rows (4 bytes each)
    columns.arrow    payload values by path and type, see columns.py

The last two are derived: they can be made again from the documents. A row whose id is null was dead
when the segment was written, and is in neither.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Annotated, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.domain.document import NEVER, Times, Vectors
from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.domain.filter import Condition, Filter, passes
from akidb_ray.domain.ids import document_hash
from akidb_ray.segment.columns import Columns, RowMask, decode_columns
from akidb_ray.segment.documents import decode_documents
from akidb_ray.segment.id_index import IdIndex, decode_ids
from akidb_ray.segment.rows import flat_of
from akidb_ray.segment.view import StoredRow
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem

FORMAT = 1
DESCRIPTION = "segment.json"
VECTORS, DOCUMENTS, IDS, COLUMNS = "vectors.f32", "documents.arrow", "ids.idx", "columns.arrow"
DERIVED = (IDS, COLUMNS)
_HINT = "; it can be made again: akidb inspect shard --repair"
T = TypeVar("T")
_Count = Annotated[int, msgspec.Meta(ge=0)]


class FileFacts(msgspec.Struct, frozen=True):
    """Size and CRC-32C of one file."""

    size_bytes: _Count
    crc32c: _Count


class SegmentDescription(msgspec.Struct, frozen=True):
    """What `segment.json` says. Files that this version does not know are verified, not read."""

    format: int
    rows: _Count
    dimension: Annotated[int, msgspec.Meta(ge=1)]
    files: dict[str, FileFacts]


class _Format(msgspec.Struct):
    """All that is understood of a description before its format is known."""

    format: int


def read_description(fs: FileSystem, path: PurePath, checksum: int) -> SegmentDescription:
    """Raises Corrupt, naming the file, and InvalidState for one that a later version wrote."""
    file = path / DESCRIPTION
    raw = fs.read(file) if fs.exists(file) else b""
    if crc32c(raw) != checksum:
        raise Corrupt(str(file), "is missing or its checksum does not fit")
    try:
        written = msgspec.json.decode(raw, type=_Format).format
        if written != FORMAT:
            known = f"reading it with this version, which knows format {FORMAT}"
            raise InvalidState("segment", f"of format {written}", known)
        description = msgspec.json.decode(raw, type=SegmentDescription)
    except msgspec.MsgspecError as error:
        raise Corrupt(str(file), f"is no description of a segment: {error}") from error
    for name in (VECTORS, DOCUMENTS, IDS, COLUMNS):
        if name not in description.files:
            raise Corrupt(str(file), f"does not name {name}")
    return description


def map_checked(fs: FileSystem, path: PurePath, facts: FileFacts) -> memoryview:
    """The bytes of a file. Raises Corrupt when they are not what was written."""
    hint = _HINT if path.name in DERIVED else ""
    if not fs.exists(path):
        raise Corrupt(str(path), f"is missing{hint}")
    data = fs.map(path)
    if len(data) != facts.size_bytes or crc32c(data) != facts.crc32c:
        raise Corrupt(str(path), f"its size or checksum does not fit{hint}")
    return data


class SealedSegment:
    """A sealed segment over its mapped files.

    `ids` is an Arrow array of the ids, and `id_index` finds their rows. `born_dead` says which rows
    were dead when it was written, or None when none was.
    """

    def __init__(
        self,
        vectors: Vectors,
        documents: pa.RecordBatch,
        id_index: IdIndex,
        columns: Columns,
        attached_at: int,
        mapped_bytes: int,
    ) -> None:
        self.id_index = id_index
        self.columns = columns
        self.mapped_bytes = mapped_bytes
        self.ids = documents.column("id")
        self._vectors = vectors
        self._documents = documents
        self._versions = documents.column("version").to_numpy()
        self._lengths = documents.column("length").to_numpy()
        self._texts = documents.column("text")
        self._payloads = documents.column("payload")
        self._attached_at = attached_at
        expires_at = documents.column("expires_at").to_numpy()
        self._expires_at: Times | None = expires_at if np.isfinite(expires_at).any() else None
        self.born_dead: RowMask | None = None
        if self.ids.null_count:
            self.born_dead = self.ids.is_null().to_numpy(zero_copy_only=False)

    @classmethod
    def open(
        cls, fs: FileSystem, path: PurePath, checksum: int, attached_at: int = 0
    ) -> "SealedSegment":
        """Map the files and verify every checksum.

        With `attached_at` all rows have this version, instead of those that are stored. Raises
        Corrupt, naming the file, and InvalidState for a segment that a later version wrote.
        """
        description = read_description(fs, path, checksum)
        mapped = {
            name: map_checked(fs, path / name, facts) for name, facts in description.files.items()
        }
        rows, shape = description.rows, (description.rows, description.dimension)

        def decoded(name: str, decode: Callable[[memoryview], T]) -> T:
            try:
                return decode(mapped[name])
            except ValueError as error:
                raise Corrupt(str(path / name), f"cannot be decoded: {error}") from error

        vectors = decoded(VECTORS, lambda data: np.frombuffer(data, np.float32).reshape(shape))
        documents = decoded(DOCUMENTS, lambda data: decode_documents(data, rows))
        id_index = decoded(IDS, lambda data: decode_ids(data, documents.column("id")))
        columns = decoded(COLUMNS, lambda data: decode_columns(data, rows))
        mapped_bytes = sum(facts.size_bytes for facts in description.files.values())
        return cls(vectors, documents, id_index, columns, attached_at, mapped_bytes)

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def vectors(self) -> Vectors:
        return self._vectors

    @property
    def expires_at(self) -> Times | None:
        return self._expires_at

    def documents(self) -> pa.RecordBatch:
        """All rows without their vectors, as `documents.SCHEMA` says."""
        if not self._attached_at:
            return self._documents
        versions = pa.array(np.full(len(self), self._attached_at, np.int64))
        position = self._documents.schema.get_field_index("version")
        return self._documents.set_column(position, "version", versions)

    def id(self, row: int) -> str:
        """The id, "" for a row that carries no document."""
        return self.ids[row].as_py() or ""

    def row(self, row: int) -> StoredRow:
        return StoredRow(
            self.id(row),
            self._attached_at or int(self._versions[row]),
            float(self._lengths[row]),
            self._texts[row].as_py(),
            self._payloads[row].as_py(),
            NEVER if self._expires_at is None else float(self._expires_at[row]),
        )

    def find(self, document_id: str, rows: int) -> int:
        for row in self.id_index.rows_of(document_hash(document_id)).tolist():
            if self.id(row) == document_id:
                return int(row)
        return -1

    def find_many(
        self, ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> Iterator[tuple[int, int]]:
        positions, rows = self.id_index.pairs(hashes)
        found = zip(positions.tolist(), rows.tolist(), self.ids.take(rows).to_pylist(), strict=True)
        return ((position, row) for position, row, known in found if ids[position] == known)

    def condition_mask(self, condition: Condition, rows: int) -> RowMask:
        if self.columns.knows(condition.key):
            return self.columns.mask(condition)
        filter = Filter((condition,))
        payloads = (self._payloads[row].as_py() for row in range(rows))
        return np.fromiter((passes(filter, flat_of(p)) for p in payloads), np.bool_, rows)
