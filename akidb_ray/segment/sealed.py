"""Sealed segments: files that never change once written, mapped into memory to be read.

    segment.json     how many rows, and size and checksum of each file below
    vectors.f32      float32 (n, d), row by row
    documents.arrow  id, version, length, text, payload, expires_at
    ids.idx          64-bit hashes of the ids, sorted (8 bytes each), then their rows (4 bytes each)
    columns.arrow    payload values by path and type, see columns.py
    postings.arrow   terms of the texts with their rows, see postings.py; not in older segments

The last three are derived: they can be made again from the documents. A row whose id is null was
dead when the segment was written, and is in none of them.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Annotated, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.domain.document import NEVER, Times, Vectors
from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.domain.filter import Condition, Filter, HasId
from akidb_ray.domain.flattening import Flat
from akidb_ray.domain.ids import document_hash
from akidb_ray.segment.column_files import decode_columns
from akidb_ray.segment.columns import Columns, RowMask
from akidb_ray.segment.documents import decode_documents
from akidb_ray.segment.filtering import condition_mask_of_rows, filter_mask
from akidb_ray.segment.growing_text import GrowingText
from akidb_ray.segment.id_index import IdIndex, decode_ids, rows_by_id
from akidb_ray.segment.mask_cache import MaskCache
from akidb_ray.segment.packed_strings import PackedStrings
from akidb_ray.segment.posting_files import decode_postings
from akidb_ray.segment.postings import Postings, TextBlock
from akidb_ray.segment.rows import flat_of, hashes_of
from akidb_ray.segment.terms import Analyzer
from akidb_ray.segment.value_counting import ValueCounts, count_in_columns, count_in_flats
from akidb_ray.segment.view import Contents, StoredRow
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem

FORMAT = 1
DESCRIPTION = "segment.json"
VECTORS, DOCUMENTS, IDS, COLUMNS = "vectors.f32", "documents.arrow", "ids.idx", "columns.arrow"
POSTINGS = "postings.arrow"
DERIVED = (IDS, COLUMNS, POSTINGS)
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
        masks: MaskCache | None = None,
        postings: Postings | None = None,
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
        self._packed_ids = PackedStrings(self.ids)
        self._packed_texts = PackedStrings(self._texts)
        self._packed_payloads = PackedStrings(self._payloads)
        self._postings = postings
        # Instead of postings that are not there, or of another analysis.
        self._text = GrowingText()
        self._attached_at = attached_at
        self._masks = masks
        # Names this segment in the cache, which keeps it as long as it has masks of it.
        self._key = object()
        # Made when it is first asked for: a second for a million rows.
        self._id_order: NDArray[np.uint32] | None = None
        self._id_order_lock = threading.Lock()
        expires_at = documents.column("expires_at").to_numpy()
        self._expires_at: Times | None = expires_at if np.isfinite(expires_at).any() else None
        self.born_dead: RowMask | None = None
        if self.ids.null_count:
            self.born_dead = self.ids.is_null().to_numpy(zero_copy_only=False)

    @classmethod
    def open(
        cls,
        fs: FileSystem,
        path: PurePath,
        checksum: int,
        attached_at: int = 0,
        masks: MaskCache | None = None,
    ) -> "SealedSegment":
        """Map the files and verify every checksum.

        With `attached_at` all rows have this version, instead of those that are stored. What
        filters find is kept in `masks`.

        Raises Corrupt, naming the file, and InvalidState for a segment that a later version wrote.
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
        postings = None
        if POSTINGS in mapped:
            postings = decoded(POSTINGS, lambda data: decode_postings(data, rows))
        mapped_bytes = sum(facts.size_bytes for facts in description.files.values())
        return cls(
            vectors, documents, id_index, columns, attached_at, mapped_bytes, masks, postings
        )

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
        return self.ids_of((row,))[0]

    def ids_of(self, rows: Sequence[int]) -> list[str]:
        return [document_id or "" for document_id in self._packed_ids.texts(rows)]

    def contents_of(self, rows: Sequence[int], with_payload: bool) -> Contents:
        if self._attached_at:
            versions = [self._attached_at] * len(rows)
        else:
            versions = self._versions[rows].tolist()
        if not with_payload:
            return Contents.without_payload(versions)
        return Contents(versions, self._packed_payloads.raw(rows), self._packed_texts.texts(rows))

    def row(self, row: int) -> StoredRow:
        return StoredRow(
            self.id(row),
            self._attached_at or int(self._versions[row]),
            float(self._lengths[row]),
            self._packed_texts.texts((row,))[0],
            self._packed_payloads.raw((row,))[0],
            NEVER if self._expires_at is None else float(self._expires_at[row]),
        )

    def find(self, document_id: str, rows: int) -> int:
        for row in self.id_index.rows_of(document_hash(document_id)).tolist():
            if self.id(row) == document_id:
                return int(row)
        return -1

    def id_order(self, rows: int) -> NDArray[np.uint32]:
        with self._id_order_lock:
            if self._id_order is None:
                self._id_order = rows_by_id(self.ids)
            return self._id_order

    def find_many(
        self, ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> Iterator[tuple[int, int]]:
        positions, rows = self.id_index.pairs(hashes)
        found = zip(positions.tolist(), rows.tolist(), self.ids.take(rows).to_pylist(), strict=True)
        return ((position, row) for position, row, known in found if ids[position] == known)

    def filter_mask(self, filter: Filter, rows: int) -> RowMask:
        def make() -> RowMask:
            return filter_mask(filter, np.ones(rows, np.bool_), self._condition_mask)

        return make() if self._masks is None else self._masks.mask(self._key, filter, make)

    def _condition_mask(self, condition: Condition, candidates: RowMask) -> RowMask:
        if not isinstance(condition, HasId):
            return condition_mask_of_rows(condition, self.columns, candidates, self._flat)
        mask = np.zeros(len(candidates), np.bool_)
        for _, row in self.find_many(condition.ids, hashes_of(condition.ids)):
            mask[row] = True
        return mask

    def value_counts(self, key: str, allowed: RowMask) -> ValueCounts:
        if self.columns.knows(key):
            return count_in_columns(key, self.columns, allowed)
        return count_in_flats(key, allowed, self._flat)

    def text_blocks(self, rows: int, analyzer: Analyzer) -> tuple[TextBlock, ...]:
        return self.known_text(analyzer) or self._text.blocks(self._texts_between, rows, analyzer)

    def known_text(self, analyzer: Analyzer) -> tuple[TextBlock, ...]:
        """The postings of all rows, when there are any."""
        if self._postings is not None and self._postings.analysis == analyzer.analysis:
            return (TextBlock(0, self._postings),)
        return self._text.known(analyzer)

    def _texts_between(self, start: int, end: int) -> list[str | None]:
        texts: list[str | None] = self._texts.slice(start, end - start).to_pylist()
        return texts

    @property
    def memory_bytes(self) -> int:
        """What is held beside the mapped files: postings that were made, the order of the ids."""
        order = self._id_order
        return self._text.size_bytes + (0 if order is None else order.nbytes)

    def _flat(self, row: int) -> Flat:
        return flat_of(self._packed_payloads.raw((row,))[0])
