"""Writing sealed segments: from a growing one, or by merging sealed ones.

Nothing here works row by row where a merge could meet a million of them. Until a manifest names a
segment it does not count, so a crash here leaves only rubbish.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.domain.collection import Language
from akidb_ray.domain.flattening import Flat
from akidb_ray.segment.column_files import encode_columns
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.documents import encode_documents, join_documents, take_documents
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.id_index import encode_ids
from akidb_ray.segment.merged_columns import ColumnSource, can_merge, merge_columns
from akidb_ray.segment.merged_postings import PostingsSource, merge_postings, postings_of
from akidb_ray.segment.posting_files import encode_postings
from akidb_ray.segment.postings import Postings, TextBlock, no_postings
from akidb_ray.segment.rows import flat_of
from akidb_ray.segment.sealed import (
    COLUMNS,
    DESCRIPTION,
    DOCUMENTS,
    FORMAT,
    IDS,
    POSTINGS,
    VECTORS,
    SealedSegment,
)
from akidb_ray.segment.terms import Analyzer, analyzer_of
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import Bytes, FileSystem

_WRITE_BLOCK_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Rows of a segment that go into a new one: int64 (n,), rising.

    Of rows that are not `alive` (None: all are) only the vector is carried on, for the sake of a
    graph that knows them.
    """

    segment: GrowingSegment | SealedSegment
    rows: NDArray[np.int64]
    alive: RowMask | None = None

    @property
    def alive_mask(self) -> RowMask:
        return np.ones(len(self.rows), np.bool_) if self.alive is None else self.alive


def write_segment(
    fs: FileSystem,
    path: PurePath,
    sources: Sequence[Source],
    dimension: int,
    language: Language = Language.ENGLISH,
) -> int:
    """Write the rows of `sources` as a new sealed segment, durably; return its checksum.

    `language` is that of the collection, for its postings.
    """
    fs.create_directory(path)
    documents = join_documents(
        [take_documents(s.segment.documents(), s.rows, s.alive_mask) for s in sources]
    )
    contents: dict[str, Iterable[Bytes]] = {
        VECTORS: _vector_blocks(sources, dimension),
        DOCUMENTS: encode_documents(documents),
        IDS: encode_ids(documents.column("id")),
        COLUMNS: _columns(sources, documents),
        POSTINGS: encode_postings(_postings(sources, documents, analyzer_of(language))),
    }
    facts = {name: write_file(fs, path / name, parts) for name, parts in contents.items()}
    return write_description(fs, path, documents.num_rows, dimension, facts)


Facts = dict[str, int]


def write_file(fs: FileSystem, path: PurePath, parts: Iterable[Bytes]) -> Facts:
    """Write and sync a file; return its size and checksum, as a description holds them."""
    checked = _Checked(parts)
    fs.write(path, checked)
    return {"size_bytes": checked.size_bytes, "crc32c": checked.checksum}


def write_description(
    fs: FileSystem, path: PurePath, rows: int, dimension: int, files: dict[str, Facts]
) -> int:
    """Write `segment.json`, make the whole folder durable, and return the checksum."""
    description = {"format": FORMAT, "rows": rows, "dimension": dimension, "files": files}
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


def _vector_blocks(sources: Sequence[Source], dimension: int) -> Iterator[Bytes]:
    block_rows = max(1, _WRITE_BLOCK_BYTES // (4 * dimension))
    for source in sources:
        for start in range(0, len(source.rows), block_rows):
            block = source.segment.vectors[source.rows[start : start + block_rows]]
            yield block.reshape(-1).data


def _columns(sources: Sequence[Source], documents: pa.RecordBatch) -> list[Bytes]:
    known = [s.segment.columns for s in sources if isinstance(s.segment, SealedSegment)]
    if len(known) == len(sources) and can_merge(known):
        return merge_columns(_column_sources(sources))
    if len(sources) == 1 and isinstance(sources[0].segment, GrowingSegment):
        return encode_columns(_known_flats(sources[0].segment, sources[0]))
    return encode_columns(flats_of(documents))


def _known_flats(growing: GrowingSegment, source: Source) -> Iterator[Flat]:
    for row, alive in zip(source.rows.tolist(), source.alive_mask.tolist(), strict=True):
        yield growing.flat(row) if alive else {}


def flats_of(documents: pa.RecordBatch) -> Iterator[Flat]:
    """The flattened payload of each row; an empty one for a row without a document."""
    for payload in documents.column("payload"):
        yield flat_of(payload.as_py())


def _postings(sources: Sequence[Source], documents: pa.RecordBatch, analyzer: Analyzer) -> Postings:
    """Of what is known already; only texts that are in no postings yet are read."""
    texts, rows = documents.column("text"), documents.num_rows
    if texts.null_count == rows:
        return no_postings(rows, analyzer.analysis)
    found, start = [], 0
    for source in sources:
        blocks = source.segment.known_text(analyzer)
        found += [PostingsSource(b.postings, _rows_from(b, source, start)) for b in blocks]
        known = int(np.searchsorted(source.rows, blocks[-1].end)) if blocks else 0
        unknown = np.arange(start + known, start + len(source.rows))
        if len(unknown):
            left = texts.slice(start + known, len(unknown)).to_pylist()
            found.append(PostingsSource(postings_of(left, analyzer), unknown))
        start += len(source.rows)
    return merge_postings(found, rows, analyzer.analysis)


def _rows_from(block: TextBlock, source: Source, start: int) -> NDArray[np.int64]:
    """The new number of each row of the block when those of the source begin at `start`."""
    new_rows = np.full(len(block.postings), -1, np.int64)
    taken = source.alive_mask & (source.rows >= block.start) & (source.rows < block.end)
    new_rows[source.rows[taken] - block.start] = start + np.flatnonzero(taken)
    return new_rows


def _column_sources(sources: Sequence[Source]) -> list[ColumnSource]:
    found, start = [], 0
    for source in sources:
        assert isinstance(source.segment, SealedSegment)
        new_rows = np.full(len(source.segment), -1, np.int64)
        numbers = np.arange(start, start + len(source.rows))
        new_rows[source.rows[source.alive_mask]] = numbers[source.alive_mask]
        found.append(ColumnSource(source.segment.columns, new_rows))
        start += len(source.rows)
    return found
