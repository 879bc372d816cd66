"""What a host does behind the requests, for all its replicas.

One thread seals, closes what is cold, and makes room when memory is short; another merges and
builds graphs, so that a long build keeps nothing from being sealed. What fails for one replica is
left alone for a while, and harms no other.
"""

import logging
import threading
import time
from collections.abc import Callable

from akidb_ray.domain.errors import Exhausted
from akidb_ray.domain.placement import ShardKey
from akidb_ray.shard.host_memory import HostMemory, return_freed_memory
from akidb_ray.shard.merging import improve
from akidb_ray.shard.open_replicas import OpenReplica, OpenReplicas
from akidb_ray.shard.policy import HostPolicy
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush

_POLL_S = 0.5
# Growing segments are sealed for want of memory when they hold more than this share of the budget:
# sealing what is small would free little, and leave many small segments.
_SEAL_SHARE = 0.05
_log = logging.getLogger(__name__)


class HostMaintenance:
    """Runs from `start` to `stop`."""

    def __init__(self, replicas: OpenReplicas, memory: HostMemory, host: HostPolicy) -> None:
        self._replicas = replicas
        self._memory = memory
        self._host = host
        self.stopping = False
        self._closed_seen = 0
        self._wake = {name: threading.Event() for name in ("flush", "improve")}
        self._threads = [
            threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
            for name, work in (("flush", self._flush_all), ("improve", self._improve_all))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the piece of work under way; a build gives up."""
        self.stopping = True
        for event in self._wake.values():
            event.set()
        for thread in self._threads:
            thread.join()

    def wake(self) -> None:
        """There is something to seal, or memory is short."""
        self._wake["flush"].set()

    def _run(self, name: str, work: Callable[[], bool]) -> None:
        wake = self._wake[name]
        while not self.stopping:
            wake.clear()
            try:
                busy = work()
            except Exception:
                # The thread must live on, whatever it met.
                _log.exception("%s failed", name)
                busy = False
            if not busy and not self.stopping:
                wake.wait(_POLL_S)

    def _flush_all(self) -> bool:
        busy = self._each("flush", flush)
        if busy:
            self._wake["improve"].set()
        self._replicas.close_beyond(self._host.max_open_replicas)
        while not self.stopping and self._replicas.close_coldest(self._host.close_idle_s):
            pass
        self._relieve()
        if self._closed_seen != self._replicas.closed_count:
            self._closed_seen = self._replicas.closed_count
            return_freed_memory()
        return busy

    def _improve_all(self) -> bool:
        return self._each("improve", improve)

    def _each(self, name: str, work: Callable[[Replica], bool]) -> bool:
        busy = False
        for shard in self._replicas.shards():
            if self.stopping:
                return False
            opened = self._replicas.pin_for_work(shard, name)
            if opened is not None:
                try:
                    busy = self._one(name, work, shard, opened) or busy
                finally:
                    self._replicas.unpin(opened, used=False)
        return busy

    def _one(
        self, name: str, work: Callable[[Replica], bool], shard: ShardKey, opened: OpenReplica
    ) -> bool:
        try:
            busy = work(opened.replica)
        except Exception as error:
            # The replica has marked itself as failed where its state may differ from the disk; the
            # next request opens it again.
            if isinstance(error, Exhausted):
                _log.warning("%s of shard %s waits: %s", name, shard.path, error.detail)
            else:
                _log.exception("%s of shard %s failed", name, shard.path)
            opened.retry_at[name] = time.monotonic() + self._host.back_off_s
            return False
        if busy:
            self._replicas.measure(shard, opened)
        return busy

    def _relieve(self) -> None:
        """When memory is short, close what is cool, and freeze the largest growing segment."""
        while self._memory.tight and self._replicas.close_coldest(self._host.cool_s):
            pass
        if self._memory.tight:
            self._freeze_largest()

    def _freeze_largest(self) -> None:
        replicas = self._replicas.replicas()
        sizes_bytes = [replica.live.growing_segment.size_bytes for replica in replicas]
        if sum(sizes_bytes) > _SEAL_SHARE * self._memory.budget_bytes:
            replicas[sizes_bytes.index(max(sizes_bytes))].freeze()
