"""Holds collections to their `max_doc_count`.

Counting before every write would cost a call to each shard. So a count is made rarely: it says how
many more documents fit, and batches are taken from that until it is used up. Near the limit every
batch is counted anew, and waits for those under way when it may not fit beside them. What other
gateways have under way at that moment is not seen, so several of them may overshoot by those
batches; and so may a batch that goes on though nobody waits for it any more, as its caller went
away or its host did not answer in time.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import QuotaExceeded
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId
from akidb_ray.domain.query import ShardCount, ShardGet
from akidb_ray.service.fan_out import Deadline, ask_shards, raise_first_error, shard_key, within
from akidb_ray.service.ports import ShardHosts
from akidb_ray.service.split_writes import rows_by_shard

_EVERYTHING = RowFilter()
_LATE = "whether the collection has room for the documents was not known in time"


@dataclass(eq=False, slots=True)
class _Room:
    """Of one collection: `free` documents are sure to fit beside those that are stored and the
    `under_way`; the lock is of who counts. `ended` is set when a write is under way no more.
    """

    free: int = 0
    under_way: int = 0
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class DocumentLimits:
    """A batch waits for `wait_s` at most until it is known to fit."""

    def __init__(self, hosts: ShardHosts, wait_s: float = 30.0) -> None:
        self._hosts = hosts
        self._wait_s = wait_s
        self._rooms: dict[CollectionId, _Room] = {}

    @asynccontextmanager
    async def room_for(self, place: CollectionPlace, ids: Sequence[str]) -> AsyncIterator[None]:
        """While these documents are written. Raises QuotaExceeded when they don't fit, and
        DeadlineExceeded; nothing was written then.
        """
        room = self._rooms.setdefault(place.collection.collection_id, _Room())
        if room.free >= len(ids):
            taken = len(ids)
            room.free -= taken
        else:
            until = Deadline(asyncio.get_running_loop().time() + self._wait_s)
            taken = await within(until, self._counted(place, ids, room), _LATE)
        room.under_way += taken
        try:
            yield
        finally:
            # What a failed write took is free again from the next count on: a part of it may be
            # stored.
            room.under_way -= taken
            room.ended.set()

    async def _counted(self, place: CollectionPlace, ids: Sequence[str], room: _Room) -> int:
        """For how many new documents room was taken."""
        async with room.counting:
            if room.free >= len(ids):
                room.free -= len(ids)
                return len(ids)
            while True:
                # So nobody takes of it meanwhile, and what is under way only gets less.
                room.free = 0
                room.ended.clear()
                under_way = room.under_way
                free, new = await self._free_and_new(place, ids, under_way)
                if new <= free - under_way:
                    room.free = free - under_way - new
                    return new
                # Some that are under way may be counted twice: as such, and as stored.
                await room.ended.wait()

    async def _free_and_new(
        self, place: CollectionPlace, ids: Sequence[str], under_way: int
    ) -> tuple[int, int]:
        """How many documents fit, and at most how many of these are new. Raises QuotaExceeded."""
        limit = place.collection.spec.max_doc_count
        counts = [ShardCount(shard_key(place, p.number), _EVERYTHING) for p in place.placements]
        used = sum(raise_first_error(await ask_shards(self._hosts, place, counts)))
        if used + under_way + len(ids) <= limit:
            return limit - used, len(ids)
        unique = list(dict.fromkeys(ids))
        new = len(unique) - await self._count_present(place, unique)
        if used + new > limit:
            raise QuotaExceeded("max_doc_count", limit, used)
        return limit - used, new

    async def _count_present(self, place: CollectionPlace, ids: list[str]) -> int:
        gets = [
            ShardGet(shard_key(place, number), [ids[row] for row in rows], _EVERYTHING)
            for number, rows in rows_by_shard(place, ids).items()
        ]
        found = raise_first_error(await ask_shards(self._hosts, place, gets))
        return sum(len(part) for part in found)
