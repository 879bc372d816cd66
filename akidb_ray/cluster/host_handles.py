"""The port to the shards. Reads and writes take a stream to the host; what is rare, and whatever
has to do with its life, goes by Ray actor calls.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray

from akidb_ray.cluster.actors import NamedActor
from akidb_ray.cluster.coalescing import Coalescer
from akidb_ray.cluster.host_stream import HostStream
from akidb_ray.cluster.ray_tls import client_tls
from akidb_ray.domain.directory import CollectionPlace, Directory
from akidb_ray.domain.errors import AkiDBError, DeadlineExceeded, Unavailable
from akidb_ray.domain.ids import CollectionId, StoreId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardRead, ShardSearch, ShardStatus, ShardTextStatistics
from akidb_ray.domain.write import ShardWrite, WriteOutcome
from akidb_ray.settings import Settings

Answer = TypeVar("Answer")
_SHARED = (ShardSearch, ShardTextStatistics)
_ALIVE_TIMEOUT_S = 2.0


class RayShardHosts:
    """Finds the actor of a store in the newest copy of the catalog."""

    def __init__(self, directory: Callable[[], Directory], settings: Settings) -> None:
        self._directory = directory
        self._timeout_s = settings.server.request_timeout_s
        self._at_a_time = {
            "ask": settings.ray.shard_host_threads,
            "write": settings.ray.shard_host_writers,
            "alive": 1,
        }
        self._actors: dict[str, NamedActor] = {}
        self._streams: dict[tuple[str, str], HostStream] = {}
        self._searches: dict[tuple[StoreId, CollectionId], Coalescer[Any, Any]] = {}

    async def ask(
        self, store_id: StoreId, items: Sequence[ShardRead[Answer]]
    ) -> list[Answer | AkiDBError]:
        # These are short, and there are many. Other reads may take long: who shares a call waits
        # for its slowest item.
        if not all(isinstance(item, _SHARED) for item in items):
            return await self._batch(store_id, "ask", items, again=True)
        # Of one collection: nobody waits for what others have on the same host.
        key = store_id, items[0].shard.collection_id
        if key not in self._searches:
            call = functools.partial(self._batch, store_id, "ask", again=True)
            self._searches[key] = Coalescer(call)
        coalescer = self._searches[key]
        try:
            async with asyncio.timeout(self._timeout_s):
                return await coalescer.ask(items)
        except TimeoutError:
            return [DeadlineExceeded(f"{_what(store_id)} did not answer in time")] * len(items)
        finally:
            if coalescer.is_idle and self._searches.get(key) is coalescer:
                del self._searches[key]

    async def write(
        self, store_id: StoreId, items: Sequence[ShardWrite]
    ) -> list[WriteOutcome | AkiDBError]:
        # Without a key, not even the same documents may be written twice: somebody may have seen
        # them meanwhile, and written others.
        keyed = all(item.options.idempotency_key is not None for item in items)
        return await self._batch(store_id, "write", items, again=keyed)

    async def alive(self, store_id: StoreId) -> bool:
        try:
            async with asyncio.timeout(_ALIVE_TIMEOUT_S):
                await self._actor(store_id).call("store_id")
                await self._stream(store_id, "alive").call("ask", [], again=True)
        except (AkiDBError, TimeoutError):
            return False
        return True

    async def create_shard(self, store_id: StoreId, place: CollectionPlace, number: int) -> None:
        names = {
            "tenant": place.tenant.slug,
            "database": place.database.name,
            "database_id": str(place.database.database_id),
            "collection": place.collection.name,
        }
        await self._actor(store_id).call(
            "create_shard", _key(place, number), place.collection.spec, names, again=True
        )

    async def drop_shard(self, store_id: StoreId, place: CollectionPlace, number: int) -> None:
        await self._actor(store_id).call("drop_shard", _key(place, number), again=True)

    async def status(self, store_id: StoreId, place: CollectionPlace, number: int) -> ShardStatus:
        status: ShardStatus = await self._actor(store_id).call(
            "status", _key(place, number), again=True
        )
        return status

    async def _batch(
        self, store_id: StoreId, method: str, items: Sequence[Any], *, again: bool
    ) -> list[Any]:
        try:
            stream = self._stream(store_id, method)
            group = items[0].shard.collection_id
            answers: list[Any] = await stream.call(method, items, again=again, group=group)
        except AkiDBError as error:
            return [error] * len(items)
        return answers

    def _stream(self, store_id: StoreId, kind: str) -> HostStream:
        """Each kind of call has connections of its own: a write that has to wait holds up no
        search, and a host that has much to do is alive.
        """
        name = self._name(store_id)
        if (name, kind) not in self._streams:
            find = functools.partial(self._actor(store_id).call, "endpoint", again=True)
            here = ray.get_runtime_context().get_node_id()
            what, limit = _what(store_id), self._at_a_time[kind]
            self._streams[name, kind] = HostStream(
                find, here, what, self._timeout_s, client_tls(), limit
            )
        return self._streams[name, kind]

    def _actor(self, store_id: StoreId) -> NamedActor:
        name = self._name(store_id)
        if name not in self._actors:
            self._actors[name] = NamedActor(name, _what(store_id), self._timeout_s)
        return self._actors[name]

    def _name(self, store_id: StoreId) -> str:
        name = self._directory().stores.get(store_id)
        if name is None:
            raise Unavailable(f"no shard host serves store {store_id}")
        return name


def _what(store_id: StoreId) -> str:
    return f"the shard host of store {store_id}"


def _key(place: CollectionPlace, number: int) -> ShardKey:
    return ShardKey(place.tenant.tenant_id, place.collection.collection_id, number)
