"""All replicas of one store: opened on first use, maintained behind the writes, closed when cold.

A replica that is in use is pinned: it is closed only when nobody is inside a call, so that a
thousand collections may take turns in the memory of a few hundred. One thread seals, and closes
what is cold; another merges and builds graphs, so that a long build keeps nothing from being
sealed.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.errors import AkiDBError, Corrupt, NotFound, Unavailable
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import Hit, ShardCount, ShardGet, ShardSearch, ShardStatus
from akidb_ray.domain.write import ShardWrite, WriteOutcome
from akidb_ray.index.building import GraphBuilder, ThreadGraphBuilder
from akidb_ray.shard.attaching import SegmentFiles, attach
from akidb_ray.shard.host_memory import HostMemory, return_freed_memory
from akidb_ray.shard.merging import improve
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.recovery import create_replica, memory_to_open, open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.shard.sealing import flush
from akidb_ray.shard.status import status_of
from akidb_ray.storage.filesystem import FileSystem

TENANTS = PurePosixPath("tenants")
_POLL_S = 0.5
# After a failure, maintenance leaves a replica alone, and a damaged one is not verified again.
_BACK_OFF_S = 5.0
# Under memory pressure replicas are closed that nobody used for so long.
_COOL_S = 2.0
_LOCKS = 64
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Opened:
    """A replica, how many calls are inside, and when it was used last (seconds, monotonic)."""

    replica: Replica
    in_use: int = 0
    used_at: float = 0.0
    retry_at: float = 0.0


class Replicas:
    """Finds and opens replicas. All methods may be called from any thread."""

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
        self._open: dict[ShardKey, _Opened] = {}
        self._damaged: dict[ShardKey, tuple[Corrupt, float]] = {}
        self._lock = threading.Lock()
        self._shard_locks = [threading.Lock() for _ in range(_LOCKS)]
        self._closing = False
        self._freed = False
        self._wake = {name: threading.Event() for name in ("flush", "improve")}
        self._threads = [
            threading.Thread(target=self._work, args=(name, work), name=name, daemon=True)
            for name, work in (("flush", self._flush_all), ("improve", self._improve_all))
        ]
        for thread in self._threads:
            thread.start()

    def create(self, shard: ShardKey, spec: CollectionSpec, names: dict[str, str]) -> None:
        """Make the shard's folder, durably, or find it made."""
        with self._shard_lock(shard):
            create_replica(self._fs.subtree(TENANTS / shard.path), spec, names)

    def drop(self, shard: ShardKey) -> None:
        """Close the replica and delete its folder, or find it gone."""
        with self._shard_lock(shard):
            with self._lock:
                opened = self._open.pop(shard, None)
                self._damaged.pop(shard, None)
            if opened is not None:
                self._close(shard, opened.replica)
                with opened.replica.flush_lock, opened.replica.merge_lock:
                    pass  # until nothing writes into the folder any more
            self._fs.remove_tree(TENANTS / shard.path)

    def search(self, item: ShardSearch) -> list[Hit]:
        with self._using(item.shard) as replica:
            return replica.view(item.min_version).search(item.query, item.visible)

    def write(self, item: ShardWrite) -> WriteOutcome:
        with self._using(item.shard) as replica:
            try:
                return replica.write(item)
            finally:
                self._count(item.shard, replica)

    def attach(
        self, shard: ShardKey, source: FileSystem, segments: Sequence[SegmentFiles]
    ) -> WriteOutcome:
        with self._using(shard) as replica:
            try:
                return attach(replica, source, segments)
            finally:
                self._count(shard, replica)

    def get(self, item: ShardGet) -> list[StoredDocument]:
        with self._using(item.shard) as replica:
            view = replica.view(item.min_version)
            return view.get(item.ids, item.visible, item.with_vector)

    def count(self, item: ShardCount) -> int:
        with self._using(item.shard) as replica:
            return replica.view(item.min_version).count(item.filter, item.visible)

    def status(self, shard: ShardKey) -> ShardStatus:
        with self._using(shard) as replica:
            return status_of(replica)

    @property
    def open_count(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Finish what is under way and let go of all folders."""
        self._closing = True
        for event in self._wake.values():
            event.set()
        for thread in self._threads:
            thread.join()
        self._close_all()
        return_freed_memory()

    def _close_all(self) -> None:
        with contextlib.ExitStack() as stack:
            for lock in self._shard_locks:
                stack.enter_context(lock)  # one may be about to open
            for shard, opened in list(self._open.items()):
                self._close(shard, opened.replica)
            self._open.clear()

    def _close(self, shard: ShardKey, replica: Replica) -> None:
        self.memory.set(shard, 0)
        self._freed = True
        try:
            replica.close()
        except AkiDBError:
            # Everything acknowledged is in the log, and the lock is released.
            _log.exception("shard %s was not closed in order", shard.path)

    @contextlib.contextmanager
    def _using(self, shard: ShardKey) -> Iterator[Replica]:
        opened = self._pinned(shard)
        if opened is None:
            with self._shard_lock(shard):
                opened = self._pinned(shard) or self._reopen(shard)
        try:
            yield opened.replica
        finally:
            self._unpin(opened)

    def _pinned(self, shard: ShardKey) -> _Opened | None:
        with self._lock:
            opened = self._open.get(shard)
            if opened is None or opened.replica.failed:
                return None
            opened.in_use += 1
            opened.used_at = time.monotonic()
            return opened

    def _reopen(self, shard: ShardKey) -> _Opened:
        """Under the shard's lock: open the replica, pinned."""
        if self._closing:
            raise Unavailable("this shard host is stopping")
        self._check_not_damaged(shard)
        with self._lock:
            failed = self._open.pop(shard, None)
        if failed is not None:
            _log.warning("opening shard %s again after a disk error", shard.path)
            self._close(shard, failed.replica)
        path = TENANTS / shard.path
        if not self._fs.exists(path):
            raise NotFound("shard", shard.path)
        self._make_room(memory_to_open(self._fs.subtree(path)))
        try:
            replica = open_replica(self._fs.subtree(path), self._policy, self._surroundings())
        except Corrupt as error:
            self._damaged[shard] = error, time.monotonic() + _BACK_OFF_S
            raise
        opened = _Opened(replica, in_use=1, used_at=time.monotonic())
        with self._lock:
            self._open[shard] = opened
        self._count(shard, replica)
        return opened

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            clock=self._clock,
            admit=self._admit,
            reserve=self.memory.reserved,
            on_work=self._wake["flush"].set,
            builder=self._builder,
            stopping=lambda: self._closing,
        )

    def _check_not_damaged(self, shard: ShardKey) -> None:
        error, until = self._damaged.get(shard, (None, 0.0))
        if error is not None:
            if time.monotonic() < until:
                raise Corrupt(**error.fields)
            del self._damaged[shard]

    def _admit(self, size_bytes: int) -> None:
        if self.memory.tight:
            self._wake["flush"].set()
        self.memory.admit(size_bytes)

    def _make_room(self, size_bytes: int) -> None:
        """Close replicas that are cold until another one fits. Raises Exhausted."""
        while len(self._open) >= self._host.max_open_replicas and self._close_coldest(0.0):
            pass
        while (
            self.memory.used_bytes + size_bytes > self.memory.budget_bytes
            and self._close_coldest(_COOL_S)
        ):
            pass
        self.memory.admit(size_bytes)

    def _close_coldest(self, idle_s: float) -> bool:
        """Close the replica used longest ago, when nobody used it for so long."""
        latest = time.monotonic() - idle_s
        with self._lock:
            idle = [
                (opened.used_at, shard)
                for shard, opened in self._open.items()
                if opened.in_use == 0 and opened.used_at <= latest
            ]
            if not idle:
                return False
            _, shard = min(idle)
            opened = self._open.pop(shard)
        self._close(shard, opened.replica)
        return True

    def _count(self, shard: ShardKey, replica: Replica) -> None:
        if not replica.failed:
            self.memory.set(shard, replica.memory_bytes)

    def _shard_lock(self, shard: ShardKey) -> threading.Lock:
        return self._shard_locks[hash(shard) % _LOCKS]

    def _work(self, name: str, work: Callable[[], bool]) -> None:
        wake = self._wake[name]
        while not self._closing:
            wake.clear()
            if not work():
                wake.wait(_POLL_S)

    def _flush_all(self) -> bool:
        busy = self._each(flush)
        if busy:
            self._wake["improve"].set()
        while self._close_coldest(self._host.close_idle_s):
            pass
        if self.memory.tight:
            self._relieve()
        if self._freed:
            self._freed = False
            return_freed_memory()
        return busy

    def _improve_all(self) -> bool:
        return self._each(improve)

    def _each(self, work: Callable[[Replica], bool]) -> bool:
        busy = False
        with self._lock:
            # Their keys only: what is closed meanwhile must not be held in memory.
            shards = list(self._open)
        for shard in shards:
            if self._closing:
                return False
            opened = self._pin(shard)
            if opened is not None:
                try:
                    busy = self._one(work, shard, opened) or busy
                finally:
                    self._unpin(opened)
        return busy

    def _pin(self, shard: ShardKey) -> _Opened | None:
        """Keep a replica open for maintenance, which does not count as use."""
        with self._lock:
            opened = self._open.get(shard)
            if opened is None or time.monotonic() < opened.retry_at:
                return None
            opened.in_use += 1
            return opened

    def _unpin(self, opened: _Opened) -> None:
        with self._lock:
            opened.in_use -= 1

    def _one(self, work: Callable[[Replica], bool], shard: ShardKey, opened: _Opened) -> bool:
        try:
            busy = work(opened.replica)
        except Exception:
            # The replica has marked itself as failed where its state may differ from the disk; the
            # next request opens it again. Other shards must not suffer.
            _log.exception("maintenance of shard %s failed", shard.path)
            opened.retry_at = time.monotonic() + _BACK_OFF_S
            return False
        if busy:
            self._count(shard, opened.replica)
        return busy

    def _relieve(self) -> None:
        """Memory is tight: close what is cool, and seal the largest growing segment."""
        while self.memory.tight and self._close_coldest(_COOL_S):
            pass
        with self._lock:
            replicas = [opened.replica for opened in self._open.values()]
        growing = [(replica.live.growing_segment.size_bytes, replica) for replica in replicas]
        if self.memory.tight and growing:
            size_bytes, replica = max(growing, key=lambda pair: pair[0])
            if size_bytes > self.memory.budget_bytes // 100:
                replica.freeze()
