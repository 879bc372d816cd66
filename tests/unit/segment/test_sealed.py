"""Opening sealed segments: damage of every kind, what later versions write, memory."""

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.segment.arrow_batches import decode_file, encode_file
from akidb_ray.segment.documents import SCHEMA
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.sealed import (
    COLUMNS,
    DESCRIPTION,
    DOCUMENTS,
    IDS,
    POSTINGS,
    VECTORS,
    SealedSegment,
    read_description,
)
from akidb_ray.segment.segment_writer import write_segment
from akidb_ray.segment.view import view_of
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import (
    DIMENSION,
    PATH,
    all_of,
    growing_with,
    rows_with,
    sealed_of,
)

FILES = [DESCRIPTION, VECTORS, DOCUMENTS, IDS, COLUMNS, POSTINGS]
PAYLOADS: list[dict[str, Any] | None] = [{"n": 1, "s": "x"}, {"n": 2.5, "b": True}, None]


def _written(fs: OsFileSystem) -> int:
    return write_segment(fs, PATH, [all_of(growing_with(PAYLOADS))], DIMENSION)


def _rewrite(fs: OsFileSystem, name: str, content: bytes) -> int:
    """Change a file as another program could, with all checksums right. Returns the new one."""
    if name != DESCRIPTION:
        fs.write(PATH / name, [content])
        description = orjson.loads(fs.read(PATH / DESCRIPTION))
        description["files"][name] = {"size_bytes": len(content), "crc32c": crc32c(content)}
        content = orjson.dumps(description)
    fs.write(PATH / DESCRIPTION, [content])
    return crc32c(content)


def _describe(fs: OsFileSystem, **changes: object) -> int:
    description = {**orjson.loads(fs.read(PATH / DESCRIPTION)), **changes}
    return _rewrite(fs, DESCRIPTION, orjson.dumps(description))


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_is_found_and_the_file_named(fs: OsFileSystem, name: str) -> None:
    checksum = _written(fs)
    file = fs.root / PATH / name
    content = file.read_bytes()
    for offset in range(len(content)):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << offset % 8
        file.write_bytes(damaged)
        with pytest.raises(Corrupt) as stopped:
            SealedSegment.open(fs, PATH, checksum)
        assert stopped.value.fields["file"] == str(PATH / name)
    file.write_bytes(content)
    assert len(SealedSegment.open(fs, PATH, checksum)) == 3


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["missing", "empty", "cut", "longer"])
def test_file_of_another_size_is_corrupt(fs: OsFileSystem, name: str, change: str) -> None:
    checksum = _written(fs)
    file = fs.root / PATH / name
    content = file.read_bytes()
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": content[:-1], "longer": content + b"\0"}[change])
    with pytest.raises(Corrupt) as stopped:
        SealedSegment.open(fs, PATH, checksum)
    assert stopped.value.fields["file"] == str(PATH / name)


def test_missing_segment_is_corrupt(fs: OsFileSystem) -> None:
    with pytest.raises(Corrupt):
        SealedSegment.open(fs, PATH, 17)


def _documents(change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> Callable[[bytes], bytes]:
    return lambda raw: b"".join(encode_file(change(decode_file(raw))))


def _with_nulls(name: str) -> Callable[[bytes], bytes]:
    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        nulls = pa.nulls(batch.num_rows, batch.schema.field(name).type)
        return batch.set_column(batch.schema.names.index(name), batch.schema.field(name), nulls)

    return _documents(change)


def _two_batches(raw: bytes) -> bytes:
    batch, sink = decode_file(raw), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch.slice(0, 1))
        writer.write_batch(batch.slice(1))
    return sink.getvalue().to_pybytes()


def _no_batch(raw: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA):
        pass
    return sink.getvalue().to_pybytes()


SENSELESS: list[tuple[str, Callable[[bytes], bytes]]] = [
    (VECTORS, lambda raw: raw[:-1]),
    (VECTORS, lambda raw: raw + bytes(4 * DIMENSION)),
    (VECTORS, lambda raw: b""),
    (DOCUMENTS, lambda raw: b""),
    (DOCUMENTS, lambda raw: b"no Arrow file"),
    (DOCUMENTS, lambda raw: raw[: len(raw) // 2] + raw[-200:]),
    (DOCUMENTS, _documents(lambda batch: batch.slice(1))),
    (DOCUMENTS, _documents(lambda batch: batch.select(["id", "version"]))),
    (DOCUMENTS, _documents(lambda batch: batch.select(SCHEMA.names[::-1]))),
    (DOCUMENTS, _with_nulls("version")),
    (DOCUMENTS, _with_nulls("length")),
    (DOCUMENTS, _with_nulls("expires_at")),
    (DOCUMENTS, _two_batches),
    (DOCUMENTS, _no_batch),
    (IDS, lambda raw: b""),
    (IDS, lambda raw: raw[:-4]),
    (IDS, lambda raw: raw[:-12]),
    (IDS, lambda raw: raw + raw[:12]),
    (IDS, lambda raw: raw[:-4] + (3).to_bytes(4, "little")),
    (IDS, lambda raw: raw[8:16] + raw[:8] + raw[16:]),
    (COLUMNS, lambda raw: b""),
    (COLUMNS, lambda raw: raw[:-1]),
    (POSTINGS, lambda raw: b""),
    (POSTINGS, lambda raw: raw[:-1]),
]


@pytest.mark.parametrize(("name", "change"), SENSELESS)
def test_senseless_content_behind_good_checksums_is_corrupt(
    fs: OsFileSystem, name: str, change: Callable[[bytes], bytes]
) -> None:
    _written(fs)
    checksum = _rewrite(fs, name, change(fs.read(PATH / name)))
    with pytest.raises(Corrupt) as stopped:
        SealedSegment.open(fs, PATH, checksum)
    assert stopped.value.fields["file"] == str(PATH / name)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"rows": "3"},
        {"dimension": 0},
        {"dimension": -1},
        {"files": {}},
        {"files": []},
        {"format": None},
    ],
)
def test_description_that_makes_no_sense_is_corrupt(
    fs: OsFileSystem, change: dict[str, object]
) -> None:
    _written(fs)
    with pytest.raises(Corrupt) as stopped:
        SealedSegment.open(fs, PATH, _describe(fs, **change))
    assert stopped.value.fields["file"] == str(PATH / DESCRIPTION)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_description_that_is_no_description_is_corrupt(fs: OsFileSystem, content: bytes) -> None:
    _written(fs)
    with pytest.raises(Corrupt):
        read_description(fs, PATH, _rewrite(fs, DESCRIPTION, content))


@pytest.mark.parametrize("change", [{}, {"files": ["named", "otherwise"]}, {"rows": "many"}])
def test_segment_of_a_later_format_is_refused_and_not_called_damaged(
    fs: OsFileSystem, change: dict[str, object]
) -> None:
    _written(fs)
    with pytest.raises(InvalidState, match="format 2"):
        SealedSegment.open(fs, PATH, _describe(fs, format=2, **change))


def test_file_that_a_later_version_added_is_verified_and_not_read(fs: OsFileSystem) -> None:
    _written(fs)
    checksum = _rewrite(fs, "postings.idx", b"of a later version")
    assert len(SealedSegment.open(fs, PATH, checksum)) == 3
    fs.write(PATH / "postings.idx", [b"of a later versioN"])
    with pytest.raises(Corrupt) as stopped:
        SealedSegment.open(fs, PATH, checksum)
    assert stopped.value.fields["file"] == str(PATH / "postings.idx")


def test_fields_that_a_later_version_added_do_no_harm(fs: OsFileSystem) -> None:
    _written(fs)
    assert len(SealedSegment.open(fs, PATH, _describe(fs, language="en"))) == 3


@pytest.mark.usefixtures("same_hashes")
def test_ids_with_the_same_hash_are_told_apart(fs: OsFileSystem) -> None:
    sealed = sealed_of(fs, all_of(growing_with([None] * 200)))
    for row in range(200):
        assert sealed.find(f"doc-{row}", 200) == row
    assert sealed.find("doc-200", 200) == -1
    ids = ["doc-7", "no-7", "doc-107", "doc-200", "doc-17", "x"]
    hashes = np.array([ord(document_id[-1]) for document_id in ids], np.uint64)
    assert sorted(sealed.find_many(ids, hashes)) == [(0, 7), (2, 107), (4, 17)]


def test_mapped_arrays_cannot_be_changed(fs: OsFileSystem) -> None:
    sealed = sealed_of(fs, all_of(growing_with([None] * 3, expires_at=[1.0, 2.0, 3.0])))
    assert sealed.expires_at is not None
    for array in (sealed.vectors, sealed.expires_at, sealed.id_index.hashes, sealed.id_index.rows):
        assert not array.flags.writeable
        assert array.flags.aligned


def test_sizes_are_those_of_the_mapped_files(fs: OsFileSystem) -> None:
    sealed = sealed_of(fs, all_of(growing_with(PAYLOADS)))
    assert sealed.mapped_bytes == sum(fs.size_bytes(PATH / name) for name in FILES[1:])


def test_segment_of_ten_rows_takes_little_memory(fs: OsFileSystem) -> None:
    growing = GrowingSegment(384)
    payloads = [{"n": number, "genre": "jazz", "year": 1999} for number in range(10)]
    growing.append(rows_with(payloads, dimension=384), version=1)
    checksum = write_segment(fs, PATH, [all_of(growing)], 384)
    SealedSegment.open(fs, PATH, checksum).find("doc-3", 10)
    gc.collect()
    tracemalloc.start()
    try:
        sealed = SealedSegment.open(fs, PATH, checksum)
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(sealed) == 10
    assert held_bytes < 100_000


def _mapped(folder: Path) -> list[str]:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_files_are_mapped_until_the_last_view_goes(fs: OsFileSystem) -> None:
    sealed = sealed_of(fs, all_of(growing_with(PAYLOADS)))
    folder = fs.root / PATH
    assert len(_mapped(folder)) >= 4
    view = view_of(sealed, np.ones(3, np.bool_))
    vectors, found = view.vectors, view.segment.row(0)
    del sealed
    fs.remove_tree(PATH)
    assert view.find("doc-1", 0.0) == 1
    del view
    assert len(_mapped(folder)) == 1
    del vectors
    assert _mapped(folder) == []
    assert found.id == "doc-0"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_segment_that_cannot_be_opened_leaves_nothing_mapped(fs: OsFileSystem) -> None:
    _written(fs)
    checksum = _rewrite(fs, COLUMNS, b"no columns")
    with pytest.raises(Corrupt):
        SealedSegment.open(fs, PATH, checksum)
    assert _mapped(fs.root / PATH) == []
