from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import Corrupt, InvalidState, NotFound, StorageFailed
from akidb_ray.storage.checksum import crc32c
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
    segments=(SegmentEntry("s", 3, 7), SegmentEntry("t", 4, 8, "g", 9, "t-1", 10, attached_at=5)),
    wal_end=12,
    keys="000002",
    keys_checksum=11,
)
HEAD = b"akidb-manifest 1 %08x\n"


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


def test_format_1_stays_as_it_is(fs: OsFileSystem) -> None:
    write_manifest(fs, FIRST)
    assert fs.read(CURRENT) == b"manifest-000001 21de1c32\n"
    assert fs.read(PurePosixPath("manifest-000001")) == (
        b"akidb-manifest 1 da0a0dce\n"
        b'{"generation":1,"epoch":1,"collection":{"spec":{"dimension":16}},"checkpoint":0,'
        b'"segments":[],"wal_end":null,"keys":null,"keys_checksum":0}'
    )


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


@pytest.mark.parametrize("keep", Keep)
def test_swap_after_one_that_may_have_been_done_is_atomic_too(keep: Keep) -> None:
    # The first try fails when all is done but the sync of the new CURRENT's name.
    third = FIRST.next(checkpoint=10)
    stop_at, ended = 0, False
    while not ended:
        fs = FaultyFileSystem()
        write_manifest(fs, FIRST)
        _swap_without_its_last_sync(fs, SECOND)
        started = len(fs.machine.steps)
        ended = run_until(fs.machine, started + stop_at, lambda fs=fs: write_manifest(fs, third))
        left = read_manifest(fs.machine.after_end(keep, stop_at))
        assert left in ((third,) if ended else (FIRST, SECOND, third))
        stop_at += 1


def _swap_without_its_last_sync(fs: FaultyFileSystem, manifest: Manifest) -> None:
    renamed = False

    def fail(step: str) -> None:
        nonlocal renamed
        if renamed and step.startswith("syncdir"):
            raise StorageFailed("I/O error")
        renamed = renamed or step.startswith("rename")

    fs.machine.before_step = fail
    with pytest.raises(StorageFailed):
        write_manifest(fs, manifest)
    fs.machine.before_step = lambda _: None


@pytest.mark.parametrize("name", ["CURRENT", "manifest-000002"])
def test_every_flipped_byte_is_found(name: str) -> None:
    fs = FaultyFileSystem()
    # Leftovers of interrupted swaps are what a damaged CURRENT could name by mistake.
    write_manifest(fs, SECOND)
    for bit in range(8):
        for digit in range(6):
            flipped = bytearray(b"000002")
            flipped[digit] ^= 1 << bit
            if flipped.isdigit():
                fs.write(PurePosixPath(f"manifest-{flipped.decode()}"), [_as_manifest(b"{}")])
    path = PurePosixPath(name)
    content = fs.read(path)
    for offset in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << bit
            fs.write(path, [damaged])
            with pytest.raises(Corrupt) as stopped:
                read_manifest(fs)
            assert stopped.value.fields["file"] == name
    fs.write(path, [content])
    assert read_manifest(fs) == SECOND


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


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"../secret",
        b"manifest-../x",
        b"\xff\xfe",
        b"LOCK",
        b"manifest-000001",
        b"manifest-000001 0000000\n",
        b"manifest-000001 00000000\n",
    ],
)
def test_rubbish_in_current_is_corrupt(fs: OsFileSystem, content: bytes) -> None:
    write_manifest(fs, FIRST)
    fs.replace(CURRENT, content)
    with pytest.raises(Corrupt) as stopped:
        read_manifest(fs)
    assert stopped.value.fields["file"] == "CURRENT"


def _as_manifest(body: bytes, head: bytes = HEAD) -> bytes:
    return head % crc32c(body) + body


def _make_live(fs: OsFileSystem, raw: bytes) -> None:
    fs.write(PurePosixPath("manifest-000001"), [raw])
    fs.write(CURRENT, [b"manifest-000001 %08x\n" % crc32c(raw)])


def test_manifest_of_a_later_version_is_no_damage(fs: OsFileSystem) -> None:
    _make_live(fs, _as_manifest(b"{}", b"akidb-manifest 2 %08x\n"))
    with pytest.raises(InvalidState) as stopped:
        read_manifest(fs)
    assert stopped.value.fields["kind"] == "manifest"
    assert stopped.value.fields["current"] == "of format 2"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"akidb-manifest 1 00000000\n{}",
        b"akidb-catalog 1 00000000\n{}",
        _as_manifest(b""),
        _as_manifest(b"7"),
        _as_manifest(b"[]"),
        _as_manifest(b"{}"),
        _as_manifest(b'{"generation":1,"epoch":1,"collection":{}}'),
        _as_manifest(b'{"generation":1,"epoch":1,"segments":[]}'),
        _as_manifest(b'{"generation":1,"epoch":1,"collection":{},"segments":[],"later":1}'),
        _as_manifest(b'{"generation":1,"epoch":1,"collection":{},"segments":[7]}'),
        _as_manifest(b'{"generation":1,"epoch":1,"collection":{},"segments":[{"rows":1}]}'),
    ],
)
def test_manifest_that_cannot_be_understood_is_corrupt(fs: OsFileSystem, raw: bytes) -> None:
    _make_live(fs, raw)
    with pytest.raises(Corrupt) as stopped:
        read_manifest(fs)
    assert stopped.value.fields["file"] == "manifest-000001"
