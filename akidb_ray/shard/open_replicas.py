"""Which replicas of a host are open, who is inside each, and who works alone on a folder.

Rules kept here:

- A shard's folder is made, opened, closed or removed by one thread at a time: the one that is
  `alone` with it. Who wants it meanwhile waits for that thread, not for the lock on disk. Who
  wants to use one that is being removed does not wait, as that may take long: it is not there.
- A replica that somebody is inside (it is *pinned*) is closed only when it is dropped, when it has
  failed, or when the host stops.
- A thread that is alone with one shard never waits for another, so nobody waits in a circle: to
  make room it takes a shard that nobody is alone with, or none.
- The memory of a replica is in the ledger exactly while it is in this table, or being closed.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from akidb_ray.domain.errors import NotFound, Unavailable
from akidb_ray.domain.placement import ShardKey
from akidb_ray.shard.host_memory import HostMemory
from akidb_ray.shard.replica import Replica

# A close waits for the disk most of its time.
_CLOSING_THREADS = 8
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class OpenReplica:
    """A replica, how many threads are inside, when it was used last, and when maintenance that
    failed may try again, by the name of its work (seconds, monotonic).
    """

    replica: Replica
    in_use: int = 0
    used_at: float = 0.0
    retry_at: dict[str, float] = field(default_factory=dict)


class OpenReplicas:
    """A table of open replicas. All methods may be called from any thread."""

    def __init__(self, memory: HostMemory, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._clock = clock
        self._open: dict[ShardKey, OpenReplica] = {}
        self._alone: set[ShardKey] = set()
        self._removed: set[ShardKey] = set()
        self._stopped = False
        self.closed_count = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._open)

    def shards(self) -> list[ShardKey]:
        with self._changed:
            return list(self._open)

    def replicas(self) -> list[Replica]:
        """Not to be kept: one that is closed meanwhile would stay in memory."""
        with self._changed:
            return [opened.replica for opened in self._open.values()]

    @contextlib.contextmanager
    def alone(self, shard: ShardKey, *, unless_removed: bool = False) -> Iterator[None]:
        """Keep all others from making, opening, closing or removing this shard.

        Raises Unavailable when the host stops and, with `unless_removed`, NotFound while another
        one is removing it.
        """

        def settled() -> bool:
            refused = unless_removed and shard in self._removed
            return self._stopped or refused or shard not in self._alone

        with self._changed:
            self._changed.wait_for(settled)
            if self._stopped:
                raise Unavailable("this shard host is stopping")
            if shard in self._alone:
                raise NotFound("shard", shard.path)
            self._alone.add(shard)
        try:
            yield
        finally:
            self._leave(shard)

    @contextlib.contextmanager
    def removing(self, shard: ShardKey) -> Iterator[None]:
        """Be alone with the shard, and let nobody wait in order to use it. Raises Unavailable."""
        with self.alone(shard):
            with self._changed:
                self._removed.add(shard)
                self._changed.notify_all()
            try:
                yield
            finally:
                with self._changed:
                    self._removed.remove(shard)

    def _leave(self, shard: ShardKey) -> None:
        with self._changed:
            self._alone.remove(shard)
            self._changed.notify_all()

    def pin(self, shard: ShardKey) -> OpenReplica | None:
        """Step inside, unless it has to be opened first."""
        with self._changed:
            opened = self._open.get(shard)
            if opened is None or opened.replica.failed:
                return None
            return self._enter(opened)

    def pin_for_work(self, shard: ShardKey, work: str) -> OpenReplica | None:
        """Step inside for maintenance, unless this work failed just now."""
        with self._changed:
            opened = self._open.get(shard)
            if opened is None or self._clock() < opened.retry_at.get(work, 0.0):
                return None
            opened.in_use += 1
            return opened

    def unpin(self, opened: OpenReplica, *, used: bool = True) -> None:
        """Step out. Maintenance does not count as use."""
        with self._changed:
            opened.in_use -= 1
            if used:
                opened.used_at = self._clock()
            if not opened.in_use:
                self._changed.notify_all()

    def _enter(self, opened: OpenReplica) -> OpenReplica:
        opened.in_use += 1
        opened.used_at = self._clock()
        return opened

    def add(self, shard: ShardKey, replica: Replica) -> OpenReplica:
        """Alone with the shard: note that it is open now, and step inside."""
        with self._changed:
            opened = self._open[shard] = OpenReplica(replica)
            self._memory.set(shard, replica.memory_bytes)
            return self._enter(opened)

    def measure(self, shard: ShardKey, opened: OpenReplica) -> None:
        """Note how much memory it takes now, unless it was closed."""
        size_bytes = opened.replica.memory_bytes
        with self._changed:
            if self._open.get(shard) is opened:
                self._memory.set(shard, size_bytes)

    def close(self, shard: ShardKey) -> OpenReplica | None:
        """Alone with the shard: close its replica, if it is open. Who is inside fails, or reads on
        what it had.
        """
        with self._changed:
            opened = self._open.pop(shard, None)
        if opened is not None:
            self._finish(shard, opened)
        return opened

    def wait_until_left(self, opened: OpenReplica) -> None:
        """Until nobody is inside a replica that was closed."""
        with self._changed:
            self._changed.wait_for(lambda: not opened.in_use)

    def close_coldest(self, idle_s: float) -> bool:
        """Close the replica used longest ago, if there is one that nobody used for so long."""
        with self._changed:
            shard = self._coldest(self._clock() - idle_s)
            if shard is None:
                return False
            opened = self._open.pop(shard)
            self._alone.add(shard)
        try:
            self._finish(shard, opened)
        finally:
            self._leave(shard)
        return True

    def _coldest(self, used_before: float) -> ShardKey | None:
        idle = [
            (opened.used_at, shard)
            for shard, opened in self._open.items()
            if not opened.in_use and opened.used_at <= used_before and shard not in self._alone
        ]
        return min(idle)[1] if idle else None

    def close_beyond(self, limit: int) -> None:
        """Close those used longest ago until at most `limit` are open or about to be. There are
        more only while somebody is inside each.
        """
        while self._taken > limit and self.close_coldest(0.0):
            pass

    @property
    def _taken(self) -> int:
        with self._changed:
            return len(self._open.keys() | self._alone)

    def close_all(self) -> None:
        """Close all, once nobody is alone with one, and let nobody open any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._alone)
            left, self._open = self._open, {}
        with ThreadPoolExecutor(_CLOSING_THREADS) as pool:
            list(pool.map(self._finish, left.keys(), left.values()))

    def _finish(self, shard: ShardKey, opened: OpenReplica) -> None:
        try:
            opened.replica.close()
        except Exception:
            # Everything acknowledged is in the log, and the lock is released.
            _log.exception("shard %s was not closed in order", shard.path)
        finally:
            self._memory.set(shard, 0)
            self.closed_count += 1
