"""Undoing a migration of 1.x tenants."""

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.sqlite.facts import read_facts
from akidb_ray.catalog.v1.migration import migrate
from akidb_ray.catalog.v1.report import MigrationReport
from akidb_ray.catalog.v1.rollback import RollbackReport, rollback
from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.errors import InvalidState, NotFound, StorageFailed, StorageFull, Unavailable
from akidb_ray.domain.ids import StoreId
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.catalog.v1_folders import (
    BESIDES,
    NOW,
    in_catalog,
    make_catalog,
    manifest,
    manifests,
    no_file_above,
    tenants_in,
    tree,
    write,
)

Change = Callable[[StoredCatalog], Awaitable[object]]


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    return write(tmp_path / "v1", manifests(20, seed=1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "v2"
    folder.mkdir()
    return folder / "catalog.sqlite"


@pytest.fixture
def existing(file: Path) -> Path:
    """A catalog with a tenant and a root key."""
    make_catalog(file)

    async def fill(catalog: StoredCatalog) -> None:
        await catalog.replace_root_key_hash(b"root")
        await catalog.create_tenant("There before")

    in_catalog(file, fill)
    return file


def run(v1: Path, file: Path, after_s: int = 0) -> MigrationReport:
    return migrate(v1, file, lambda: NOW + timedelta(seconds=after_s))


def undo(file: Path, *, force: bool = False) -> RollbackReport:
    return rollback(file, lambda: NOW, force=force)


def rows_of(file: Path) -> dict[str, list[tuple[object, ...]]]:
    tables = ("tenants", "users", "databases", "collections", "shards", "jobs")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in tables
        }


def test_existing_catalog_is_as_it_was(v1: Path, existing: Path) -> None:
    existing.chmod(0o600)
    before = rows_of(existing)
    backup = run(v1, existing).backup
    report = undo(existing)
    assert rows_of(existing) == before
    assert (report.backup, report.tenants, report.lost, report.aside) == (backup, 20, (), None)
    assert existing.stat().st_mode & 0o777 == 0o600
    assert [tenant.slug for tenant in tenants_in(existing).values()] == ["there-before"]


def test_file_that_the_migration_made_is_removed(v1: Path, file: Path) -> None:
    run(v1, file)
    report = undo(file)
    assert (report.backup, report.tenants) == (None, 20)
    assert sorted(tree(file.parent)) == ["LOCK", "migration.log"]
    log = (file.parent / "migration.log").read_text()
    assert log.endswith("rollback done: 20 tenants of 1.x are gone\n")


def test_migration_can_be_done_again_after_its_rollback(v1: Path, existing: Path) -> None:
    run(v1, existing)
    first = tenants_in(existing)
    undo(existing)
    run(v1, existing, after_s=1)
    assert tenants_in(existing) == first
    undo(existing)
    assert len(tenants_in(existing)) == 1


def test_migrations_are_undone_one_by_one_from_the_newest(tmp_path: Path, file: Path) -> None:
    contents = manifests(30, seed=2)
    for number in range(3):
        run(write(tmp_path / f"{number}", contents[: 10 * (number + 1)]), file, after_s=number)
    for left in (20, 10):
        assert undo(file).tenants == 10
        assert len(tenants_in(file)) == left
    assert undo(file).backup is None
    assert not file.exists()


def test_second_rollback_finds_nothing_and_changes_nothing(v1: Path, existing: Path) -> None:
    run(v1, existing)
    undo(existing)
    before = tree(existing.parent, without=BESIDES)
    with pytest.raises(InvalidState, match=r"without tenants of AkiDB 1\.x"):
        undo(existing)
    assert tree(existing.parent, without=BESIDES) == before


def test_backup_of_a_migration_that_never_came_to_its_end_is_passed_over(
    v1: Path, existing: Path
) -> None:
    before = rows_of(existing)
    backup = run(v1, existing).backup
    # What a crash between the backup and the commit of another migration leaves.
    stale = existing.with_name(f"{existing.name}.before-v1-20270101T000000000000Z")
    stale.write_bytes(existing.read_bytes())
    assert undo(existing).backup == backup
    assert rows_of(existing) == before


def test_who_followed_the_migrated_catalog_takes_the_restored_one(v1: Path, existing: Path) -> None:
    run(v1, existing)
    migrated = read_facts(existing)
    undo(existing)
    restored = read_facts(existing)
    assert restored.cluster_id == migrated.cluster_id
    assert restored.version > migrated.version
    assert restored.epoch >= migrated.epoch


async def _tenant(catalog: StoredCatalog) -> None:
    await catalog.create_tenant("Made since")


async def _rename(catalog: StoredCatalog) -> None:
    tenant = next(t for t in (await catalog.list_tenants()).items if t.status == "active")
    await catalog.update_tenant(tenant.tenant_id, {"name": "Changed since"})


async def _password(catalog: StoredCatalog) -> None:
    for tenant in (await catalog.list_tenants()).items:
        for user in (await catalog.list_users(tenant.tenant_id)).items:
            await catalog.update_user(user.user_id, {"password_hash": b"changed since"})


async def _database(catalog: StoredCatalog) -> None:
    for tenant in (await catalog.list_tenants()).items:
        if tenant.status == "active":
            await catalog.create_database(tenant.tenant_id, "made-since")


async def _collection(catalog: StoredCatalog) -> None:
    await catalog.register_store(StoreId.new(), "shard-host-0")
    for tenant in (await catalog.list_tenants()).items:
        if tenant.status == "active" and tenant.quota.max_collections != 0:
            database = await catalog.get_database(tenant.tenant_id, "default")
            await catalog.create_collection(
                database.database_id, "films", CollectionSpec(dimension=16)
            )


async def _root_key(catalog: StoredCatalog) -> None:
    await catalog.replace_root_key_hash(b"made since")


CHANGES: list[tuple[Change, str]] = [
    (_tenant, "of tenants"),
    (_rename, "1 of tenants"),
    (_password, "of users"),
    (_database, "of databases"),
    (_collection, "of collections"),
    (_root_key, "the root key"),
]


@pytest.mark.parametrize(("change", "lost"), CHANGES)
@pytest.mark.parametrize("made", [False, True])
def test_what_would_be_lost_keeps_the_rollback_off_unless_it_is_forced(
    v1: Path, tmp_path: Path, made: bool, change: Change, lost: str
) -> None:
    file = tmp_path / "v2" / "catalog.sqlite"
    file.parent.mkdir()
    if not made:
        make_catalog(file)
    run(v1, file)
    in_catalog(file, change)
    before = rows_of(file)
    with pytest.raises(InvalidState, match=f"changed since the migration .*{lost}"):
        undo(file)
    assert rows_of(file) == before
    report = undo(file, force=True)
    assert report.aside is not None
    assert rows_of(report.aside) == before
    assert any(lost in each for each in report.lost)
    assert not file.exists() if made else tenants_in(file) == {}


def test_start_of_a_server_since_is_no_loss_for_a_catalog_that_was_there(
    v1: Path, existing: Path
) -> None:
    store_id = StoreId.new()

    async def serve(catalog: StoredCatalog) -> None:
        await catalog.register_store(store_id, "shard-host-0")

    in_catalog(existing, serve)
    run(v1, existing)

    async def serve_again(catalog: StoredCatalog) -> None:
        await catalog.register_store(store_id, "shard-host-1")

    in_catalog(existing, serve_again)
    assert undo(existing).lost == ()


def test_store_of_a_server_that_used_the_made_file_keeps_it_there(v1: Path, file: Path) -> None:
    run(v1, file)

    async def serve(catalog: StoredCatalog) -> None:
        await catalog.register_store(StoreId.new(), "shard-host-0")

    in_catalog(file, serve)
    with pytest.raises(InvalidState, match="1 of stores"):
        undo(file)
    assert len(tenants_in(file)) == 20


def test_removing_something_since_is_a_loss_too(v1: Path, existing: Path) -> None:
    run(v1, existing)

    async def end(catalog: StoredCatalog) -> None:
        tenant = await catalog.get_tenant("there-before")
        await catalog.update_tenant(tenant.tenant_id, {"status": "decommissioned"})

    in_catalog(existing, end)
    with pytest.raises(InvalidState, match="1 of tenants"):
        undo(existing)


def test_catalog_without_a_migration_has_nothing_to_roll_back(existing: Path) -> None:
    before = rows_of(existing)
    with pytest.raises(InvalidState, match=r"without tenants of AkiDB 1\.x"):
        undo(existing, force=True)
    assert rows_of(existing) == before


def test_missing_file_is_told(file: Path) -> None:
    with pytest.raises(NotFound, match="catalog file"):
        undo(file)


def test_running_server_keeps_the_rollback_off(v1: Path, file: Path) -> None:
    run(v1, file)
    lock = OsFileSystem(file.parent).lock(PurePosixPath("LOCK"), 0)
    try:
        with pytest.raises(Unavailable):
            undo(file)
    finally:
        lock.release()
    assert len(tenants_in(file)) == 20


def test_disk_that_is_full_at_any_point_leaves_the_migrated_file(v1: Path, existing: Path) -> None:
    run(v1, existing)
    before = tree(existing.parent, without=BESIDES)
    for size_bytes in (0, 100, 4096, 100_000, 200_000):
        with no_file_above(size_bytes), pytest.raises((StorageFull, StorageFailed)):
            undo(existing)
        assert tree(existing.parent, without=BESIDES) == before, size_bytes
    assert undo(existing).tenants == 20


def test_backup_is_kept_for_who_wants_to_look_at_it(
    v1: Path, existing: Path, clock: Callable[[], datetime]
) -> None:
    backup = migrate(v1, existing, clock).backup
    assert backup is not None
    content = backup.read_bytes()
    rollback(existing, clock)
    assert backup.read_bytes() == content


def test_sample_of_one_is_rolled_back_by_its_own_tenants_alone(
    tmp_path: Path, existing: Path
) -> None:
    run(write(tmp_path / "one", [manifest()]), existing)
    assert undo(existing).tenants == 1
