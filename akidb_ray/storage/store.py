"""A store: a data folder with an identity of its own, which outlives processes and Ray's node
ids.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

import orjson

from akidb_ray.domain.errors import Corrupt, InvalidArgument, InvalidState
from akidb_ray.domain.ids import ClusterId, StoreId
from akidb_ray.storage.filesystem import FileLock, FileSystem

_IDENTITY = PurePosixPath("store.json")
_LOCK = PurePosixPath("LOCK")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Store:
    """An opened data folder. The lock is held while it is open."""

    store_id: StoreId
    cluster_id: ClusterId
    fs: FileSystem
    lock: FileLock

    def close(self) -> None:
        self.lock.release()


def open_store(fs: FileSystem, cluster_id: ClusterId, lock_wait_s: float) -> Store:
    """Lock the folder and read its identity; an empty folder gets one.

    After a crash the former holder may live on for some seconds, so this waits for the lock.
    Raises Unavailable when it stays locked, InvalidState when it belongs to another cluster,
    Corrupt.
    """
    fs.create_directory(PurePosixPath())
    lock = fs.lock(_LOCK, lock_wait_s)
    try:
        if not fs.exists(_IDENTITY):
            identity = {
                "format": _FORMAT,
                "store_id": str(StoreId.new()),
                "cluster_id": str(cluster_id),
            }
            fs.replace(_IDENTITY, orjson.dumps(identity))
        store_id, owner = read_identity(fs)
        if owner != cluster_id:
            raise InvalidState("store", f"part of cluster {owner}", f"use in cluster {cluster_id}")
        return Store(store_id, cluster_id, fs, lock)
    except BaseException:
        lock.release()
        raise


def read_identity(fs: FileSystem) -> tuple[StoreId, ClusterId]:
    """Of a store that may be in use. Raises NotFound for a folder that is no store, Corrupt."""
    try:
        identity = orjson.loads(fs.read(_IDENTITY))
        if identity["format"] != _FORMAT:
            raise Corrupt(str(_IDENTITY), f"format {identity['format']} is not known here")
        return StoreId.parse(identity["store_id"]), ClusterId.parse(identity["cluster_id"])
    except (ValueError, KeyError, TypeError, InvalidArgument):
        raise Corrupt(str(_IDENTITY), "is not a store's identity") from None
