"""What keeps a migration from being done leaves the catalog as it was."""

import contextlib
import sqlite3
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.catalog.v1.checking import check_migrated, tenant_ids
from akidb_ray.catalog.v1.manifests import parse_manifest
from akidb_ray.catalog.v1.report import MigrationRefused, Outcome
from akidb_ray.catalog.v1.translation import ChosenSlug, translate
from akidb_ray.domain.errors import (
    Corrupt,
    Internal,
    InvalidArgument,
    InvalidState,
    StorageFailed,
    StorageFull,
    Unavailable,
)
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.catalog.v1_folders import (
    BESIDES,
    NOW,
    in_catalog,
    make_catalog,
    manifest,
    manifests,
    no_file_above,
    run_migration,
    tenants_in,
    tree,
    write,
)


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    return tmp_path / "v1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "v2"
    folder.mkdir()
    return folder / "catalog.sqlite"


@pytest.mark.parametrize("existing", [False, True])
def test_one_bad_file_stops_it_and_nothing_is_written(v1: Path, file: Path, existing: bool) -> None:
    if existing:
        make_catalog(file)
    write(v1, manifests(20, seed=3))
    bad = v1 / "tenants" / f"{'0' * 31}1.json"
    bad.write_text("{")
    bad.with_name(f"{'0' * 31}2.json").mkdir()
    before = tree(file.parent, without=BESIDES)
    with pytest.raises(MigrationRefused) as caught:
        run_migration(v1, file)
    assert "0000001.json: is not JSON" in caught.value.detail
    assert caught.value.detail.endswith("(and 1 more problems)")
    assert "0000002.json: can't be read: Is a directory" in caught.value.problems[1]
    assert tree(file.parent, without=BESIDES) == before
    log = (file.parent / "migration.log").read_text()
    assert all(f"problem: {problem}\n" in log for problem in caught.value.problems)
    assert log.endswith("migration stopped\n")


def test_running_server_keeps_the_migration_off(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    make_catalog(file)
    lock = OsFileSystem(file.parent).lock(PurePosixPath("LOCK"), 0)
    before = tree(file.parent)
    try:
        with pytest.raises(Unavailable, match="stop it"):
            run_migration(v1, file)
    finally:
        lock.release()
    assert tree(file.parent) == before


def test_file_that_another_process_has_open_is_not_replaced(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    make_catalog(file)
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("SELECT count(*) FROM tenants").fetchone()
        with pytest.raises(Unavailable):
            run_migration(v1, file)
    assert tenants_in(file) == {}
    assert not list(file.parent.glob("*.before-v1-*"))


def test_changes_that_are_in_the_log_of_a_killed_server_are_kept(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    make_catalog(file)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("UPDATE tenants SET name = 'Only in the log'")
    names = [file.name, f"{file.name}-wal"]
    left = {name: (file.parent / name).read_bytes() for name in names}
    connection.close()
    for name, content in left.items():
        (file.parent / name).write_bytes(content)
    report = run_migration(v1, file)
    assert report.backup is not None
    for path in (file, report.backup):
        found = in_catalog(path, lambda catalog: catalog.get_tenant("default"))
        assert found.name == "Only in the log"


def test_log_of_a_lost_catalog_is_not_taken_for_that_of_the_new_one(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    file.with_name("catalog.sqlite-wal").write_bytes(b"of another file")
    with pytest.raises(Corrupt, match=r"sqlite-wal: belongs to a catalog file that is gone"):
        run_migration(v1, file)
    assert not file.exists()


def test_what_is_no_catalog_is_refused_and_left_alone(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    file.write_bytes(b"something else, not SQLite" * 100)
    with pytest.raises(Corrupt, match=str(file)):
        run_migration(v1, file)
    with contextlib.closing(sqlite3.connect(file.with_name("other.sqlite"))) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('999')")
        connection.commit()
    with pytest.raises(InvalidState, match="999"):
        run_migration(v1, file.with_name("other.sqlite"))
    assert file.read_bytes() == b"something else, not SQLite" * 100


def test_database_inside_the_1x_data_is_refused(v1: Path) -> None:
    write(v1, [manifest()])
    with pytest.raises(InvalidArgument, match=r"lies in the 1\.x data"):
        run_migration(v1, v1 / "new" / "catalog.sqlite")


def test_folder_without_a_manifest_makes_no_catalog(v1: Path, file: Path) -> None:
    (v1 / "tenants").mkdir(parents=True)
    with pytest.raises(InvalidArgument, match="holds no manifest"):
        run_migration(v1, file)
    assert tree(file.parent) == {}


def test_work_that_a_crash_left_is_removed(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    left = file.with_name(".catalog.sqlite.v1-work")
    left.mkdir()
    (left / "catalog.sqlite").write_bytes(b"half done")
    run_migration(v1, file)
    assert sorted(tree(file.parent)) == ["LOCK", "catalog.sqlite", "migration.log"]


@pytest.mark.parametrize("existing", [False, True])
def test_disk_that_is_full_at_any_point_leaves_the_file_as_it_was(
    v1: Path, file: Path, existing: bool
) -> None:
    write(v1, manifests(100, seed=7))
    if existing:
        make_catalog(file)
    before = tree(file.parent, without=BESIDES)
    for size_bytes in (0, 100, 4096, 100_000, 200_000, 270_000, 300_000):
        with no_file_above(size_bytes), pytest.raises((StorageFull, StorageFailed)):
            run_migration(v1, file)
        assert tree(file.parent, without=BESIDES) == before, size_bytes
    assert run_migration(v1, file).count(Outcome.MIGRATED) == 100
    assert len(tenants_in(file)) == 100


def test_migration_counts_when_only_the_end_of_the_log_finds_no_room(
    v1: Path, file: Path, tmp_path: Path
) -> None:
    write(v1, [manifest()])
    run_migration(v1, tmp_path / "other" / "catalog.sqlite")
    _, *lines = (tmp_path / "other" / "migration.log").read_bytes().splitlines(keepends=True)
    log = file.parent / "migration.log"
    full = contextlib.ExitStack()

    def fill(done: int, total: int) -> None:
        log.write_bytes(b" " * 2_000_000 + b"\n")
        full.enter_context(no_file_above(log.stat().st_size + sum(map(len, lines)) - 1))

    with full:
        report = run_migration(v1, file, progress=fill)
    assert "migration.log" in report.log_problem
    assert len(tenants_in(file)) == 1


def test_catalog_that_fails_the_checks_never_takes_the_place_of_the_file(
    v1: Path, file: Path
) -> None:
    write(v1, [manifest()])
    make_catalog(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "CREATE TRIGGER eager AFTER INSERT ON databases "
            "BEGIN DELETE FROM databases WHERE database_id = NEW.database_id; END"
        )
    before = tree(file.parent, without=BESIDES)
    for options in ({"dry_run": True}, {}):
        with pytest.raises(Internal, match="a tenant without its database"):
            run_migration(v1, file, **options)
        assert tree(file.parent, without=BESIDES) == before


def test_checks_find_whatever_is_not_as_it_must_be(v1: Path, file: Path, tmp_path: Path) -> None:
    write(v1, [manifest()])
    make_catalog(file)
    before = tenant_ids(file)
    run_migration(v1, file)
    source = parse_manifest("x", next(v1.rglob("*.json")).read_bytes())
    written = [translate(source, ChosenSlug("acme"), NOW)]
    check_migrated(file, before, written)
    damages = {
        "DELETE FROM databases WHERE description <> ''": "a tenant without its database",
        "UPDATE databases SET state = 'migrating'": "a tenant without its database",
        "DELETE FROM users": "a tenant without its administrator",
        "DELETE FROM tenants WHERE slug = 'acme'": "1 tenants instead of 2",
        "DELETE FROM tenants WHERE slug = 'default'": "other tenant ids",
        "UPDATE users SET tenant_id = x'00'": "names a row of tenants that is not there",
    }
    for number, (damage, expected) in enumerate(damages.items()):
        copy = tmp_path / f"{number}.sqlite"
        copy.write_bytes(file.read_bytes())
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute(damage)
            connection.commit()
        with pytest.raises(Internal, match=expected):
            check_migrated(copy, before, written)
