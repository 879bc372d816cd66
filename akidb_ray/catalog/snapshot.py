"""The whole catalog as one value, for the copies that gateways and hosts keep."""

from collections import defaultdict

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.collections import collection_from
from akidb_ray.catalog.databases import database_from
from akidb_ray.catalog.rows import Row, key_of
from akidb_ray.catalog.tables import (
    catalog_meta,
    collections,
    databases,
    shards,
    stores,
    tenants,
)
from akidb_ray.catalog.tenants import tenant_from
from akidb_ray.domain.directory import CatalogSnapshot
from akidb_ray.domain.ids import CollectionId
from akidb_ray.domain.placement import ShardPlacement


async def read_snapshot(connection: AsyncConnection) -> CatalogSnapshot:
    """All that one read transaction sees. Things come in the order of their creation."""
    meta = (await connection.execute(select(catalog_meta))).mappings().one()
    placements = await _placements(connection)
    stored = await connection.execute(select(stores).where(stores.c.actor_name != ""))
    return CatalogSnapshot(
        version=meta["catalog_version"],
        tenants=tuple([tenant_from(row) for row in await _all(connection, tenants)]),
        databases=tuple([database_from(row) for row in await _all(connection, databases)]),
        collections=tuple([collection_from(row) for row in await _all(connection, collections)]),
        placements=placements,
        stores={row.store_id: row.actor_name for row in stored},
        root_key_hash=meta["root_key_hash"],
    )


async def _all(connection: AsyncConnection, table: Table) -> list[Row]:
    query = select(table).order_by(key_of(table))
    return list((await connection.execute(query)).mappings())


async def _placements(
    connection: AsyncConnection,
) -> dict[CollectionId, tuple[ShardPlacement, ...]]:
    query = select(shards).order_by(shards.c.collection_id, shards.c.number)
    placed: dict[CollectionId, list[ShardPlacement]] = defaultdict(list)
    for collection_id, number, store_id, epoch in await connection.execute(query):
        placed[collection_id].append(ShardPlacement(number, store_id, epoch))
    return {collection_id: tuple(found) for collection_id, found in placed.items()}
