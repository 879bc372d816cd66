"""Holds collections to their `max_doc_count`.

Counting before every write would cost a call to each shard. So a count is made rarely: it says how
many more documents fit, and batches are taken from that until it is used up. Near the limit every
batch is counted anew, one at a time. What other gateways have under way at that moment is not seen,
so several of them may overshoot by those batches; and so may a batch whose caller went away while
it was written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import QuotaExceeded
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId
from akidb_ray.domain.query import ShardCount, ShardGet
from akidb_ray.service.fan_out import ask_shards, raise_first_error, shard_key
from akidb_ray.service.ports import ShardHosts
from akidb_ray.service.split_writes import rows_by_shard

_EVERYTHING = RowFilter()


class DocumentLimits:
    def __init__(self, hosts: ShardHosts) -> None:
        self._hosts = hosts
        self._room: dict[CollectionId, int] = {}
        self._counting: dict[CollectionId, asyncio.Lock] = {}

    @asynccontextmanager
    async def room_for(self, place: CollectionPlace, ids: Sequence[str]) -> AsyncIterator[None]:
        """While these documents are written. Raises QuotaExceeded when they don't fit."""
        collection_id = place.collection.collection_id
        if self._room.get(collection_id, 0) >= len(ids):
            self._room[collection_id] -= len(ids)
            yield
            return
        async with self._counting.setdefault(collection_id, asyncio.Lock()):
            self._room[collection_id] = await self._count_room(place, ids)
            yield

    async def _count_room(self, place: CollectionPlace, ids: Sequence[str]) -> int:
        """How many more documents fit beside these."""
        limit = place.collection.spec.max_doc_count
        counts = [ShardCount(shard_key(place, p.number), _EVERYTHING) for p in place.placements]
        used = sum(raise_first_error(await ask_shards(self._hosts, place, counts)))
        if used + len(ids) <= limit:
            return limit - used - len(ids)
        unique = list(dict.fromkeys(ids))
        if used + len(unique) - await self._count_present(place, unique) > limit:
            raise QuotaExceeded("max_doc_count", limit, used)
        return 0

    async def _count_present(self, place: CollectionPlace, ids: list[str]) -> int:
        gets = [
            ShardGet(shard_key(place, number), [ids[row] for row in rows], _EVERYTHING)
            for number, rows in rows_by_shard(place, ids).items()
        ]
        found = raise_first_error(await ask_shards(self._hosts, place, gets))
        return sum(len(part) for part in found)
