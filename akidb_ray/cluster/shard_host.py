"""The actor that holds a store's replicas. A shell: the work is done by `shard.Replicas`, in
threads. It follows the catalog, and makes and deletes files only by what is recorded there.
"""

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from akidb_ray.cluster.host_calls import HostCalls
from akidb_ray.cluster.host_server import HostEndpoint, HostServer
from akidb_ray.cluster.local_ray import INSTANCE_VARIABLE, instance_folder, instance_id
from akidb_ray.cluster.ray_tls import server_tls
from akidb_ray.cluster.store_copy import StoreCopy
from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.errors import Unavailable
from akidb_ray.domain.ids import ClusterId, StoreId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardStatus
from akidb_ray.service.following import ChangeFeed, Follower
from akidb_ray.settings import ShardSettings
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.store import Store, open_store

_log = logging.getLogger(__name__)
Item = TypeVar("Item")
Answer = TypeVar("Answer")
_MAKING = "making its files, which takes a recorded collection"
_DELETING = "deleting its files, which takes a recorded deletion"
# A deletion waits for the disk, or for maintenance to step out.
_DELETING_THREADS = 4


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What a shard host needs to know. `folder` is its store. Each connection has a thread; what
    one call brings beyond that is read by so many `threads`, and written by so many `writers`.
    `memory_bytes` is its share of the machine's. It listens on `address`, that of its node.
    """

    folder: str
    node_id: str
    address: str
    cluster_id: ClusterId
    threads: int
    writers: int
    cores: int
    memory_bytes: int
    shard: ShardSettings


class ShardHost:
    """Opens the store, listens for calls, and makes and drops shards.

    `catalog` is asked for changes only, and by no query.
    """

    def __init__(self, options: HostOptions, catalog: ChangeFeed) -> None:
        self._options = options
        self._catalog = catalog
        self._threads = ThreadPoolExecutor(thread_name_prefix="host")
        self._deleters = ThreadPoolExecutor(_DELETING_THREADS, thread_name_prefix="delete")
        self._deletions: dict[ShardKey, asyncio.Future[None]] = {}
        self._opening = threading.Lock()
        self._opened: tuple[Store, Replicas] | None = None
        self.calls = HostCalls(
            lambda: self._open()[1], options.threads, options.writers, options.cores
        )
        self._server = HostServer({"ask": self.calls.ask, "write": self.calls.write})
        self._endpoint: asyncio.Task[HostEndpoint] | None = None
        self._follower: Follower[StoreCopy] | None = None
        self._following: asyncio.Task[None] | None = None

    async def store_id(self) -> StoreId:
        """Asked before all else by whoever starts a host, and from time to time by others."""
        return (await self._followed()).copy.store_id

    async def endpoint(self) -> HostEndpoint:
        """Where to ask and to write, until this process ends. Raises Unavailable."""
        if self._endpoint is None:
            self._endpoint = asyncio.create_task(self._listen())
        try:
            return await asyncio.shield(self._endpoint)
        except Exception as error:
            # The next who asks has it tried again.
            self._endpoint = None
            if isinstance(error, OSError):
                raise Unavailable(f"the shard host can't listen: {error}") from error
            raise

    async def _listen(self) -> HostEndpoint:
        def listen() -> HostEndpoint:
            options = self._options
            path = self._socket_path()
            return self._server.listen(options.node_id, path, options.address, server_tls())

        return await asyncio.to_thread(listen)

    def _socket_path(self) -> Path:
        """A new one in a private folder, where nothing is left of processes before this one."""
        folder = Path(self._options.folder)
        private = instance_folder(os.environ.get(INSTANCE_VARIABLE) or instance_id(folder))
        for left in private.glob(f"{folder.name}-*.sock"):
            left.unlink()
        # Of this process alone: one of before that ends late removes only its own.
        return private / f"{folder.name}-{os.getpid()}.sock"

    async def create_shard(
        self, shard: ShardKey, spec: CollectionSpec, names: dict[str, str]
    ) -> None:
        """Raises InvalidState unless the catalog has it recorded on this store, and Unavailable
        when it can't be asked.
        """
        follower = await self._followed()
        if not follower.copy.is_wanted(shard):
            await follower.catch_up()

        def check() -> None:
            # Once more while nobody else is at the folder. A deletion that was carried out while
            # this waited is known to the copy by now, and files made after it would stay for ever.
            if not follower.copy.is_wanted(shard):
                raise follower.copy.refusal(shard, _MAKING)

        await self._run(self._threads, lambda: self._open()[1].create(shard, spec, names, check))

    async def drop_shard(self, shard: ShardKey) -> None:
        """Raises InvalidState unless the catalog has a deletion of it recorded, and Unavailable
        when it can't be asked. Goes on when the caller gives up; who asks again waits for the same
        deletion.
        """
        follower = await self._followed()
        if not follower.copy.is_deleting(shard):
            copy = await follower.catch_up()
            if not copy.is_deleting(shard):
                raise copy.refusal(shard, _DELETING)
        deletion = self._deletions.get(shard)
        if deletion is None:
            # Not the writers' threads: a deletion may take long, and what others write must not
            # wait for it.
            deletion = asyncio.ensure_future(
                self._run(self._deleters, lambda: self._open()[1].drop(shard))
            )
            self._deletions[shard] = deletion
            deletion.add_done_callback(lambda _: self._deletions.pop(shard))
        await asyncio.shield(deletion)

    async def status(self, shard: ShardKey) -> ShardStatus:
        return await self._run(self._threads, lambda: self._open()[1].status(shard))

    async def stop(self) -> None:
        """Close all replicas, so that the next start has nothing to replay, and free the store."""
        await asyncio.to_thread(self._server.close)
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await asyncio.to_thread(self._close)

    async def _followed(self) -> Follower[StoreCopy]:
        """What the store needs of the catalog, followed since it was first asked for."""
        store, _ = await self._run(self._threads, self._open)
        if self._follower is None:
            empty = functools.partial(StoreCopy, store.store_id, store.cluster_id)
            self._follower = Follower(self._catalog, empty)
            self._following = asyncio.create_task(self._follower.follow())
        return self._follower

    def _open(self) -> tuple[Store, Replicas]:
        """The store, opened by the first call: an error then reaches the caller, where one in the
        constructor would kill the actor without a word.
        """
        if self._opened is not None:
            return self._opened
        with self._opening:
            if self._opened is None:
                fs = OsFileSystem(Path(self._options.folder))
                shard = self._options.shard
                store = open_store(fs, self._options.cluster_id, shard.lock_wait_s)
                policy = shard_policy(shard, self._options.cores)
                host = host_policy(shard, self._options.memory_bytes)
                self._opened = store, Replicas(fs, policy, host)
            return self._opened

    def _close(self) -> None:
        with self._opening:
            if self._opened is not None:
                store, replicas = self._opened
                replicas.close()
                store.close()

    async def _run(
        self, pool: ThreadPoolExecutor, work: Callable[..., Answer], *arguments: object
    ) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)


def shard_policy(settings: ShardSettings, cores: int) -> ShardPolicy:
    """`build_threads` of 0 means: half of the cores, so that searches keep the other half."""
    return ShardPolicy(
        seal_rows=settings.seal_rows,
        seal_bytes=settings.seal_bytes,
        seal_idle_s=settings.seal_idle_s,
        index_min_rows=settings.index_min_rows,
        merge_factor=settings.merge_factor,
        settle_s=settings.settle_s,
        max_segment_rows=settings.max_segment_rows,
        unindexed_slow_rows=settings.unindexed_slow_rows,
        unindexed_max_rows=settings.unindexed_max_rows,
        build_threads=settings.build_threads or max(1, cores // 2),
        disk_reserve_bytes=settings.disk_reserve_bytes,
        lock_wait_s=settings.lock_wait_s,
        wal_retention_bytes=settings.wal_retention_bytes,
    )


def host_policy(settings: ShardSettings, memory_bytes: int) -> HostPolicy:
    """A `memory_budget_bytes` of 0 means: half of `memory_bytes`, the host's share."""
    return HostPolicy(
        memory_budget_bytes=settings.memory_budget_bytes or memory_bytes // 2,
        max_open_replicas=settings.max_open_replicas,
        close_idle_s=settings.close_idle_s,
        mask_cache_bytes=settings.mask_cache_bytes,
    )
