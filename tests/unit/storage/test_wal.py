from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import Corrupt, StorageFailed, StorageFull
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.wal import (
    FILE_HEADER,
    HEADER_BYTES,
    RecordKind,
    Retention,
    Wal,
    WalReader,
    file_name,
    wal_files,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Found = list[tuple[int, RecordKind, bytes]]
FIRST = file_name(1)


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path)


def _new(fs: OsFileSystem | WatchedFileSystem, *bodies: bytes, sync: bool = True) -> Wal:
    """A log with these records, each synced by itself."""
    wal = Wal(fs, 0, epoch=3)
    for body in bodies:
        wal.append(RecordKind.UPSERT, [body])
        if sync:
            wal.sync()
    return wal


def _read(fs: OsFileSystem | WatchedFileSystem, after: int = 0, known_end: int = 0) -> Found:
    reader = WalReader(fs, after, known_end)
    found = [(r.sequence, r.kind, bytes(r.body)) for r in reader.records()]
    assert reader.last_sequence == (found[-1][0] if found else after)
    return found


def _bodies(fs: OsFileSystem, after: int = 0, known_end: int = 0) -> list[bytes]:
    return [body for _, _, body in _read(fs, after, known_end)]


def _damage(fs: OsFileSystem, path: PurePosixPath, change: Callable[[bytearray], None]) -> None:
    content = bytearray(fs.read(path))
    change(content)
    fs.write(path, [content])


def _flip(fs: OsFileSystem, path: PurePosixPath, offset: int) -> None:
    def change(content: bytearray) -> None:
        content[offset] ^= 0x40

    _damage(fs, path, change)


def test_records_come_back_in_order_with_kind_and_epoch(fs: OsFileSystem) -> None:
    wal = Wal(fs, 0, epoch=3)
    assert wal.append(RecordKind.UPSERT, [b"one ", memoryview(b"two")]) == 1
    assert wal.append(RecordKind.DELETE, [b""]) == 2
    wal.sync()
    wal.close()
    assert _read(fs) == [(1, RecordKind.UPSERT, b"one two"), (2, RecordKind.DELETE, b"")]
    assert [r.epoch for r in WalReader(fs, 0).records()] == [3, 3]
    assert _read(fs, after=1) == [(2, RecordKind.DELETE, b"")]
    assert _read(fs, after=2) == []


def test_empty_folder_is_an_empty_log(fs: OsFileSystem) -> None:
    assert _read(fs) == []
    assert _read(fs, after=7) == []


def test_log_goes_on_after_reopening(fs: OsFileSystem) -> None:
    _new(fs, b"one").close()
    wal = Wal(fs, 1, epoch=4)
    assert wal.synced_to == 1
    assert wal.append(RecordKind.UPSERT, [b"two"]) == 2
    wal.sync()
    wal.close()
    assert _bodies(fs) == [b"one", b"two"]
    assert len(wal_files(fs)) == 1


def test_torn_tail_is_cut_at_every_length_and_acknowledged_records_stay(fs: OsFileSystem) -> None:
    wal = _new(fs, b"one", b"two")
    whole = fs.size_bytes(FIRST)
    wal.append(RecordKind.UPSERT, [b"the last one, never acknowledged"])
    wal.close()
    content = fs.read(FIRST)
    for length in range(whole, len(content)):
        fs.write(FIRST, [content[:length]])
        assert _bodies(fs) == [b"one", b"two"]
        assert fs.size_bytes(FIRST) == whole
        again = Wal(fs, 2, epoch=3)
        again.append(RecordKind.UPSERT, [b"next"])
        again.close()
        assert _bodies(fs) == [b"one", b"two", b"next"]


@pytest.mark.parametrize("length", range(len(FILE_HEADER)))
def test_file_torn_before_its_first_record_is_removed(fs: OsFileSystem, length: int) -> None:
    fs.create_directory(FIRST.parent)
    fs.write(FIRST, [FILE_HEADER[:length]])
    assert _bodies(fs) == []
    assert wal_files(fs) == []


def test_torn_group_of_several_records_is_cut_whole_from_its_first_gap(fs: OsFileSystem) -> None:
    wal = _new(fs, b"acknowledged")
    start = fs.size_bytes(FIRST)
    for body in (b"a" * 50, b"b" * 50, b"c" * 50):
        wal.append(RecordKind.UPSERT, [body])
    wal.close()

    def lose_a_block(content: bytearray) -> None:
        content[start : start + 60] = bytes(60)

    _damage(fs, FIRST, lose_a_block)
    assert _bodies(fs) == [b"acknowledged"]


def test_tail_of_zeros_is_cut(fs: OsFileSystem) -> None:
    _new(fs, b"one").close()
    _damage(fs, FIRST, lambda content: content.extend(bytes(5000)))
    assert _bodies(fs) == [b"one"]


def test_flipped_byte_in_synced_record_is_corrupt_with_file_and_offset(fs: OsFileSystem) -> None:
    _new(fs, b"one", b"two", b"three").close()
    second = len(FILE_HEADER) + HEADER_BYTES + len(b"one")
    third = second + HEADER_BYTES + len(b"two")
    content = fs.read(FIRST)
    for offset in range(third):
        _flip(fs, FIRST, offset)
        with pytest.raises(Corrupt) as stopped:
            _bodies(fs)
        start = 0 if offset < len(FILE_HEADER) else len(FILE_HEADER)
        assert stopped.value.fields["file"] == str(FIRST)
        assert stopped.value.fields["offset"] == (second if offset >= second else start)
        fs.write(FIRST, [content])


def test_flipped_byte_after_clean_close_is_corrupt_even_in_the_last_record(
    fs: OsFileSystem,
) -> None:
    _new(fs, b"one", b"two").close()
    content = fs.read(FIRST)
    for offset in range(len(content)):
        _flip(fs, FIRST, offset)
        with pytest.raises(Corrupt):
            _bodies(fs, known_end=2)
        assert len(fs.read(FIRST)) == len(content), "nothing may be cut"
        fs.write(FIRST, [content])


@pytest.mark.parametrize("length", [0, 5, len(FILE_HEADER), 40, 60, 61])
def test_log_shorter_than_at_its_clean_close_is_corrupt(fs: OsFileSystem, length: int) -> None:
    _new(fs, b"one", b"two").close()
    fs.write(FIRST, [fs.read(FIRST)[:length]])
    with pytest.raises(Corrupt):
        _bodies(fs, known_end=2)


def test_missing_log_is_corrupt_when_it_was_closed_with_records(fs: OsFileSystem) -> None:
    with pytest.raises(Corrupt):
        _bodies(fs, known_end=2)
    assert _bodies(fs, after=2, known_end=2) == []


def _three_files(fs: OsFileSystem) -> list[PurePosixPath]:
    wal = _new(fs, b"one", b"two")
    wal.rotate()
    wal.append(RecordKind.UPSERT, [b"three"])
    wal.rotate()
    wal.append(RecordKind.UPSERT, [b"four"])
    wal.sync()
    wal.close()
    return [path for _, path in wal_files(fs)]


def test_rotation_starts_a_file_named_after_its_first_record(fs: OsFileSystem) -> None:
    assert _three_files(fs) == [file_name(1), file_name(3), file_name(4)]
    assert _bodies(fs) == [b"one", b"two", b"three", b"four"]
    assert _bodies(fs, after=2) == [b"three", b"four"]


def test_rotating_twice_starts_one_file(fs: OsFileSystem) -> None:
    wal = _new(fs, b"one")
    wal.rotate()
    wal.rotate()
    wal.append(RecordKind.UPSERT, [b"two"])
    wal.close()
    assert [path for _, path in wal_files(fs)] == [file_name(1), file_name(2)]


def test_file_that_got_no_record_is_used_after_reopening(fs: OsFileSystem) -> None:
    wal = _new(fs, b"one")
    wal.rotate()
    wal.close()
    fs.write(file_name(2), [FILE_HEADER])
    assert _bodies(fs) == [b"one"]
    again = Wal(fs, 1, epoch=3)
    again.append(RecordKind.UPSERT, [b"two"])
    again.close()
    assert _bodies(fs) == [b"one", b"two"]
    assert len(wal_files(fs)) == 2


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_file_in_the_middle_is_corrupt(fs: OsFileSystem, missing: int) -> None:
    fs.remove(_three_files(fs)[missing])
    with pytest.raises(Corrupt):
        _bodies(fs)


def test_file_that_starts_after_the_checkpoint_is_corrupt(fs: OsFileSystem) -> None:
    files = _three_files(fs)
    fs.remove(files[0])
    assert _bodies(fs, after=2) == [b"three", b"four"]
    with pytest.raises(Corrupt):
        _bodies(fs, after=1)


@pytest.mark.parametrize("rest", [b"", FILE_HEADER, FILE_HEADER + b"torn"])
def test_damage_before_a_rotation_is_corrupt_even_when_the_next_file_is_torn(
    fs: OsFileSystem, rest: bytes
) -> None:
    # A file is started only after all before it was synced, so that it is there says enough.
    wal = _new(fs, b"one")
    wal.rotate()
    fs.write(file_name(2), [rest])
    _flip(fs, FIRST, len(FILE_HEADER) + HEADER_BYTES)
    with pytest.raises(Corrupt) as stopped:
        _bodies(fs)
    assert stopped.value.fields["file"] == str(FIRST)
    assert fs.exists(file_name(2))


def test_old_files_go_by_age(fs: OsFileSystem) -> None:
    files = _three_files(fs)
    wal = Wal(fs, 4, epoch=3)
    written_at = fs.modified_at(files[0])
    retention = Retention(age_s=100.0, size_bytes=10**9)
    wal.drop_through(4, retention, now=written_at + 50)
    assert [path for _, path in wal_files(fs)] == files
    wal.drop_through(2, retention, now=written_at + 200)
    assert [path for _, path in wal_files(fs)] == files[1:]
    wal.drop_through(4, retention, now=written_at + 200)
    assert [path for _, path in wal_files(fs)] == files[2:], "the last file is being written"
    assert wal.size_bytes == fs.size_bytes(files[2])


def test_old_files_go_by_size_oldest_first(fs: OsFileSystem) -> None:
    files = _three_files(fs)
    wal = Wal(fs, 4, epoch=3)
    keep = wal.size_bytes - 1
    wal.drop_through(4, Retention(age_s=10**9, size_bytes=keep), now=fs.modified_at(files[0]))
    assert [path for _, path in wal_files(fs)] == files[1:]
    wal.drop_through(1, Retention(age_s=10**9, size_bytes=0), now=0.0)
    assert [path for _, path in wal_files(fs)] == files[1:], "record 3 is not in a checkpoint"


def test_size_counts_what_is_on_disk(fs: OsFileSystem) -> None:
    wal = _new(fs, b"one", b"two" * 100)
    wal.rotate()
    wal.append(RecordKind.DELETE, [b"x"])
    assert wal.size_bytes == sum(fs.size_bytes(path) for _, path in wal_files(fs))
    assert Wal(fs, 3, epoch=3).size_bytes == wal.size_bytes


@pytest.mark.parametrize("error", [StorageFailed("I/O error"), StorageFull("no room after all")])
def test_failed_fsync_is_never_retried(fs: OsFileSystem, error: Exception) -> None:
    watched = WatchedFileSystem(fs)
    wal = _new(watched, b"one")
    wal.append(RecordKind.UPSERT, [b"two"])
    watched.watch.fail("sync", "wal/", error)
    with pytest.raises(type(error)):
        wal.sync()
    syncs = watched.watch.counts["sync"]
    for refused in (wal.sync, wal.rotate, lambda: wal.append(RecordKind.UPSERT, [b"three"])):
        with pytest.raises(StorageFailed, match="reopened"):
            refused()
    assert watched.watch.counts["sync"] == syncs


def test_failed_sync_of_a_new_files_name_is_never_retried(fs: OsFileSystem) -> None:
    watched = WatchedFileSystem(fs)
    wal = Wal(watched, 0, epoch=3)
    watched.watch.fail("sync_directory", "wal", StorageFailed("I/O error"))
    with pytest.raises(StorageFailed, match="I/O error"):
        wal.append(RecordKind.UPSERT, [b"one"])
    with pytest.raises(StorageFailed, match="reopened"):
        wal.append(RecordKind.UPSERT, [b"one"])


def test_record_that_found_no_room_leaves_no_trace(fs: OsFileSystem) -> None:
    watched = WatchedFileSystem(fs)
    wal = _new(watched, b"one")
    watched.watch.fail("append", "wal/", StorageFull("no room"))
    with pytest.raises(StorageFull):
        wal.append(RecordKind.UPSERT, [b"two"])
    assert wal.append(RecordKind.UPSERT, [b"other two"]) == 2
    wal.sync()
    wal.close()
    assert _bodies(fs) == [b"one", b"other two"]


def test_opening_makes_what_it_found_durable(fs: OsFileSystem) -> None:
    # A killed process leaves files and names that only the page cache knows.
    _new(fs, b"one", sync=False).close()
    watched = WatchedFileSystem(fs)
    Wal(watched, 1, epoch=3)
    assert watched.watch.counts["replace"] == 1, "an fsync does nothing when one failed before"
    assert watched.watch.counts["sync_directory"] >= 1
    Wal(watched, 1, epoch=3, known_end=1)
    assert watched.watch.counts["replace"] == 1, "after a clean close there is nothing to do"


def test_log_opens_on_a_full_disk(fs: OsFileSystem) -> None:
    _new(fs, b"one", sync=False).close()
    watched = WatchedFileSystem(fs)
    watched.watch.fail("replace", "wal/", StorageFull("no room"))
    Wal(watched, 1, epoch=3)
    assert watched.watch.counts["sync"] == 1
