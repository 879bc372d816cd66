"""Backups of a catalog file: taken while it is written to, verified, kept in numbers."""

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.catalog.backup_loop import LONGEST_RETRY_S, BackupLoop, Timing, due_at
from akidb_ray.catalog.backups import (
    Backup,
    Backups,
    Series,
    of_another_course,
    open_backup_store,
    parse_backup,
    surplus,
)
from akidb_ray.catalog.sqlite.copying import check_database, copy_database, reading
from akidb_ray.catalog.sqlite.facts import read_facts
from akidb_ray.domain.errors import Corrupt, InvalidArgument, NotFound, StorageFailed
from akidb_ray.domain.ids import ClusterId
from akidb_ray.settings import CatalogSettings
from akidb_ray.storage.filesystem import Bytes
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.object_store import FolderStore
from tests.unit.catalog.files import change, make_catalog_file

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
CLUSTER = ClusterId.new()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_catalog_file(tmp_path / "data" / "catalog.sqlite", CLUSTER)


@pytest.fixture
def fs() -> MemoryFileSystem:
    return MemoryFileSystem()


@pytest.fixture
def backups(fs: MemoryFileSystem) -> Backups:
    return Backups(FolderStore(fs, "memory"), CLUSTER)


def _stored(fs: MemoryFileSystem) -> list[str]:
    return fs.list(PurePosixPath(str(CLUSTER)))


@pytest.fixture
def storm(file: Path) -> Iterator[Callable[[], int]]:
    """A writer that commits pairs of rows as fast as it can; the call says how many pairs."""
    committed = 0
    stop = threading.Event()

    def write() -> None:
        nonlocal committed
        with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as connection:
            while not stop.is_set():
                change(connection, 2)
                committed += 1

    thread = threading.Thread(target=write)
    thread.start()
    yield lambda: committed
    stop.set()
    thread.join()


def test_copies_of_a_file_that_is_written_to_each_hold_one_committed_state(
    file: Path, tmp_path: Path, storm: Callable[[], int]
) -> None:
    versions = []
    for number in range(10):
        before = storm()
        copy = tmp_path / f"copy-{number}"
        copy_database(file, copy)
        with closing(sqlite3.connect(copy)) as connection:
            (changes,) = connection.execute("SELECT count(*) FROM changes").fetchone()
            (version,) = connection.execute("SELECT catalog_version FROM catalog_meta").fetchone()
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert changes == version
        assert changes % 2 == 0
        assert changes >= 2 * before
        versions.append(version)
    assert versions == sorted(versions)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".copying")]


def test_writers_go_on_while_a_copy_is_made(
    file: Path, tmp_path: Path, storm: Callable[[], int]
) -> None:
    with reading(file) as connection:
        before = storm()
        while storm() < before + 50:
            time.sleep(0.001)
        (changes,) = connection.execute("SELECT count(*) FROM changes").fetchone()
        assert changes <= 2 * before + 2


def test_a_copy_replaces_its_target_and_what_a_killed_copy_left(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    for suffix in ("", "-journal", "-wal"):
        (tmp_path / f"target.copying{suffix}").write_bytes(b"half" * 1000)
    copy_database(file, target)
    assert check_database(target) == []
    assert sorted(p.name for p in tmp_path.glob("target*")) == ["target"]


def test_a_damaged_file_is_not_copied_over_a_good_one(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy_database(file, target)
    good = target.read_bytes()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(good[: len(good) // 2])
    with pytest.raises(Corrupt):
        copy_database(damaged, target)
    assert target.read_bytes() == good
    with pytest.raises(NotFound):
        copy_database(tmp_path / "missing", target)


def test_checking_finds_rows_without_their_parents(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM tenants")
        connection.commit()
    assert any("databases" in problem for problem in check_database(file))


def test_a_backup_says_in_its_name_what_it_holds(file: Path, backups: Backups) -> None:
    taken = backups.take(file, Series.CHANGE, NOW, keep=3)
    facts = read_facts(file)
    assert (taken.version, taken.epoch, taken.taken_at) == (facts.version, facts.epoch, NOW)
    assert taken.name.startswith("change-000000000000-00000000-20260131T120000Z-")
    assert parse_backup(taken.name) == taken
    assert backups.list() == [taken]


@pytest.mark.parametrize(
    "name",
    ["", "catalog.sqlite", "change-1-1-20260131T120000Z-00000000.sqlite", "x.scratch"],
)
def test_other_names_are_no_backups(name: str) -> None:
    assert parse_backup(name) is None
    assert parse_backup("change-000000000001-00000001-20261331T120000Z-00000000.sqlite") is None


def test_only_the_newest_of_a_series_are_kept(
    file: Path, fs: MemoryFileSystem, backups: Backups
) -> None:
    backups.take(file, Series.SCHEDULE, NOW, keep=2)
    for number in range(5):
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            change(connection, 1)
        backups.take(file, Series.CHANGE, NOW + timedelta(seconds=number), keep=2)
    kept = [(backup.series, backup.version) for backup in backups.list()]
    assert kept == [(Series.CHANGE, 5), (Series.CHANGE, 4), (Series.SCHEDULE, 0)]
    assert len(_stored(fs)) == 3


def test_the_last_of_a_series_is_never_surplus() -> None:
    only = Backup(Series.CHANGE, 1, 1, NOW, 0)
    assert surplus([only], Series.CHANGE, 0) == []
    newer = replace(only, version=0, taken_at=NOW + timedelta(days=1))
    assert surplus([newer, only], Series.CHANGE, 1) == [only]


def test_other_clusters_and_foreign_files_at_the_target_are_left_alone(
    file: Path, fs: MemoryFileSystem, backups: Backups, tmp_path: Path
) -> None:
    other = ClusterId.new()
    theirs = make_catalog_file(tmp_path / "other" / "catalog.sqlite", other)
    Backups(FolderStore(fs, "memory"), other).take(theirs, Series.CHANGE, NOW, keep=1)
    fs.create_directory(PurePosixPath(str(CLUSTER)))
    fs.write(PurePosixPath(str(CLUSTER), "notes.txt"), [b"mine"])
    for number in range(3):
        backups.take(file, Series.CHANGE, NOW + timedelta(seconds=number), keep=1)
    assert len(fs.list(PurePosixPath(str(other)))) == 1
    assert "notes.txt" in _stored(fs)
    assert len(backups.list()) == 1
    with pytest.raises(InvalidArgument, match="cluster"):
        backups.take(theirs, Series.CHANGE, NOW, keep=1)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_backup_is_refused(
    file: Path, fs: MemoryFileSystem, backups: Backups, tmp_path: Path, damage: str
) -> None:
    taken = backups.take(file, Series.CHANGE, NOW, keep=1)
    path = PurePosixPath(str(CLUSTER), taken.name)
    content = bytearray(fs.read(path))
    if damage == "flip":
        content[len(content) // 3] ^= 1
    fs.replace(path, {"cut": content[:-512], "flip": content, "empty": b""}[damage])
    with pytest.raises(Corrupt, match="checksum"):
        backups.fetch(taken, tmp_path / "fetched")


class LosingStore(FolderStore):
    """Puts half of what it is given, and says nothing."""

    def put(self, name: str, content: Bytes) -> None:
        super().put(name, bytes(content)[: len(content) // 2])


def test_a_backup_that_did_not_arrive_whole_costs_no_older_one(
    file: Path, fs: MemoryFileSystem, backups: Backups
) -> None:
    good = backups.take(file, Series.CHANGE, NOW, keep=1)
    losing = Backups(LosingStore(fs, "memory"), CLUSTER)
    with pytest.raises(Corrupt):
        losing.take(file, Series.CHANGE, NOW + timedelta(seconds=1), keep=1)
    assert backups.list() == [good]


def test_nothing_is_left_beside_the_file(file: Path, backups: Backups) -> None:
    old = file.parent / ".backup-of-a-killed-process"
    old.mkdir()
    (old / "copy").write_bytes(b"half")
    os.utime(old, (0, 0))
    before = {path.name for path in file.parent.iterdir()} - {old.name}
    backups.take(file, Series.CHANGE, NOW, keep=1)
    assert {path.name for path in file.parent.iterdir()} - before <= {
        f"{file.name}-wal",
        f"{file.name}-shm",
    }


def test_a_backup_is_the_newest_also_where_version_and_clock_went_back(
    file: Path, backups: Backups, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy_database(file, copy)
    _write(file)
    backups.take(file, Series.CHANGE, NOW, keep=1)
    copy.replace(file)
    back = backups.take(file, Series.CHANGE, NOW - timedelta(days=1), keep=1)
    assert backups.list() == [back]
    assert (back.version, back.taken_at) == (0, NOW + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("version", "epoch", "known_course", "others"),
    [
        (8, 4, False, 0),
        (7, 4, False, 0),
        (6, 4, False, 2),
        (8, 3, False, 2),
        (7, 3, True, 0),
    ],
)
def test_backups_that_are_further_than_a_catalog_just_opened_are_not_its_own(
    version: int, epoch: int, known_course: bool, others: int
) -> None:
    first = Backup(Series.CHANGE, 5, 2, NOW, 0)
    second = Backup(Series.SCHEDULE, 7, 3, NOW + timedelta(seconds=1), 0)
    later = Backup(Series.CHANGE, 1, 1, NOW + timedelta(seconds=2), 0)
    found = of_another_course([later, second, first], version, epoch, known_course=known_course)
    assert found == [second, first][:others]


def test_backups_and_what_is_fetched_of_them_are_for_their_owner_only(
    file: Path, tmp_path: Path
) -> None:
    store = open_backup_store(str(tmp_path / "new" / "target"), file.parent)
    backups = Backups(store, CLUSTER)
    taken = backups.take(file, Series.CHANGE, NOW, keep=1)
    fetched = tmp_path / "fetched"
    fetched.touch(mode=0o644)
    backups.fetch(taken, fetched)
    folder = tmp_path / "new" / "target" / str(CLUSTER)
    for path in (folder.parent.parent, folder.parent, folder):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (folder / taken.name, fetched):
        assert path.stat().st_mode & 0o777 == 0o600


SETTLED = Timing(delay_s=2.0, interval_s=3600.0, scheduled_at=100.0, ended_at=100.0)


def test_without_a_change_nothing_is_due() -> None:
    assert due_at(SETTLED, Series.CHANGE) is None
    assert due_at(SETTLED, Series.SCHEDULE) is None


def test_a_change_is_backed_up_after_the_delay_and_at_the_interval() -> None:
    changed = replace(SETTLED, changed_at=500.0, schedule_behind=True)
    assert due_at(changed, Series.CHANGE) == 502.0
    assert due_at(changed, Series.SCHEDULE) == 3700.0


def test_backups_that_take_long_come_less_often() -> None:
    slow = replace(SETTLED, changed_at=101.0, duration_s=3.0)
    assert due_at(slow, Series.CHANGE) == 160.0
    assert due_at(replace(slow, changed_at=900.0), Series.CHANGE) == 902.0


def test_failures_are_tried_again_after_longer_and_longer_times() -> None:
    failing = replace(SETTLED, changed_at=0.0, schedule_behind=True, interval_s=0.0)
    times = [due_at(replace(failing, failures=n), Series.CHANGE) for n in range(1, 40)]
    waits = [at - 100.0 for at in times if at is not None]
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == LONGEST_RETRY_S
    assert due_at(replace(failing, failures=3), Series.SCHEDULE) == 104.0


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (CatalogSettings(backups_kept=0), "backups_kept"),
        (CatalogSettings(backup_uri="relative/folder"), "backup_uri"),
    ],
)
def test_settings_that_would_lose_backups_are_refused(
    file: Path, settings: CatalogSettings, field: str
) -> None:
    with pytest.raises(InvalidArgument, match=field):
        BackupLoop(file, CLUSTER, settings, lambda: NOW)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def _write(file: Path) -> int:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        return change(connection, 1)


async def test_the_loop_backs_up_what_was_there_and_each_change(file: Path) -> None:
    settings = CatalogSettings(backup_delay_s=0.01, backup_interval_s=0.01)
    loop = BackupLoop(file, CLUSTER, settings, lambda: datetime.now(UTC))
    running = asyncio.create_task(loop.run())
    await _until(lambda: loop.status.version == 0 and not loop.status.behind)
    version = _write(file)
    loop.notify(version)
    assert loop.status.behind
    await _until(lambda: loop.status.version == version and not loop.status.behind)
    folder = file.parent / "backups" / str(CLUSTER)
    await _until(lambda: any(p.name.startswith("schedule") for p in folder.iterdir()))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert loop.status.where == str(folder)
    assert loop.status.error is None


async def test_a_loop_that_starts_with_everything_backed_up_makes_no_other(file: Path) -> None:
    settings = CatalogSettings(backup_delay_s=0.0, backup_interval_s=3600.0)
    for _ in range(2):
        loop = BackupLoop(file, CLUSTER, settings, lambda: NOW)
        running = asyncio.create_task(loop.run())
        await _until(lambda loop=loop: not loop.status.behind)  # type: ignore[misc]
        running.cancel()
    assert len(list((file.parent / "backups" / str(CLUSTER)).iterdir())) == 1


async def test_failures_are_logged_once_and_end_by_themselves(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    target = tmp_path / "target"
    target.write_text("a file where a folder should be")
    settings = CatalogSettings(backup_uri=str(target), backup_delay_s=0.0)
    now = 0.0
    loop = BackupLoop(file, CLUSTER, settings, lambda: NOW, seconds=lambda: now)
    running = asyncio.create_task(loop.run())
    await _until(lambda: loop.status.error is not None)
    for version in range(1, 4):
        now += 1000.0
        loop.notify(version)
    assert loop.status.behind
    target.unlink()
    now += 1000.0
    loop.notify(_write(file) + 10)
    await _until(lambda: loop.status.error is None)
    running.cancel()
    warned = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "backed up again" in caplog.text


def test_a_store_that_fails_is_reported_as_such(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    with pytest.raises(StorageFailed, match="target"):
        open_backup_store(str(target), file.parent)
