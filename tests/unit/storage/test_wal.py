from pathlib import Path

import pytest

from akidb_ray.domain.errors import StorageFailed, StorageFull, TooLarge
from akidb_ray.storage import wal as wal_module
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.wal import Retention, Wal
from akidb_ray.storage.wal_format import (
    FILE_HEADER_BYTES,
    LEAP,
    MAX_BODY_BYTES,
    MAX_UNSYNCED_RECORDS,
    RecordKind,
    file_name,
)
from akidb_ray.storage.wal_reader import read_file_header
from tests.unit.storage.logs import (
    FIRST,
    WRITTEN_AT,
    append,
    bodies,
    groups,
    last_sequence,
    new_log,
    paths,
    read,
    reopened,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path)


def test_groups_come_back_in_order_with_kind_epoch_and_time(fs: OsFileSystem) -> None:
    wal = Wal(fs, 0, epoch=3)
    assert wal.append(RecordKind.UPSERT, [[b"one ", memoryview(b"two")]], WRITTEN_AT) == 1
    assert wal.append(RecordKind.DELETE, [[b""]], WRITTEN_AT + 1e-6) == 2
    assert wal.append(RecordKind.ATTACH, [[b"a"], [], [b"b", b"c"]], WRITTEN_AT + 2) == 5
    wal.sync()
    wal.close()
    assert read(fs) == [(1, (b"one two",)), (2, (b"",)), (5, (b"a", b"", b"bc"))]
    found = groups(fs)
    assert [group.kind for group in found] == list(RecordKind)
    assert [group.epoch for group in found] == [3, 3, 3]
    assert [group.written_at for group in found] == [
        WRITTEN_AT,
        round(WRITTEN_AT + 1e-6, 6),
        WRITTEN_AT + 2,
    ]
    assert read(fs, after=2) == [(5, (b"a", b"", b"bc"))]
    assert read(fs, after=5) == []


def test_empty_folder_is_an_empty_log(fs: OsFileSystem) -> None:
    assert read(fs) == []
    assert read(fs, after=7) == []
    assert last_sequence(fs, after=7) == 7


def test_group_is_written_by_one_call(fs: OsFileSystem) -> None:
    watched = WatchedFileSystem(fs)
    wal = new_log(watched, [b"one", b"two", b"three"])
    assert watched.watch.counts["append"] == 1
    append(wal, b"four", b"five")
    assert watched.watch.counts["append"] == 2


def test_new_log_starts_with_record_one(fs: OsFileSystem) -> None:
    wal = Wal(fs, 0, epoch=3)
    assert (wal.last_sequence, wal.synced_to, wal.files_count, wal.size_bytes) == (0, 0, 0, 0)
    assert append(wal, b"one") == 1
    assert paths(fs) == [FIRST]


def test_opening_leaps_and_starts_a_file_of_its_own(fs: OsFileSystem) -> None:
    new_log(fs, b"one", b"two").close()
    wal = reopened(fs)
    assert wal.last_sequence == wal.synced_to == 2 + LEAP
    assert append(wal, b"three") == 3 + LEAP
    assert append(wal, b"four") == 4 + LEAP
    wal.sync()
    wal.close()
    assert paths(fs) == [FIRST, file_name(3 + LEAP)]
    assert read_file_header(fs, file_name(3 + LEAP)).previous == 2
    assert bodies(fs) == [b"one", b"two", b"three", b"four"]
    assert last_sequence(fs) == 4 + LEAP


def test_log_behind_a_checkpoint_leaps_although_it_has_no_file(fs: OsFileSystem) -> None:
    wal = reopened(fs, after=7)
    assert append(wal, b"one") == 8 + LEAP
    wal.sync()
    wal.close()
    assert read(fs, after=7) == [(8 + LEAP, (b"one",))]


def test_openings_that_write_nothing_leave_no_files_and_do_not_leap_further(
    fs: OsFileSystem,
) -> None:
    new_log(fs, b"one", b"two").close()
    for known_end in (2, 2 + LEAP, 2 + LEAP):
        wal = reopened(fs, known_end=known_end)
        assert wal.last_sequence == 2 + LEAP
        assert not wal.wrote
        wal.close()
    # The position of such an opening may be that of a checkpoint too.
    wal = reopened(fs, after=2 + LEAP)
    assert wal.last_sequence == 2 + LEAP
    append(wal, b"three")
    assert wal.wrote
    wal.close()
    assert bodies(fs, after=2 + LEAP) == bodies(fs, after=2) == [b"three"]
    assert bodies(fs) == [b"one", b"two", b"three"]


def test_position_of_a_lost_write_is_never_given_again(fs: OsFileSystem) -> None:
    new_log(fs, b"one").close()
    wal = reopened(fs)
    lost = append(wal, b"lost")
    wal.close()
    fs.truncate(paths(fs)[-1], FILE_HEADER_BYTES)
    again = reopened(fs)
    assert again.last_sequence == lost - 1 + LEAP
    append(again, b"two")
    again.close()
    assert bodies(fs) == [b"one", b"two"]


def test_more_records_than_a_leap_never_wait_for_a_sync(fs: OsFileSystem) -> None:
    watched = WatchedFileSystem(fs)
    wal = Wal(watched, 0, epoch=3)
    append(wal, *[b""] * (MAX_UNSYNCED_RECORDS - 1))
    append(wal, b"")
    assert wal.synced_to == 0
    assert watched.watch.counts["sync"] == 0
    append(wal, b"")
    assert wal.synced_to == MAX_UNSYNCED_RECORDS
    assert watched.watch.counts["sync"] == 1
    assert wal.unsynced_since is not None


def test_too_large_groups_are_refused_and_leave_no_trace(fs: OsFileSystem) -> None:
    wal = new_log(fs, b"one")
    with pytest.raises(TooLarge):
        append(wal, *[b""] * (MAX_UNSYNCED_RECORDS + 1))
    with pytest.raises(TooLarge):
        append(wal, b"small", bytes(MAX_BODY_BYTES + 1))
    assert append(wal, b"two") == 2
    assert bodies(fs) == [b"one", b"two"]


def test_wal_says_since_when_a_write_waits_for_its_sync(fs: OsFileSystem) -> None:
    now = 100.0
    wal = Wal(fs, 0, epoch=3, clock=lambda: now)
    assert wal.unsynced_since is None
    append(wal, b"one")
    now = 101.0
    append(wal, b"two")
    assert wal.unsynced_since == 100.0
    wal.sync()
    assert wal.unsynced_since is None
    assert wal.synced_to == 2


def test_full_file_is_synced_and_the_next_started(
    fs: OsFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal_module, "ROTATE_BYTES", 500)
    watched = WatchedFileSystem(fs)
    wal = Wal(watched, 0, epoch=3)
    append(wal, bytes(300), bytes(200))
    assert wal.synced_to == 0
    append(wal, b"three")
    assert (wal.synced_to, wal.last_sequence) == (2, 3)
    append(wal, b"four")
    wal.close()
    assert paths(fs) == [FIRST, file_name(3)]
    assert read_file_header(fs, file_name(3)).previous == 2
    assert wal.files_count == 2
    assert bodies(fs)[2:] == [b"three", b"four"]


def test_rotation_starts_a_file_named_after_its_first_record(fs: OsFileSystem) -> None:
    three_files(fs)
    assert paths(fs) == [file_name(1), file_name(3), file_name(4)]
    assert bodies(fs) == [b"one", b"two", b"three", b"four"]
    assert bodies(fs, after=2) == [b"three", b"four"]


def test_rotating_twice_starts_one_file(fs: OsFileSystem) -> None:
    watched = WatchedFileSystem(fs)
    wal = new_log(watched, b"one")
    wal.rotate()
    wal.rotate()
    watched.watch.fail("append", "wal/", StorageFull("no room"))
    with pytest.raises(StorageFull):
        append(wal, b"two")
    wal.rotate()
    append(wal, b"two")
    wal.close()
    assert paths(fs) == [file_name(1), file_name(2)]
    assert wal.files_count == 2


def three_files(fs: OsFileSystem) -> Wal:
    wal = new_log(fs, b"one", b"two")
    wal.rotate()
    append(wal, b"three")
    wal.rotate()
    append(wal, b"four")
    wal.sync()
    wal.close()
    return wal


def test_old_files_go_by_age(fs: OsFileSystem) -> None:
    three_files(fs)
    files = paths(fs)
    wal = reopened(fs)
    written_at = fs.modified_at(files[0])
    retention = Retention(age_s=100.0, size_bytes=10**9)
    wal.drop_through(4, retention, now=written_at + 50)
    assert paths(fs) == files
    wal.drop_through(2, retention, now=written_at + 200)
    assert paths(fs) == files[1:]
    wal.drop_through(4, retention, now=written_at + 200)
    assert paths(fs) == files[2:], "the log never ends without a file that says where"
    assert wal.size_bytes == fs.size_bytes(files[2])
    assert wal.files_count == 1


def test_old_files_go_by_size_oldest_first(fs: OsFileSystem) -> None:
    three_files(fs)
    files = paths(fs)
    wal = reopened(fs)
    keep = wal.size_bytes - 1
    wal.drop_through(4, Retention(age_s=10**9, size_bytes=keep), now=fs.modified_at(files[0]))
    assert paths(fs) == files[1:]
    wal.drop_through(1, Retention(age_s=10**9, size_bytes=0), now=0.0)
    assert paths(fs) == files[1:], "record 3 is not in a checkpoint"


def test_files_go_when_a_checkpoint_has_their_last_record_and_not_the_leap(
    fs: OsFileSystem,
) -> None:
    new_log(fs, b"one", b"two").close()
    wal = reopened(fs)
    append(wal, b"three")
    wal.drop_through(2, Retention(age_s=0.0), now=fs.modified_at(FIRST) + 1)
    assert paths(fs) == [file_name(3 + LEAP)]
    assert bodies(fs, after=2) == [b"three"]


def test_size_and_number_of_files_are_those_on_disk(fs: OsFileSystem) -> None:
    wal = new_log(fs, b"one", [b"two" * 100, b"three"])
    wal.rotate()
    append(wal, b"x")
    assert wal.size_bytes == sum(fs.size_bytes(path) for path in paths(fs))
    assert wal.files_count == 2
    again = reopened(fs)
    assert (again.size_bytes, again.files_count) == (wal.size_bytes, 2)


@pytest.mark.parametrize("error", [StorageFailed("I/O error"), StorageFull("no room after all")])
def test_failed_fsync_is_never_retried(fs: OsFileSystem, error: Exception) -> None:
    watched = WatchedFileSystem(fs)
    wal = new_log(watched, b"one")
    append(wal, b"two")
    watched.watch.fail("sync", "wal/", error)
    with pytest.raises(type(error)):
        wal.sync()
    syncs = watched.watch.counts["sync"]
    for refused in (wal.sync, wal.rotate, lambda: append(wal, b"three")):
        with pytest.raises(StorageFailed, match="reopened"):
            refused()
    assert watched.watch.counts["sync"] == syncs


@pytest.mark.parametrize("operation", ["replace", "open", "append"])
def test_log_is_over_when_the_disk_refuses_a_new_file_or_a_write(
    fs: OsFileSystem, operation: str
) -> None:
    watched = WatchedFileSystem(fs)
    wal = Wal(watched, 0, epoch=3)
    watched.watch.fail(operation, "wal/", StorageFailed("I/O error"))
    with pytest.raises(StorageFailed, match="I/O error"):
        append(wal, b"one")
    with pytest.raises(StorageFailed, match="reopened"):
        append(wal, b"one")


@pytest.mark.parametrize("operation", ["replace", "append"])
def test_group_that_found_no_room_leaves_no_trace(fs: OsFileSystem, operation: str) -> None:
    watched = WatchedFileSystem(fs)
    wal = new_log(watched, b"one")
    wal.rotate()
    watched.watch.fail(operation, "wal/", StorageFull("no room"))
    with pytest.raises(StorageFull):
        append(wal, b"two", b"three")
    assert wal.last_sequence == 1
    assert wal.unsynced_since is None
    assert append(wal, b"other two") == 2
    wal.sync()
    wal.close()
    assert bodies(fs) == [b"one", b"other two"]
    assert wal.size_bytes == sum(fs.size_bytes(path) for path in paths(fs))
    assert wal.files_count == 2


def test_opening_makes_what_it_found_durable(fs: OsFileSystem) -> None:
    # A killed process leaves files and names that only the page cache knows.
    new_log(fs, b"one", sync=False).close()
    watched = WatchedFileSystem(fs)
    Wal(watched, 1, epoch=3)
    assert watched.watch.counts["replace"] == 1, "an fsync does nothing when one failed before"
    assert watched.watch.counts["sync_directory"] >= 1
    Wal(watched, 1, epoch=3, known_end=1)
    assert watched.watch.counts["replace"] == 1, "after a clean close there is nothing to do"


def test_log_opens_on_a_full_disk(fs: OsFileSystem) -> None:
    new_log(fs, b"one", sync=False).close()
    watched = WatchedFileSystem(fs)
    watched.watch.fail("replace", "wal/", StorageFull("no room"))
    Wal(watched, 1, epoch=3)
    assert watched.watch.counts["sync"] == 1
