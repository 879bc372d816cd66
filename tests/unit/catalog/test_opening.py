"""Opening a catalog file, and making one."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.catalog.catalog import SqliteCatalog
from akidb_ray.catalog.database import CatalogDatabase
from akidb_ray.catalog.engines import require_sqlite
from akidb_ray.domain.errors import (
    Corrupt,
    InvalidState,
    NotFound,
    StorageFailed,
    StorageFull,
    Unavailable,
)
from akidb_ray.domain.tenancy import DatabaseState, TenantStatus


async def test_a_new_catalog_has_a_default_tenant_with_a_default_database(
    catalog: SqliteCatalog,
) -> None:
    snapshot = await catalog.snapshot()
    (tenant,) = snapshot.tenants
    (database,) = snapshot.databases
    assert (tenant.slug, tenant.status) == ("default", TenantStatus.ACTIVE)
    assert (database.name, database.state) == ("default", DatabaseState.READY)
    assert database.tenant_id == tenant.tenant_id


async def test_a_missing_file_is_not_made_unless_asked_for(file: Path, clock: Any) -> None:
    with pytest.raises(NotFound, match=r"catalog file .* does not exist"):
        await SqliteCatalog.open(file, clock, create=False)
    assert list(file.parent.iterdir()) == []


async def test_reopening_keeps_everything_and_the_cluster_id(file: Path, clock: Any) -> None:
    first = await SqliteCatalog.open(file, clock, create=True)
    await first.create_tenant("Acme")
    before = await first.snapshot()
    await first.close()
    second = await SqliteCatalog.open(file, clock, create=True)
    assert second.cluster_id == first.cluster_id
    assert await second.snapshot() == before
    await second.close()


async def test_two_new_catalogs_are_two_clusters(tmp_path: Path, clock: Any) -> None:
    opened = [await SqliteCatalog.open(tmp_path / name, clock, create=True) for name in "ab"]
    assert opened[0].cluster_id != opened[1].cluster_id
    for catalog in opened:
        await catalog.close()


async def test_a_change_is_on_disk_when_its_call_returns(
    catalog: SqliteCatalog, file: Path, tmp_path: Path, clock: Any
) -> None:
    await catalog.create_tenant("Acme")
    # What a kill -9 leaves behind: the files as they are, nothing closed.
    left = tmp_path / "left"
    left.mkdir()
    for name in (file.name, f"{file.name}-wal"):
        shutil.copy(file.with_name(name), left / name)
    reopened = await SqliteCatalog.open(left / file.name, clock, create=False)
    assert (await reopened.get_tenant("acme")).name == "Acme"
    await reopened.close()


async def test_creation_that_was_interrupted_starts_anew(file: Path, clock: Any) -> None:
    for suffix in (".new", ".new-wal", ".new-shm"):
        file.with_name(file.name + suffix).write_bytes(b"half of a catalog")
    catalog = await SqliteCatalog.open(file, clock, create=True)
    await catalog.close()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


async def test_a_log_of_a_lost_catalog_is_not_replayed_into_a_new_one(
    file: Path, clock: Any
) -> None:
    log = file.with_name(f"{file.name}-wal")
    log.write_bytes(b"of another file")
    with pytest.raises(Corrupt, match="gone"):
        await SqliteCatalog.open(file, clock, create=True)
    assert log.read_bytes() == b"of another file"
    assert not file.exists()


async def test_a_file_in_a_folder_that_is_missing_fails_as_storage(
    tmp_path: Path, clock: Any
) -> None:
    with pytest.raises(StorageFailed):
        await SqliteCatalog.open(tmp_path / "missing" / "catalog.db", clock, create=True)


async def test_a_file_that_is_no_database_is_corrupt(file: Path, clock: Any) -> None:
    file.write_bytes(b"no database at all, but long enough to have a header" * 100)
    with pytest.raises(Corrupt):
        await SqliteCatalog.open(file, clock, create=True)


async def test_a_database_of_something_else_is_refused_untouched(file: Path, clock: Any) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = file.read_bytes()
    with pytest.raises(Corrupt, match="not a catalog"):
        await SqliteCatalog.open(file, clock, create=False)
    assert file.read_bytes() == before


async def test_a_newer_schema_is_refused_untouched(file: Path, clock: Any) -> None:
    catalog = await SqliteCatalog.open(file, clock, create=True)
    await catalog.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.read_bytes()
    with pytest.raises(InvalidState, match=r"schema version 999.*knows versions up to 004"):
        await SqliteCatalog.open(file, clock, create=False)
    assert file.read_bytes() == before


def test_an_old_sqlite_is_refused_with_the_version_that_is_needed() -> None:
    require_sqlite((3, 37, 0))
    with pytest.raises(InvalidState, match=r"version 3\.36\.0.*3\.37"):
        require_sqlite((3, 36, 0))


async def test_a_closed_catalog_answers_unavailable(file: Path, clock: Any) -> None:
    catalog = await SqliteCatalog.open(file, clock, create=True)
    await catalog.close()
    await catalog.close()
    with pytest.raises(Unavailable, match="closed"):
        await catalog.get_tenant("default")
    with pytest.raises(Unavailable, match="closed"):
        await catalog.create_tenant("Acme")
    with pytest.raises(Unavailable, match="closed"):
        await catalog.snapshot()


async def test_an_exception_within_a_write_leaves_no_trace(
    catalog: SqliteCatalog, file: Path
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
    catalog: SqliteCatalog, file: Path
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


async def test_readers_cannot_write(catalog: SqliteCatalog, file: Path) -> None:
    database = CatalogDatabase(file)
    with pytest.raises(StorageFailed, match="readonly"):
        async with database.reading() as connection:
            await connection.exec_driver_sql("UPDATE tenants SET name = 'changed'")
    await database.close()


async def test_a_reader_sees_one_state_while_another_is_written(
    catalog: SqliteCatalog, file: Path
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
    catalog: SqliteCatalog, file: Path
) -> None:
    database = CatalogDatabase(file)
    wanted = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 5000}
    async with database.writing() as connection:
        for name, value in wanted.items():
            assert (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() == value
    await database.close()
