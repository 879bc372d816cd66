"""The single row about the catalog itself: which cluster it belongs to, and the root key's hash."""

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.changes import Action, Change
from akidb_ray.catalog.tables import catalog_meta
from akidb_ray.domain.ids import ClusterId


async def create_identity(connection: AsyncConnection, cluster_id: ClusterId) -> None:
    values = {"id": 1, "cluster_id": cluster_id, "catalog_version": 0}
    await connection.execute(insert(catalog_meta).values(values))


async def read_cluster_id(connection: AsyncConnection) -> ClusterId | None:
    """None when the row is missing, which no file that AkiDB finished has."""
    cluster_id: ClusterId | None = await connection.scalar(select(catalog_meta.c.cluster_id))
    return cluster_id


async def set_root_key_hash(change: Change, root_key_hash: bytes) -> None:
    meta = (await change.connection.execute(select(catalog_meta))).mappings().one()
    former = meta["root_key_hash"]
    await change.connection.execute(update(catalog_meta).values(root_key_hash=root_key_hash))
    action: Action = "created" if former is None else "updated"
    await change.record("root_key", meta["cluster_id"], action, {})
