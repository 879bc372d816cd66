"""Stores, whose actors come and go."""

from collections.abc import Collection

from akidb_ray.catalog.repositories import Repositories
from akidb_ray.domain.ids import StoreId


async def retire_other_stores(repos: Repositories, serving: Collection[StoreId]) -> None:
    """Record that nobody serves the stores outside of `serving` now: their shards are unavailable,
    and they get no new ones.
    """
    for store_id, actor_name in (await repos.placement.stores()).items():
        if actor_name and store_id not in serving:
            await repos.placement.register_store(store_id, "")
