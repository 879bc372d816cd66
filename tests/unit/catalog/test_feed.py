"""Versions, the record of changes, snapshots and those who wait for them."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from akidb_ray.catalog.catalog import SqliteCatalog
from akidb_ray.catalog.changes import Change
from akidb_ray.catalog.database import CatalogDatabase
from akidb_ray.catalog.tables import databases
from akidb_ray.domain.errors import NotFound, Unavailable
from akidb_ray.domain.ids import DatabaseId, StoreId, TenantId
from akidb_ray.domain.tenancy import Tenant
from akidb_ray.service.ports import Catalog


def as_port(catalog: SqliteCatalog) -> Catalog:
    """Type-checked: the catalog carries out what the use cases need."""
    return catalog


async def test_every_change_raises_the_version_and_is_recorded(
    catalog: SqliteCatalog, tenant: Tenant, file: Path
) -> None:
    start = (await catalog.snapshot()).version
    made = await catalog.create_database(tenant.tenant_id, "films")
    await catalog.update_database(made.database_id, {"description": "Plots"})
    await catalog.delete_database(made.database_id)
    assert (await catalog.snapshot()).version == start + 3
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(
            "SELECT catalog_version, kind, entity_id, action, body FROM changes"
            " WHERE catalog_version > ? ORDER BY catalog_version",
            [start],
        ).fetchall()
    assert [row[:4] for row in rows] == [
        (start + number, "database", made.database_id.bytes, action)
        for number, action in enumerate(("created", "updated", "deleted"), 1)
    ]
    assert rows[1][4] == '{"description": "Plots"}'


async def test_many_writers_at_once_each_get_a_version(catalog: SqliteCatalog) -> None:
    start = (await catalog.snapshot()).version
    made = await asyncio.gather(*(catalog.create_tenant("Same name") for _ in range(20)))
    assert len({tenant.slug for tenant in made}) == 20
    assert (await catalog.snapshot()).version == start + 20


async def test_a_watcher_of_an_old_version_is_answered_at_once(catalog: SqliteCatalog) -> None:
    snapshot = await catalog.watch(since=0, timeout_s=0)
    assert snapshot == await catalog.snapshot()


async def test_a_change_wakes_all_watchers(catalog: SqliteCatalog) -> None:
    since = (await catalog.snapshot()).version
    watchers = [asyncio.create_task(catalog.watch(since, timeout_s=30)) for _ in range(5)]
    await asyncio.sleep(0)
    await catalog.create_tenant("Acme")
    for snapshot in await asyncio.gather(*watchers):
        assert snapshot is not None
        assert snapshot.version == since + 1
        assert [tenant.slug for tenant in snapshot.tenants] == ["default", "acme"]


async def test_a_watcher_gets_nothing_when_its_time_is_over(catalog: SqliteCatalog) -> None:
    since = (await catalog.snapshot()).version
    assert await catalog.watch(since, timeout_s=0.01) is None


async def test_a_change_that_fails_wakes_nobody(catalog: SqliteCatalog) -> None:
    since = (await catalog.snapshot()).version
    watcher = asyncio.create_task(catalog.watch(since, timeout_s=0.05))
    with pytest.raises(NotFound):
        await catalog.delete_database(DatabaseId.new())
    assert await watcher is None


async def test_closing_wakes_watchers_with_unavailable(catalog: SqliteCatalog) -> None:
    since = (await catalog.snapshot()).version
    watcher = asyncio.create_task(catalog.watch(since, timeout_s=30))
    await asyncio.sleep(0)
    await catalog.close()
    with pytest.raises(Unavailable, match="closed"):
        await watcher


async def test_a_caller_that_is_cancelled_keeps_no_change_from_the_watchers(
    catalog: SqliteCatalog,
) -> None:
    since = (await catalog.snapshot()).version
    caller = asyncio.create_task(catalog.create_tenant("Acme"))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    snapshot = await catalog.watch(since, timeout_s=30)
    assert snapshot is not None
    assert snapshot.tenants[-1].slug == "acme"


async def test_the_root_key_is_set_and_replaced(catalog: SqliteCatalog) -> None:
    assert (await catalog.snapshot()).root_key_hash is None
    await catalog.replace_root_key_hash(b"first")
    assert (await catalog.snapshot()).root_key_hash == b"first"
    await catalog.replace_root_key_hash(b"third")
    assert (await catalog.snapshot()).root_key_hash == b"third"


async def test_a_store_is_known_by_the_actor_that_registered_last(catalog: SqliteCatalog) -> None:
    store = StoreId.new()
    await catalog.register_store(store, "shard-host-0")
    first = await catalog.snapshot()
    await catalog.register_store(store, "shard-host-0")
    assert (await catalog.snapshot()).version == first.version
    await catalog.register_store(store, "shard-host-1")
    second = await catalog.snapshot()
    assert (second.version, second.stores) == (first.version + 1, {store: "shard-host-1"})


async def test_a_row_without_its_parent_is_not_found(
    catalog: SqliteCatalog, tenant: Tenant, file: Path
) -> None:
    database = CatalogDatabase(file)
    unknown = TenantId.new()
    values = {
        "database_id": DatabaseId.new(),
        "tenant_id": unknown,
        "name": "films",
        "description": "",
        "state": "ready",
        "schema_version": 1,
    }
    with pytest.raises(NotFound) as caught:
        async with database.writing() as connection:
            await Change(connection, tenant.created_at).insert(databases, values)
    assert caught.value.fields == {"kind": "tenant", "id": str(unknown)}
    await database.close()
