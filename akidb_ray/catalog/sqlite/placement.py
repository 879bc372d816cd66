"""Where shards live: the stores that registered, and the shards placed on them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, insert, select
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from akidb_ray.catalog.sqlite.rows import fetch
from akidb_ray.catalog.sqlite.statements import Statement, run, run_many
from akidb_ray.catalog.sqlite.tables import collections, stores
from akidb_ray.catalog.sqlite.tables import shards as placed
from akidb_ray.catalog.sqlite.transaction import Action, Transaction
from akidb_ray.catalog.sqlite.translation import refusals
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.ids import CollectionId, StoreId
from akidb_ray.domain.placement import ShardPlacement

_STORES = Statement(select(stores))
_PLACE = Statement(insert(placed))
_PLACEMENTS = Statement(
    select(placed.c.number, placed.c.store_id, placed.c.epoch)
    .where(placed.c.collection_id == bindparam("collection_id"))
    .order_by(placed.c.number)
)
_REGISTER = Statement(
    insert_or_update(stores)
    .values({name: bindparam(name) for name in ("store_id", "actor_name", "registered_at")})
    .on_conflict_do_update(
        set_={name: bindparam(f"new_{name}") for name in ("actor_name", "registered_at")}
    )
)


class SqlitePlacement:
    """Carries out `repositories.PlacementRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def place(self, collection_id: CollectionId, shards: Sequence[ShardPlacement]) -> None:
        connection = self._transaction.connection
        await fetch(connection, collections, collection_id)
        known = await self.stores()
        for placement in shards:
            if placement.store_id not in known:
                raise NotFound("store", placement.store_id)
        rows = [
            {
                "collection_id": collection_id,
                "number": placement.number,
                "store_id": placement.store_id,
                "epoch": placement.epoch,
            }
            for placement in shards
        ]
        if rows:
            with refusals(placed, rows[0]):
                await run_many(connection, _PLACE, rows)
            self._transaction.record("collection", collection_id, "updated", {"shards": len(rows)})

    async def placements(self, collection_id: CollectionId) -> tuple[ShardPlacement, ...]:
        connection = self._transaction.connection
        found = await run(connection, _PLACEMENTS, {"collection_id": collection_id})
        if not found:
            await fetch(connection, collections, collection_id)
        return tuple([ShardPlacement(**row) for row in found])

    async def register_store(self, store_id: StoreId, actor_name: str) -> None:
        former = (await self.stores()).get(store_id)
        if former == actor_name:
            return
        renamed = {"actor_name": actor_name, "registered_at": self._transaction.now}
        values = {"store_id": store_id, **renamed}
        new = {f"new_{name}": value for name, value in renamed.items()}
        with refusals(stores, values):
            await run(self._transaction.connection, _REGISTER, {**values, **new})
        action: Action = "created" if former is None else "updated"
        self._transaction.record("store", store_id, action, {"actor_name": actor_name})

    async def stores(self) -> Mapping[StoreId, str]:
        found = await run(self._transaction.connection, _STORES, {})
        return {row["store_id"]: row["actor_name"] for row in found}

    async def shard_counts(self) -> Mapping[StoreId, int]:
        found = await run(self._transaction.connection, _STORES, {})
        return {row["store_id"]: row["shard_count"] for row in found if row["actor_name"]}
