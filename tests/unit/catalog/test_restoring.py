"""Restoring a catalog file: the newest good backup, or nothing, whatever a crash does."""

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.catalog.backups import Backup, Backups, Series
from akidb_ray.catalog.restoring import LEAP, LOCK, restore
from akidb_ray.catalog.sqlite.copying import check_database
from akidb_ray.catalog.sqlite.facts import read_facts
from akidb_ray.domain.errors import (
    Corrupt,
    InvalidArgument,
    InvalidState,
    NotFound,
    StorageFailed,
    Unavailable,
)
from akidb_ray.domain.ids import ClusterId
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.object_store import FolderStore
from akidb_ray.storage.os_filesystem import OsFileSystem
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


def _write(file: Path, rows: int = 1) -> int:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        return change(connection, rows)


def _take(backups: Backups, file: Path, count: int) -> list[Backup]:
    """Backups of different versions, the oldest first."""
    taken = []
    for _ in range(count):
        _write(file)
        taken.append(backups.take(file, Series.CHANGE, NOW, keep=count))
    return taken


def _damage(fs: MemoryFileSystem, backup: Backup, cut: bool) -> None:
    path = PurePosixPath(str(CLUSTER), backup.name)
    content = bytearray(fs.read(path))
    content[len(content) // 2] ^= 1
    fs.replace(path, content[: len(content) // 2] if cut else content)


def _changes(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM changes").fetchone()
        return int(count)


def test_the_newest_backup_comes_back_as_a_catalog_that_nobody_has_followed(
    file: Path, backups: Backups
) -> None:
    taken = _take(backups, file, 2)
    later = _write(file, rows=5)
    done = restore(file, backups, None, NOW)
    assert done.backup == taken[-1]
    assert done.skipped == ()
    facts = read_facts(file)
    assert facts.cluster_id == CLUSTER
    assert facts.version == done.version == later + LEAP
    assert facts.epoch >= LEAP
    assert _changes(file) == 0
    assert check_database(file) == []


def test_restoring_twice_rises_above_what_was_followed_in_between(
    file: Path, backups: Backups
) -> None:
    (old,) = _take(backups, file, 1)
    first = restore(file, backups, old.name, NOW)
    _write(file, rows=3)
    second = restore(file, backups, old.name, NOW + timedelta(seconds=1))
    assert second.version == first.version + 3 + LEAP


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_backup_is_passed_over_for_the_next_older_one(
    file: Path, fs: MemoryFileSystem, backups: Backups, cut: bool
) -> None:
    old, newer, newest = _take(backups, file, 3)
    _damage(fs, newer, cut)
    _damage(fs, newest, cut)
    done = restore(file, backups, None, NOW)
    assert done.backup == old
    assert [line.split(":")[0] for line in done.skipped] == [newest.name, newer.name]


def test_a_damaged_backup_that_is_named_is_refused_and_nothing_changes(
    file: Path, fs: MemoryFileSystem, backups: Backups
) -> None:
    _, newest = _take(backups, file, 2)
    _damage(fs, newest, cut=False)
    before = read_facts(file)
    with pytest.raises(Corrupt, match="checksum"):
        restore(file, backups, newest.name, NOW)
    with pytest.raises(NotFound):
        restore(file, backups, "change-7", NOW)
    assert read_facts(file) == before


def test_without_a_good_backup_nothing_changes(
    file: Path, fs: MemoryFileSystem, backups: Backups
) -> None:
    with pytest.raises(NotFound, match="backup"):
        restore(file, backups, None, NOW)
    (only,) = _take(backups, file, 1)
    _damage(fs, only, cut=True)
    before = read_facts(file)
    with pytest.raises(Corrupt, match="no good backup"):
        restore(file, backups, None, NOW)
    assert read_facts(file) == before


def test_while_a_server_holds_the_catalog_nothing_is_restored(file: Path, backups: Backups) -> None:
    _take(backups, file, 1)
    lock = OsFileSystem(file.parent).lock(LOCK, 0.0)
    with pytest.raises(Unavailable, match="stop it first"):
        restore(file, backups, None, NOW, lock_wait_s=0.0)
    lock.release()
    restore(file, backups, None, NOW, lock_wait_s=0.0)


def test_the_file_that_was_there_is_kept_with_its_log(file: Path, backups: Backups) -> None:
    _take(backups, file, 1)
    with closing(sqlite3.connect(file, isolation_level=None)) as open_still:
        version = change(open_still, 4)
        # As a killed server leaves it: the changes are in the log only.
        crashed = file.parent.parent / "crashed"
        shutil.copytree(file.parent, crashed)
    crashed_file = crashed / file.name
    assert crashed_file.with_name(f"{file.name}-wal").stat().st_size > 0
    done = restore(crashed_file, backups, None, NOW)
    assert done.kept is not None
    assert read_facts(done.kept / file.name).version == version
    assert done.version == version + LEAP
    assert not list(crashed.glob("*-wal"))


def test_a_catalog_that_is_gone_is_restored_and_its_stray_log_not_replayed(
    file: Path, backups: Backups
) -> None:
    (taken,) = _take(backups, file, 1)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        change(connection, 50)
        file.unlink()
    stray = file.with_name(f"{file.name}-wal")
    if not stray.exists():
        stray.write_bytes(b"a log of another file")
    done = restore(file, backups, None, NOW)
    assert read_facts(file).version == taken.version + LEAP
    assert done.kept is not None
    assert (done.kept / stray.name).exists()
    assert not stray.exists()


@pytest.mark.parametrize("content", [b"", b"rubbish" * 1000])
def test_a_damaged_catalog_is_kept_and_replaced(
    file: Path, backups: Backups, content: bytes
) -> None:
    (taken,) = _take(backups, file, 1)
    file.write_bytes(content)
    done = restore(file, backups, None, NOW)
    assert read_facts(file).version == taken.version + LEAP
    assert done.kept is not None
    assert (done.kept / file.name).read_bytes() == content


def test_a_backup_of_a_newer_release_or_of_another_cluster_is_refused(
    file: Path, fs: MemoryFileSystem, backups: Backups, tmp_path: Path
) -> None:
    other = ClusterId.new()
    theirs = make_catalog_file(tmp_path / "other" / "catalog.sqlite", other)
    foreign = Backups(FolderStore(fs, "memory"), other).take(theirs, Series.CHANGE, NOW, keep=1)
    content = fs.read(PurePosixPath(str(other), foreign.name))
    fs.create_directory(PurePosixPath(str(CLUSTER)))
    fs.replace(PurePosixPath(str(CLUSTER), foreign.name), content)
    with pytest.raises(InvalidArgument, match="cluster"):
        restore(file, backups, foreign.name, NOW)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
        connection.commit()
    newer = backups.take(file, Series.CHANGE, NOW + timedelta(seconds=1), keep=2)
    with pytest.raises(InvalidState, match="999") as refused:
        restore(file, backups, newer.name, NOW)
    assert newer.name in str(refused.value)
    assert "restoring" not in str(refused.value)


def test_a_backup_of_a_newer_release_is_passed_over_for_an_older_one(
    file: Path, backups: Backups
) -> None:
    (old,) = _take(backups, file, 1)
    _write(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
        connection.commit()
    newer = backups.take(file, Series.CHANGE, NOW + timedelta(seconds=1), keep=2)
    done = restore(file, backups, None, NOW)
    assert done.backup == old
    assert len(done.skipped) == 1
    assert newer.name in done.skipped[0]


def test_a_restored_catalog_is_for_its_owner_only(file: Path, backups: Backups) -> None:
    _take(backups, file, 1)
    file.chmod(0o644)
    restore(file, backups, None, NOW)
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_restore_left_is_no_obstacle(file: Path, backups: Backups) -> None:
    _take(backups, file, 1)
    for suffix in ("", "-wal", "-journal"):
        file.with_name(f"{file.name}.restoring{suffix}").write_bytes(b"half")
    left = file.with_name(f"{file.name}.replaced-20250101T000000000000Z.copying")
    left.mkdir()
    restore(file, backups, None, NOW)
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["LOCK", "catalog.sqlite", "catalog.sqlite.replaced-20260131T120000000000Z"]


class Killed(BaseException):
    """Ends the process at this step, as far as files are concerned."""


def _kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """Raise Killed at the given call of anything that changes names; tells the calls so far."""
    calls = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step:
                raise Killed
            return real(*arguments, **options)

        return call

    for name in ("rename", "unlink", "mkdir"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    for name in ("copyfile", "rmtree"):
        monkeypatch.setattr(shutil, name, counted(getattr(shutil, name)))
    return lambda: calls


@pytest.mark.parametrize("state", ["healthy", "damaged"])
def test_killed_at_any_step_the_old_catalog_is_there_or_the_new(
    tmp_path: Path, backups: Backups, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_catalog_file(tmp_path / "source" / "catalog.sqlite", CLUSTER)
    (taken,) = _take(backups, source, 1)
    for step in range(1, 100):
        file = tmp_path / str(step) / "catalog.sqlite"
        file.parent.mkdir()
        with closing(sqlite3.connect(source, isolation_level=None)) as open_still:
            old = change(open_still, 3)
            for path in source.parent.glob("catalog.sqlite*"):
                shutil.copyfile(path, file.with_name(path.name))
        if state == "damaged":
            file.write_bytes(b"rubbish" * 1000)
        with monkeypatch.context() as patches:
            calls = _kill_at(patches, step)
            try:
                restore(file, backups, None, NOW)
            except Killed:
                finished = False
            else:
                finished = True
        count = calls()
        if state == "healthy":
            assert read_facts(file).version in (old, old + LEAP)
            assert check_database(file) == []
        elif file.exists() and not file.read_bytes().startswith(b"rubbish"):
            assert read_facts(file).version == taken.version + LEAP
        # Whatever it left, the next attempt ends it.
        again = restore(file, backups, None, NOW + timedelta(seconds=1))
        assert read_facts(file).version == again.version
        if finished:
            assert count < step
            return
    raise AssertionError("it never came to its end")


def test_while_another_process_reads_the_old_file_it_stays(file: Path, backups: Backups) -> None:
    _take(backups, file, 1)
    before = read_facts(file)
    ready, over = threading.Event(), threading.Event()

    def read() -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT * FROM changes").fetchall()
            ready.set()
            over.wait()

    reader = threading.Thread(target=read)
    reader.start()
    ready.wait()
    with pytest.raises((Unavailable, StorageFailed)):
        restore(file, backups, None, NOW)
    over.set()
    reader.join()
    assert read_facts(file) == before
