"""All replicas of one store: opened on first use, closed when cold, so that a thousand collections
may take turns in the memory of a few hundred.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.errors import Corrupt, NotFound
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import (
    Hit,
    ShardCount,
    ShardGet,
    ShardHits,
    ShardRead,
    ShardSearch,
    ShardStatus,
    VectorQuery,
)
from akidb_ray.domain.write import ShardWrite, WriteOutcome
from akidb_ray.index.building import GraphBuilder, ThreadGraphBuilder
from akidb_ray.index.graph_files import memory_to_load
from akidb_ray.segment.mask_cache import MaskCache
from akidb_ray.shard.attaching import SegmentFiles, attach
from akidb_ray.shard.dropping import deletion_interrupted, remove_replica
from akidb_ray.shard.host_maintenance import HostMaintenance
from akidb_ray.shard.host_memory import HostMemory, return_freed_memory
from akidb_ray.shard.open_replicas import OpenReplica, OpenReplicas
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.reading import answer
from akidb_ray.shard.recovery import create_replica, memory_to_open, open_replica
from akidb_ray.shard.replica import Surroundings
from akidb_ray.shard.status import status_of
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import CURRENT

TENANTS = PurePosixPath("tenants")
Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)


class Replicas:
    """Finds and opens replicas. All methods may be called from any thread.

    Those that name a shard raise NotFound when it is not here, Unavailable when the host stops,
    Exhausted when there is no memory to open it, and Corrupt.
    """

    def __init__(
        self,
        fs: FileSystem,
        policy: ShardPolicy,
        host: HostPolicy | None = None,
        clock: Callable[[], float] = time.time,
        builder: GraphBuilder | None = None,
    ) -> None:
        self._fs = fs
        self._policy = policy
        self._host = host or HostPolicy()
        self._clock = clock
        self._builder = builder or ThreadGraphBuilder()
        self.memory = HostMemory(self._host.memory_budget_bytes)
        self.masks = MaskCache(self._host.mask_cache_bytes)
        self._table = OpenReplicas(self.memory)
        self._damaged: dict[ShardKey, tuple[Corrupt, float]] = {}
        self._maintenance = HostMaintenance(self._table, self.memory, self._host)
        self._maintenance.start()

    def create(
        self,
        shard: ShardKey,
        spec: CollectionSpec,
        names: dict[str, str],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the shard's folder, durably, or find it made.

        `check` is called when nobody else is making or dropping it; what it raises leaves all as it
        was. Raises Corrupt over what is left of an interrupted drop: documents were there.
        """
        with self._table.alone(shard):
            check()
            fs = self._folder(shard)
            if deletion_interrupted(fs):
                raise Corrupt(str(CURRENT), "is missing: the shard's deletion was interrupted")
            create_replica(fs, spec, names)

    def drop(self, shard: ShardKey) -> None:
        """Close the replica and delete its folder, or find it gone. Who asks for it meanwhile is
        told that it is not here.
        """
        with self._table.removing(shard):
            closed = self._table.close(shard)
            if closed is not None:
                # Some may be writing files into the folder still.
                self._table.wait_until_left(closed)
            self._damaged.pop(shard, None)
            remove_replica(self._folder(shard))
            for parent in (shard.path.parent, shard.path.parent.parent):
                self._fs.remove_empty_directory(TENANTS / parent)

    def read(self, item: ShardRead[Answer]) -> Answer:
        """What the item asks for, of the newest snapshot. Raises what is wrong with it, and
        Unavailable when the shard has not got to its `min_version`.
        """
        with self._using(item.shard) as opened:
            return answer(opened.replica.view(item.min_version), item)

    def search(self, item: ShardSearch) -> list[Hit]:
        return self.read(item).hits

    def search_many(self, items: Sequence[ShardSearch], threads: int) -> list[ShardHits]:
        """The answer to each of these searches for vectors, by so many threads. They are for the
        same shard and principal, and none is to be explained.
        """
        first = items[0]
        with self._using(first.shard) as opened:
            view = opened.replica.view(max(item.min_version for item in items))
            queries = [item.query for item in items if isinstance(item.query, VectorQuery)]
            found = view.search_many(queries, first.visible, threads)
        return [ShardHits(hits) for hits in found]

    def write(self, item: ShardWrite, check: Callable[[], None] = lambda: None) -> WriteOutcome:
        """As the replica's own."""
        with self._using(item.shard) as opened:
            try:
                return opened.replica.write(item, check)
            finally:
                self._table.measure(item.shard, opened)

    def attach(
        self, shard: ShardKey, source: FileSystem, segments: Sequence[SegmentFiles]
    ) -> WriteOutcome:
        """Raises Exhausted when the graphs do not fit the host's memory, and what `attach` does."""
        graphs = [files.graph for files in segments if files.graph is not None]
        with self._using(shard) as opened:
            try:
                loaded = sum(memory_to_load(source, folder) for folder in graphs)
                with self.memory.reserved(loaded):
                    return attach(opened.replica, source, segments)
            finally:
                self._table.measure(shard, opened)

    def get(self, item: ShardGet) -> list[StoredDocument]:
        return self.read(item)

    def count(self, item: ShardCount) -> int:
        return self.read(item)

    def status(self, shard: ShardKey) -> ShardStatus:
        with self._using(shard) as opened:
            return status_of(opened.replica)

    @property
    def open_count(self) -> int:
        return len(self._table)

    def close(self) -> None:
        """Finish what is under way and let go of all folders."""
        self._maintenance.stop()
        self._table.close_all()
        return_freed_memory()

    @contextlib.contextmanager
    def _using(self, shard: ShardKey) -> Iterator[OpenReplica]:
        opened = self._table.pin(shard)
        if opened is None:
            with self._table.alone(shard, unless_removed=True):
                opened = self._table.pin(shard) or self._open(shard)
        try:
            yield opened
        finally:
            self._table.unpin(opened)

    def _open(self, shard: ShardKey) -> OpenReplica:
        """Alone with the shard: open it, and step inside."""
        self._check_not_damaged(shard)
        if self._table.close(shard) is not None:
            _log.warning("opening shard %s again after a disk error", shard.path)
        fs = self._folder(shard)
        if not fs.exists(PurePosixPath()):
            raise NotFound("shard", shard.path)
        self._table.close_beyond(self._host.max_open_replicas)
        try:
            with self.memory.opening(memory_to_open(fs), self._close_cool):
                replica = open_replica(fs, self._policy, self._surroundings())
                return self._table.add(shard, replica)
        except Corrupt as error:
            self._damaged[shard] = error, time.monotonic() + self._host.back_off_s
            raise

    def _close_cool(self) -> bool:
        return self._table.close_coldest(self._host.cool_s)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            clock=self._clock,
            admit=self._admit,
            reserve=self.memory.reserved,
            on_work=self._maintenance.wake,
            builder=self._builder,
            stopping=lambda: self._maintenance.stopping,
            masks=self.masks,
        )

    def _admit(self, size_bytes: int) -> None:
        if self.memory.tight:
            self._maintenance.wake()
        self.memory.admit(size_bytes)

    def _check_not_damaged(self, shard: ShardKey) -> None:
        error, until = self._damaged.get(shard, (None, 0.0))
        if error is not None:
            if time.monotonic() < until:
                raise Corrupt(**error.fields)
            del self._damaged[shard]

    def _folder(self, shard: ShardKey) -> FileSystem:
        return self._fs.subtree(TENANTS / shard.path)
