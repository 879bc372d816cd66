"""Where shards live: the stores that registered, and the shards placed on them."""

from collections.abc import Sequence

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_update
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.changes import Action, Change
from akidb_ray.catalog.tables import shards, stores
from akidb_ray.catalog.translation import refusals
from akidb_ray.domain.ids import CollectionId, StoreId
from akidb_ray.domain.placement import place_shards


async def register_store(change: Change, store_id: StoreId, actor_name: str) -> None:
    """Record which actor serves the store now. What is recorded already changes nothing.

    Raises InvalidArgument.
    """
    known = select(stores.c.actor_name).where(stores.c.store_id == store_id)
    former = await change.connection.scalar(known)
    if former == actor_name:
        return
    values = {"store_id": store_id, "actor_name": actor_name, "registered_at": change.now}
    statement = insert_or_update(stores).values(values)
    renamed = {"actor_name": actor_name, "registered_at": change.now}
    with refusals(stores, values):
        await change.connection.execute(statement.on_conflict_do_update(set_=renamed))
    action: Action = "created" if former is None else "updated"
    await change.record("store", store_id, action, {"actor_name": actor_name})


async def retire_other_stores(change: Change, serving: Sequence[StoreId]) -> None:
    """Record that nobody serves the stores outside of `serving` now: their shards are unavailable,
    and they get no new ones.
    """
    known = await change.connection.execute(select(stores).where(stores.c.actor_name != ""))
    for store_id in [row.store_id for row in known if row.store_id not in serving]:
        matching = update(stores).where(stores.c.store_id == store_id)
        await change.connection.execute(matching.values(actor_name=""))
        await change.record("store", store_id, "updated", {"actor_name": ""})


async def add_shards(
    connection: AsyncConnection, collection_id: CollectionId, shard_count: int
) -> None:
    """Place a new collection's shards on the served stores with the fewest. Raises Unavailable."""
    counts = (
        select(stores.c.store_id, func.count(shards.c.number).label("shard_count"))
        .outerjoin(shards, shards.c.store_id == stores.c.store_id)
        .where(stores.c.actor_name != "")
        .group_by(stores.c.store_id)
    )
    load = {row.store_id: row.shard_count for row in await connection.execute(counts)}
    rows = [
        {
            "collection_id": collection_id,
            "number": placement.number,
            "store_id": placement.store_id,
            "epoch": placement.epoch,
        }
        for placement in place_shards(shard_count, load)
    ]
    await connection.execute(insert(shards), rows)
