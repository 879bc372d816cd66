"""Sealed segments: files that never change once written, mapped into memory to be read.

    segment.json     how many rows, and size and checksum of each file below
    vectors.f32      float32 (n, d), row by row
    documents.arrow  id, version, length, text, payload
    ids.idx          64-bit hashes of the ids, sorted (n x 8 bytes), then their rows (n x 4 bytes)
    columns.arrow    payload values by path and type, see columns.py

All but the first two can be built again from them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.domain.document import Vectors
from akidb_ray.domain.errors import Corrupt
from akidb_ray.domain.filter import Condition, Filter, passes
from akidb_ray.domain.ids import document_hash
from akidb_ray.segment.columns import Columns, RowMask, decode_columns, encode_columns
from akidb_ray.segment.rows import flat_of, hashes_of
from akidb_ray.segment.view import Segment, StoredRow
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import Bytes, FileSystem

DESCRIPTION = "segment.json"
_FORMAT = 1
_WRITE_BLOCK_ROWS = 8192
_DOCUMENTS = pa.schema(
    {
        "id": pa.large_string(),
        "version": pa.int64(),
        "length": pa.float32(),
        "text": pa.large_string(),
        "payload": pa.large_binary(),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Rows of a segment that go into a new one, in this order."""

    segment: Segment
    rows: NDArray[np.int64]


def write_segment(fs: FileSystem, path: PurePath, sources: Sequence[Source], dimension: int) -> int:
    """Write the rows of `sources` as a new sealed segment, durably; return its checksum.

    Until a manifest names the segment it does not count, so a crash here leaves only rubbish.
    """
    fs.create_directory(path)
    stored = [source.segment.row(int(row)) for source in sources for row in source.rows]
    files: dict[str, dict[str, int]] = {}

    def write(name: str, parts: Iterable[Bytes]) -> None:
        checked = _Checked(parts)
        fs.write(path / name, checked)
        files[name] = {"size_bytes": checked.size_bytes, "crc32c": checked.checksum}

    write("vectors.f32", _vector_blocks(sources))
    write("documents.arrow", [_encode_documents(stored)])
    write("ids.idx", _encode_ids([row.id for row in stored]))
    write("columns.arrow", [encode_columns(flat_of(row.payload) for row in stored)])
    description = {"format": _FORMAT, "rows": len(stored), "dimension": dimension, "files": files}
    raw = orjson.dumps(description)
    fs.write(path / DESCRIPTION, [raw])
    fs.sync_directory(path)
    return crc32c(raw)


class _Checked:
    """Passes parts through, keeping their total size and checksum."""

    def __init__(self, parts: Iterable[Bytes]) -> None:
        self._parts = parts
        self.size_bytes = 0
        self.checksum = 0

    def __iter__(self) -> Iterator[Bytes]:
        for part in self._parts:
            self.checksum = crc32c(part, start=self.checksum)
            self.size_bytes += memoryview(part).nbytes
            yield part


def _vector_blocks(sources: Sequence[Source]) -> Iterable[Bytes]:
    for source in sources:
        for start in range(0, len(source.rows), _WRITE_BLOCK_ROWS):
            block = source.segment.vectors[source.rows[start : start + _WRITE_BLOCK_ROWS]]
            yield block.tobytes()


def _encode_documents(stored: Sequence[StoredRow]) -> bytes:
    columns = {
        "id": [row.id for row in stored],
        "version": [row.version for row in stored],
        "length": [row.length for row in stored],
        "text": [row.text for row in stored],
        "payload": [row.payload for row in stored],
    }
    batch = pa.RecordBatch.from_pydict(columns, schema=_DOCUMENTS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _DOCUMENTS) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _encode_ids(ids: Sequence[str]) -> list[bytes]:
    hashes = hashes_of(ids)
    order = np.argsort(hashes, kind="stable")
    return [hashes[order].tobytes(), order.astype(np.uint32).tobytes()]


class SealedSegment:
    """A sealed segment over its mapped files."""

    def __init__(
        self,
        vectors: Vectors,
        documents: pa.RecordBatch,
        hashes: NDArray[np.uint64],
        hash_rows: NDArray[np.uint32],
        columns: Columns,
    ) -> None:
        self._vectors = vectors
        self._ids = documents.column("id")
        self._versions = documents.column("version").to_numpy()
        self._lengths = documents.column("length").to_numpy()
        self._texts = documents.column("text")
        self._payloads = documents.column("payload")
        self._hashes = hashes
        self._hash_rows = hash_rows
        self._columns = columns

    @classmethod
    def open(cls, fs: FileSystem, path: PurePath, checksum: int) -> "SealedSegment":
        """Map the files and verify every checksum. Raises Corrupt, naming the file."""
        raw = fs.read(path / DESCRIPTION) if fs.exists(path / DESCRIPTION) else b""
        if crc32c(raw) != checksum:
            raise Corrupt(str(path / DESCRIPTION), "its checksum does not fit")
        description = orjson.loads(raw)
        rows, dimension = description["rows"], description["dimension"]
        mapped = {
            name: _map_checked(fs, path / name, facts["size_bytes"], facts["crc32c"])
            for name, facts in description["files"].items()
        }
        with pa.ipc.open_file(pa.py_buffer(mapped["documents.arrow"])) as reader:
            documents = reader.get_batch(0)
        return cls(
            np.frombuffer(mapped["vectors.f32"], np.float32).reshape(rows, dimension),
            documents,
            np.frombuffer(mapped["ids.idx"][: 8 * rows], np.uint64),
            np.frombuffer(mapped["ids.idx"][8 * rows :], np.uint32),
            decode_columns(mapped["columns.arrow"], rows),
        )

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def vectors(self) -> Vectors:
        return self._vectors

    def id(self, row: int) -> str:
        return str(self._ids[row].as_py())

    def row(self, row: int) -> StoredRow:
        return StoredRow(
            self.id(row),
            int(self._versions[row]),
            float(self._lengths[row]),
            self._texts[row].as_py(),
            self._payloads[row].as_py(),
        )

    def find(self, document_id: str, rows: int) -> int:
        wanted = np.uint64(document_hash(document_id))
        place = int(np.searchsorted(self._hashes, wanted))
        while place < len(self._hashes) and self._hashes[place] == wanted:
            row = int(self._hash_rows[place])
            if self.id(row) == document_id:
                return row
            place += 1
        return -1

    def find_many(
        self, ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> Iterator[tuple[int, int]]:
        places = np.searchsorted(self._hashes, hashes)
        places[places == len(self._hashes)] = 0
        for position in np.flatnonzero(self._hashes[places] == hashes).tolist():
            row = self.find(ids[position], len(self))
            if row >= 0:
                yield position, row

    def condition_mask(self, condition: Condition, rows: int) -> RowMask:
        if self._columns.knows(condition.key):
            return self._columns.mask(condition)
        filter = Filter((condition,))
        payloads = (self._payloads[row].as_py() for row in range(rows))
        return np.fromiter((passes(filter, flat_of(p)) for p in payloads), np.bool_, rows)


def _map_checked(fs: FileSystem, path: PurePath, size_bytes: int, checksum: int) -> memoryview:
    if not fs.exists(path):
        raise Corrupt(str(path), "is missing")
    data = fs.map(path)
    if len(data) != size_bytes or crc32c(data) != checksum:
        raise Corrupt(str(path), "its size or checksum does not fit")
    return data
