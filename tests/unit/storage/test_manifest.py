from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import Corrupt, NotFound, StorageFailed
from akidb_ray.storage.manifest import (
    CURRENT,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, run_until
from tests.unit.storage.watched_filesystem import WatchedFileSystem

FIRST = Manifest(1, epoch=1, collection={"spec": {"dimension": 16}})
SECOND = FIRST.next(
    checkpoint=9,
    segments=(SegmentEntry("s", 3, 7), SegmentEntry("t", 4, 8, "g", 9, "t-1", 10)),
    wal_end=12,
)


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path)


def _names(fs: OsFileSystem) -> list[str]:
    return fs.list(PurePosixPath())


def test_manifest_comes_back_whole_and_its_predecessor_goes(fs: OsFileSystem) -> None:
    write_manifest(fs, FIRST)
    assert read_manifest(fs) == FIRST
    write_manifest(fs, SECOND)
    assert read_manifest(fs) == SECOND
    assert _names(fs) == ["CURRENT", "manifest-000002"]


def test_folder_without_manifest_is_not_found(fs: OsFileSystem) -> None:
    with pytest.raises(NotFound):
        read_manifest(fs)


@pytest.mark.parametrize("keep", Keep)
def test_swap_is_atomic_wherever_it_stops(keep: Keep) -> None:
    stop_at, ended = 0, False
    while not ended:
        for seed in range(4):
            fs = FaultyFileSystem()
            write_manifest(fs, FIRST)
            started = len(fs.machine.steps)
            ended = run_until(
                fs.machine, started + stop_at, lambda fs=fs: write_manifest(fs, SECOND)
            )
            left = read_manifest(fs.machine.after_end(keep, seed))
            assert left in ((SECOND,) if ended else (FIRST, SECOND))
        stop_at += 1
    assert stop_at > 5


def test_failed_write_leaves_the_former_manifest_live(fs: OsFileSystem) -> None:
    write_manifest(fs, FIRST)
    watched = WatchedFileSystem(fs)
    watched.watch.fail("replace", "CURRENT", StorageFailed("I/O error"))
    with pytest.raises(StorageFailed):
        write_manifest(watched, SECOND)
    assert read_manifest(fs) == FIRST
    write_manifest(fs, SECOND)
    assert read_manifest(fs) == SECOND


@pytest.mark.parametrize("name", ["CURRENT", "manifest-000002"])
def test_every_flipped_byte_is_found(fs: OsFileSystem, name: str) -> None:
    write_manifest(fs, SECOND)
    path = PurePosixPath(name)
    content = fs.read(path)
    for offset in range(len(content)):
        for bit in (0x01, 0x80):
            damaged = bytearray(content)
            damaged[offset] ^= bit
            fs.write(path, [damaged])
            with pytest.raises(Corrupt) as stopped:
                read_manifest(fs)
            assert stopped.value.fields["file"] == name


@pytest.mark.parametrize("name", ["CURRENT", "manifest-000002"])
def test_every_cut_is_found(fs: OsFileSystem, name: str) -> None:
    write_manifest(fs, SECOND)
    path = PurePosixPath(name)
    content = fs.read(path)
    for length in range(len(content)):
        fs.write(path, [content[:length]])
        with pytest.raises(Corrupt):
            read_manifest(fs)


def test_missing_manifest_is_corrupt_not_absent(fs: OsFileSystem) -> None:
    write_manifest(fs, SECOND)
    fs.remove(PurePosixPath("manifest-000002"))
    with pytest.raises(Corrupt):
        read_manifest(fs)


@pytest.mark.parametrize("content", [b"", b"../secret", b"manifest-../x", b"\xff\xfe", b"LOCK"])
def test_rubbish_in_current_is_corrupt(fs: OsFileSystem, content: bytes) -> None:
    write_manifest(fs, FIRST)
    fs.replace(CURRENT, content)
    with pytest.raises(Corrupt):
        read_manifest(fs)
