"""All replicas of one store: opened on first use, maintained by one thread, closed together."""

import logging
import threading
from pathlib import PurePosixPath

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.errors import AkiDBError, NotFound, Unavailable
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import (
    Hit,
    ShardCount,
    ShardGet,
    ShardSearch,
    ShardStatus,
    ShardWrite,
    WriteOutcome,
)
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.filesystem import FileSystem

TENANTS = PurePosixPath("tenants")
_MAINTENANCE_POLL_S = 0.5
_log = logging.getLogger(__name__)


class Replicas:
    """Finds and opens replicas. All methods may be called from any thread."""

    def __init__(self, fs: FileSystem, policy: ShardPolicy) -> None:
        self._fs = fs
        self._policy = policy
        self._open: dict[ShardKey, Replica] = {}
        self._opening: dict[ShardKey, threading.Lock] = {}
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._closing = False
        self._maintenance = threading.Thread(target=self._maintain, name="maintenance", daemon=True)
        self._maintenance.start()

    def create(self, shard: ShardKey, spec: CollectionSpec, names: dict[str, str]) -> None:
        """Make the shard's folder, durably, or find it made."""
        with self._shard_lock(shard):
            create_replica(self._fs.subtree(TENANTS / shard.path), spec, names)

    def drop(self, shard: ShardKey) -> None:
        """Close the replica and delete its folder, or find it gone."""
        with self._shard_lock(shard):
            replica = self._open.pop(shard, None)
            if replica is not None:
                self._close(shard, replica)
                with replica.maintenance_lock:
                    pass  # until nothing writes into the folder any more
            self._fs.remove_tree(TENANTS / shard.path)

    def search(self, item: ShardSearch) -> list[Hit]:
        return self._replica(item.shard).view().search(item.query, item.visible)

    def write(self, item: ShardWrite) -> WriteOutcome:
        return self._replica(item.shard).write(item)

    def get(self, item: ShardGet) -> list[StoredDocument]:
        view = self._replica(item.shard).view()
        return view.get(item.ids, item.visible, item.with_vector)

    def count(self, item: ShardCount) -> int:
        return self._replica(item.shard).view().count(item.filter, item.visible)

    def status(self, shard: ShardKey) -> ShardStatus:
        return self._replica(shard).status()

    def close(self) -> None:
        """Finish what is under way and let go of all folders."""
        self._closing = True
        self._work.set()
        self._maintenance.join()
        # Of every shard that was ever asked for: one may be about to open.
        for shard in list(self._opening):
            with self._shard_lock(shard):
                replica = self._open.pop(shard, None)
                if replica is not None:
                    self._close(shard, replica)

    def _close(self, shard: ShardKey, replica: Replica) -> None:
        try:
            replica.close()
        except AkiDBError:
            # Everything acknowledged is in the log, and the lock is released.
            _log.exception("shard %s was not closed in order", shard.path)

    def _replica(self, shard: ShardKey) -> Replica:
        replica = self._open.get(shard)
        if replica is None or replica.failed:
            with self._shard_lock(shard):
                replica = self._open.get(shard)
                if replica is None or replica.failed:
                    replica = self._reopen(shard, replica)
        return replica

    def _reopen(self, shard: ShardKey, failed: Replica | None) -> Replica:
        if self._closing:
            raise Unavailable("this shard host is stopping")
        if failed is not None:
            _log.warning("opening shard %s again after a disk error", shard.path)
            del self._open[shard]
            self._close(shard, failed)
        path = TENANTS / shard.path
        if not self._fs.exists(path):
            raise NotFound("shard", shard.path)
        replica = open_replica(self._fs.subtree(path), self._policy, on_frozen=self._work.set)
        self._open[shard] = replica
        return replica

    def _shard_lock(self, shard: ShardKey) -> threading.Lock:
        with self._lock:
            return self._opening.setdefault(shard, threading.Lock())

    def _maintain(self) -> None:
        while not self._closing:
            self._work.clear()
            busy = False
            for shard, replica in list(self._open.items()):
                busy = self._maintain_one(shard, replica) or busy
            if not busy:
                self._work.wait(_MAINTENANCE_POLL_S)

    def _maintain_one(self, shard: ShardKey, replica: Replica) -> bool:
        try:
            return not self._closing and maintain(replica)
        except Exception:
            # The replica has marked itself as failed where its state may differ from the disk; the
            # next request opens it again. Other shards must not suffer.
            _log.exception("maintenance of shard %s failed", shard.path)
            return False
