from pathlib import PurePosixPath

import numpy as np
import orjson
import pytest

from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.segment.checking import FileCheck, check_segment, rebuild_derived
from akidb_ray.segment.columns import MAX_PATHS
from akidb_ray.segment.sealed import (
    COLUMNS,
    DERIVED,
    DESCRIPTION,
    DOCUMENTS,
    IDS,
    POSTINGS,
    VECTORS,
    SealedSegment,
)
from akidb_ray.segment.segment_writer import Source, write_segment
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import DIMENSION, PATH, Payloads, growing_with

FILES = [DESCRIPTION, VECTORS, DOCUMENTS, IDS, COLUMNS, POSTINGS]
TARGET = PurePosixPath("segments/rebuilt")
PAYLOADS: Payloads = [{"n": number, "s": ["a", f"日本 {number}"]} for number in range(9)]


def _written(fs: OsFileSystem, payloads: Payloads = PAYLOADS) -> int:
    """A segment with a dead row."""
    growing = growing_with(payloads)
    alive = np.arange(len(growing)) != 4
    return write_segment(fs, PATH, [Source(growing, np.arange(len(growing)), alive)], DIMENSION)


def _damage(fs: OsFileSystem, name: str) -> None:
    file = fs.root / PATH / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_whole_segment_is_found_whole(fs: OsFileSystem) -> None:
    checks = check_segment(fs, PATH, _written(fs))
    assert checks == [
        FileCheck(name, fs.size_bytes(PATH / name), True, "", name in DERIVED) for name in FILES
    ]


@pytest.mark.parametrize("name", FILES[1:])
def test_damaged_and_missing_files_are_named_and_the_others_are_not(
    fs: OsFileSystem, name: str
) -> None:
    checksum = _written(fs)
    _damage(fs, name)
    (damaged,) = [check for check in check_segment(fs, PATH, checksum) if not check.ok]
    assert (damaged.name, damaged.derived) == (name, name in DERIVED)
    assert "does not fit" in damaged.reason
    fs.remove(PATH / name)
    (missing,) = [check for check in check_segment(fs, PATH, checksum) if not check.ok]
    assert (missing.name, missing.size_bytes) == (name, 0)
    assert "is missing" in missing.reason


def test_damaged_description_is_all_that_can_be_said(fs: OsFileSystem) -> None:
    checksum = _written(fs)
    _damage(fs, DESCRIPTION)
    (check,) = check_segment(fs, PATH, checksum)
    assert (check.name, check.ok, check.derived) == (DESCRIPTION, False, False)


def test_segment_of_a_later_format_is_named_for_what_it_is(fs: OsFileSystem) -> None:
    _written(fs)
    raw = orjson.dumps({"format": 2})
    fs.write(PATH / DESCRIPTION, [raw])
    (check,) = check_segment(fs, PATH, crc32c(raw))
    assert "format 2" in check.reason
    with pytest.raises(InvalidState):
        rebuild_derived(fs, PATH, TARGET, crc32c(raw))


@pytest.mark.parametrize("lost", [[], [IDS], [COLUMNS], [POSTINGS], [IDS, COLUMNS, POSTINGS]])
@pytest.mark.parametrize("paths", [2, MAX_PATHS + 10])
def test_rebuilt_segment_is_what_it_was(fs: OsFileSystem, lost: list[str], paths: int) -> None:
    wide = [{f"path{number}": number, "s": "a"} for number in range(paths)]
    checksum = _written(fs, PAYLOADS if paths == 2 else wide)
    before = {name: fs.read(PATH / name) for name in FILES}
    for name in lost:
        fs.remove(PATH / name)
    assert rebuild_derived(fs, PATH, TARGET, checksum) == checksum
    assert {name: fs.read(TARGET / name) for name in FILES} == before
    SealedSegment.open(fs, TARGET, checksum)


@pytest.mark.parametrize("name", [VECTORS, DOCUMENTS])
def test_what_no_other_file_knows_is_not_made_up(fs: OsFileSystem, name: str) -> None:
    checksum = _written(fs)
    _damage(fs, name)
    with pytest.raises(Corrupt) as stopped:
        rebuild_derived(fs, PATH, TARGET, checksum)
    assert stopped.value.fields["file"] == str(PATH / name)
    assert not fs.exists(TARGET)


@pytest.mark.parametrize("payload", [b"no JSON", None])
def test_documents_that_make_no_sense_are_corrupt(fs: OsFileSystem, payload: bytes | None) -> None:
    _written(fs, [{"n": "to be lost"}] * 9)
    raw = fs.read(PATH / DOCUMENTS)
    raw = raw.replace(b'{"n":"to be lost"}', b"no JSON at all    ") if payload else b"no batch"
    fs.write(PATH / DOCUMENTS, [raw])
    description = orjson.loads(fs.read(PATH / DESCRIPTION))
    description["files"][DOCUMENTS] = {"size_bytes": len(raw), "crc32c": crc32c(raw)}
    content = orjson.dumps(description)
    fs.write(PATH / DESCRIPTION, [content])
    with pytest.raises(Corrupt) as stopped:
        rebuild_derived(fs, PATH, TARGET, crc32c(content))
    assert stopped.value.fields["file"] == str(PATH / DOCUMENTS)
    assert not fs.exists(TARGET)
