"""Opening a catalog file, and making one."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.sqlite.copying import copy_database
from akidb_ray.catalog.sqlite.database import CatalogDatabase
from akidb_ray.catalog.sqlite.engines import require_sqlite
from akidb_ray.catalog.sqlite.schema import MIGRATIONS, newest_schema, upgrade
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.domain.errors import (
    Corrupt,
    InvalidState,
    NotFound,
    StorageFailed,
    StorageFull,
    Unavailable,
)
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.tenancy import DatabaseState, TenantQuota, TenantStatus
from tests.unit.catalog.states import state_of

TIME = "2026-01-31T12:00:00.000000Z"


async def test_a_new_catalog_has_a_default_tenant_with_a_default_database(
    catalog: StoredCatalog,
) -> None:
    snapshot = await state_of(catalog)
    (tenant,) = snapshot.tenants
    (database,) = snapshot.databases
    assert (tenant.slug, tenant.status) == ("default", TenantStatus.ACTIVE)
    assert (database.name, database.state) == ("default", DatabaseState.READY)
    assert database.tenant_id == tenant.tenant_id


async def test_a_missing_file_is_not_made_unless_asked_for(file: Path, clock: Any) -> None:
    with pytest.raises(NotFound, match=r"catalog file .* does not exist"):
        await StoredCatalog.open(file, clock, create=False)
    assert list(file.parent.iterdir()) == []


async def test_reopening_keeps_everything_and_the_cluster_id(file: Path, clock: Any) -> None:
    first = await StoredCatalog.open(file, clock, create=True)
    await first.create_tenant("Acme")
    before = await state_of(first)
    await first.close()
    second = await StoredCatalog.open(file, clock, create=True)
    assert second.cluster_id == first.cluster_id
    assert await state_of(second) == replace(before, epoch=first.epoch + 1)
    await second.close()


async def test_two_new_catalogs_are_two_clusters(tmp_path: Path, clock: Any) -> None:
    opened = [await StoredCatalog.open(tmp_path / name, clock, create=True) for name in "ab"]
    assert opened[0].cluster_id != opened[1].cluster_id
    for catalog in opened:
        await catalog.close()


async def test_a_change_is_on_disk_when_its_call_returns(
    catalog: StoredCatalog, file: Path, tmp_path: Path, clock: Any
) -> None:
    await catalog.create_tenant("Acme")
    # What a kill -9 leaves behind: the files as they are, nothing closed.
    left = tmp_path / "left"
    left.mkdir()
    for name in (file.name, f"{file.name}-wal"):
        shutil.copy(file.with_name(name), left / name)
    reopened = await StoredCatalog.open(left / file.name, clock, create=False)
    assert (await reopened.get_tenant("acme")).name == "Acme"
    await reopened.close()


async def test_creation_that_was_interrupted_starts_anew(file: Path, clock: Any) -> None:
    for suffix in (".new", ".new-wal", ".new-shm"):
        file.with_name(file.name + suffix).write_bytes(b"half of a catalog")
    catalog = await StoredCatalog.open(file, clock, create=True)
    await catalog.close()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


async def test_a_log_of_a_lost_catalog_is_not_replayed_into_a_new_one(
    file: Path, clock: Any
) -> None:
    log = file.with_name(f"{file.name}-wal")
    log.write_bytes(b"of another file")
    with pytest.raises(Corrupt, match="gone"):
        await StoredCatalog.open(file, clock, create=True)
    assert log.read_bytes() == b"of another file"
    assert not file.exists()


async def test_a_file_in_a_folder_that_is_missing_fails_as_storage(
    tmp_path: Path, clock: Any
) -> None:
    with pytest.raises(StorageFailed):
        await StoredCatalog.open(tmp_path / "missing" / "catalog.db", clock, create=True)


async def test_a_file_that_is_no_database_is_corrupt(file: Path, clock: Any) -> None:
    file.write_bytes(b"no database at all, but long enough to have a header" * 100)
    with pytest.raises(Corrupt):
        await StoredCatalog.open(file, clock, create=True)


async def test_a_database_of_something_else_is_refused_untouched(file: Path, clock: Any) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = file.read_bytes()
    with pytest.raises(Corrupt, match="not a catalog"):
        await StoredCatalog.open(file, clock, create=False)
    assert file.read_bytes() == before


async def test_a_newer_schema_is_refused_untouched(file: Path, clock: Any) -> None:
    catalog = await StoredCatalog.open(file, clock, create=True)
    await catalog.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.read_bytes()
    with pytest.raises(InvalidState, match=r"schema version 999.*knows versions up to 005"):
        await StoredCatalog.open(file, clock, create=False)
    assert file.read_bytes() == before


def make_older(file: Path, schema: int) -> list[str]:
    """A catalog that a release of before made, in its own words."""
    for path in sorted((MIGRATIONS / "versions").glob("*.py")):
        if int(path.name[:3]) <= schema:
            target = file.parent / "migrations" / "versions" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    shutil.copy(MIGRATIONS / "env.py", file.parent / "migrations")
    file.touch()
    upgrade(file, file.parent / "migrations")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO catalog_meta (id, cluster_id) VALUES (1, zeroblob(16))")
        connection.execute(
            "INSERT INTO tenants (tenant_id, name, slug, status, created_at, updated_at)"
            f" VALUES (zeroblob(16), 'Acme', 'acme', 'active', '{TIME}', '{TIME}')"
        )
        connection.commit()
    return dump(file)


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


async def test_an_older_catalog_is_migrated_with_its_copy_beside_it(file: Path, clock: Any) -> None:
    before = make_older(file, 4)
    catalog = await StoredCatalog.open(file, clock, create=False)
    acme = await catalog.get_tenant("acme")
    assert (acme.name, acme.quota, catalog.epoch) == ("Acme", TenantQuota(), 1)
    assert acme in (await catalog.list_tenants(Listing(text="acme"))).items
    await catalog.close()
    copy = file.with_name(f"{file.name}.before-{newest_schema()}")
    assert dump(copy) == before
    again = await StoredCatalog.open(file, clock, create=False)
    await again.close()
    assert dump(copy) == before


async def test_a_newest_catalog_is_not_copied(file: Path, clock: Any) -> None:
    for _ in range(2):
        catalog = await StoredCatalog.open(file, clock, create=True)
        await catalog.close()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


async def test_the_copy_of_an_attempt_that_stopped_half_way_is_kept(file: Path, clock: Any) -> None:
    before = make_older(file, 3)
    copy_database(file, file.with_name(f"{file.name}.before-{newest_schema()}"))
    # As after a crash between two migrations.
    shutil.copy(MIGRATIONS / "versions" / "004_search.py", file.parent / "migrations" / "versions")
    upgrade(file, file.parent / "migrations")
    catalog = await StoredCatalog.open(file, clock, create=False)
    assert (await catalog.get_tenant("acme")).name == "Acme"
    await catalog.close()
    assert dump(file.with_name(f"{file.name}.before-{newest_schema()}")) == before


async def test_without_room_for_the_copy_nothing_is_migrated(file: Path, clock: Any) -> None:
    before = make_older(file, 4)
    # A folder where the copy's scratch file is to be stands for a disk that refuses it.
    file.with_name(f"{file.name}.before-{newest_schema()}.copying").mkdir()
    with pytest.raises(StorageFailed):
        await StoredCatalog.open(file, clock, create=False)
    assert dump(file) == before


async def test_a_later_opening_takes_the_catalog_over(file: Path, clock: Any) -> None:
    first = await StoredCatalog.open(file, clock, create=True)
    second = await StoredCatalog.open(file, clock, create=False)
    assert second.epoch == first.epoch + 1
    before = await state_of(second)
    with pytest.raises(InvalidState, match=r"taken over by another process.*term 1 is over"):
        await first.create_tenant("Acme")
    with pytest.raises(InvalidState, match="taken over"):
        await first.replace_root_key_hash(b"hash")
    assert await state_of(second) == before
    await second.create_tenant("Acme")
    assert (await first.get_tenant("acme")).name == "Acme"
    await first.close()
    await second.close()


async def test_a_catalog_that_does_not_say_whose_it_is_is_corrupt(file: Path, clock: Any) -> None:
    file.touch()
    upgrade(file)
    with pytest.raises(Corrupt, match="does not say which cluster"):
        await StoredCatalog.open(file, clock, create=False)


async def test_a_catalog_without_room_for_its_defaults_is_not_made(file: Path, clock: Any) -> None:
    async def fail(repos: Repositories) -> None:
        raise StorageFull("no room left")

    with pytest.raises(StorageFull):
        await SqliteStore.open(file, clock, create=True, fill=fail)
    assert not file.exists()
    catalog = await StoredCatalog.open(file, clock, create=True)
    await catalog.close()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_an_old_sqlite_is_refused_with_the_version_that_is_needed() -> None:
    require_sqlite((3, 37, 0))
    with pytest.raises(InvalidState, match=r"version 3\.36\.0.*3\.37"):
        require_sqlite((3, 36, 0))


async def test_a_closed_catalog_answers_unavailable(file: Path, clock: Any) -> None:
    catalog = await StoredCatalog.open(file, clock, create=True)
    await catalog.close()
    await catalog.close()
    with pytest.raises(Unavailable, match="closed"):
        await catalog.get_tenant("default")
    with pytest.raises(Unavailable, match="closed"):
        await catalog.create_tenant("Acme")
    with pytest.raises(Unavailable, match="closed"):
        await state_of(catalog)


async def test_an_exception_within_a_write_leaves_no_trace(
    catalog: StoredCatalog, file: Path
) -> None:
    database = CatalogDatabase(file)

    async def fail_half_way() -> None:
        async with database.writing() as connection:
            await connection.exec_driver_sql("UPDATE tenants SET name = 'changed'")
            await connection.exec_driver_sql("CREATE TABLE extra (x INTEGER)")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        await fail_half_way()
    async with database.reading() as connection:
        assert (await connection.exec_driver_sql("SELECT name FROM tenants")).scalar() == "default"
        found = await connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'extra'")
        assert found.first() is None
    await database.close()


async def test_a_full_disk_is_storage_full_and_keeps_nothing(
    catalog: StoredCatalog, file: Path
) -> None:
    database = CatalogDatabase(file)
    async with database.writing() as connection:
        # A limit on the file's pages, the one it has already, stands for the disk's end.
        await connection.exec_driver_sql("PRAGMA max_page_count = 1")

    async def fill_the_disk() -> None:
        async with database.writing() as connection:
            await connection.exec_driver_sql("UPDATE tenants SET name = 'changed'")
            await connection.exec_driver_sql("CREATE TABLE extra (x INTEGER)")

    with pytest.raises(StorageFull):
        await fill_the_disk()
    async with database.reading() as connection:
        assert (await connection.exec_driver_sql("SELECT name FROM tenants")).scalar() == "default"
    await database.close()


async def test_readers_cannot_write(catalog: StoredCatalog, file: Path) -> None:
    database = CatalogDatabase(file)
    with pytest.raises(StorageFailed, match="readonly"):
        async with database.reading() as connection:
            await connection.exec_driver_sql("UPDATE tenants SET name = 'changed'")
    await database.close()


async def test_a_reader_sees_one_state_while_another_is_written(
    catalog: StoredCatalog, file: Path
) -> None:
    database = CatalogDatabase(file)
    count = "SELECT count(*) FROM tenants"
    async with database.reading() as connection:
        assert (await connection.exec_driver_sql(count)).scalar() == 1
        await catalog.create_tenant("Acme")
        assert (await connection.exec_driver_sql(count)).scalar() == 1
    async with database.reading() as connection:
        assert (await connection.exec_driver_sql(count)).scalar() == 2
    await database.close()


async def test_connections_have_the_settings_that_durability_and_integrity_need(
    catalog: StoredCatalog, file: Path
) -> None:
    database = CatalogDatabase(file)
    wanted = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 5000}
    async with database.writing() as connection:
        for name, value in wanted.items():
            assert (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() == value
    await database.close()
