"""Removing a replica's files, so that what an interruption leaves is never taken for a replica.

`CURRENT` goes first, durably: without it nothing opens. `LOCK`, which every replica has that was
ever opened, goes last: so it tells what is left of a deletion from what there is of a creation,
which may be finished.
"""

from pathlib import PurePosixPath

from akidb_ray.shard.checkpoint import INDEXES, KEYS, SEGMENTS, TOMBSTONES
from akidb_ray.shard.recovery import LOCK
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import CURRENT
from akidb_ray.storage.wal_format import DIRECTORY as WAL

_HERE = PurePosixPath()
_FOLDERS = (WAL, SEGMENTS, INDEXES, TOMBSTONES, KEYS)


def remove_replica(fs: FileSystem) -> None:
    """Remove the folder that is the root of `fs`, durably, or find it gone. Nobody has it open."""
    if fs.exists(_HERE):
        fs.remove(CURRENT)
        # Also when it is gone: whoever removed it may have been killed before it was durable.
        fs.sync_directory(_HERE)
        for folder in _FOLDERS:
            fs.remove_tree(folder)
        for name in fs.list(_HERE):
            if name.startswith("manifest-"):
                fs.remove(PurePosixPath(name))
        fs.sync_directory(_HERE)
    fs.remove_tree(_HERE)


def deletion_interrupted(fs: FileSystem) -> bool:
    """Whether `fs` holds what is left of a replica whose removal did not come to its end."""
    return not fs.exists(CURRENT) and any(fs.exists(path) for path in (LOCK, *_FOLDERS))
