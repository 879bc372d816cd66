"""Making and opening a replica's folder.

Opening reads the live manifest, maps the segments it names, marks their dead rows, and replays the
log from the checkpoint on. Replaying a record again changes nothing, so a crash in the middle of
opening is harmless. Files that no manifest names are what an interrupted change left behind, and
are removed.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.errors import Corrupt, NotFound
from akidb_ray.index.hnsw import HnswGraph
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.shard.live import LiveSegment, LiveShard
from akidb_ray.shard.maintenance import GRAPH, INDEXES, SEGMENTS
from akidb_ray.shard.operations import decode_operation
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.replica import TOMBSTONES, Replica
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import (
    CURRENT,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from akidb_ray.storage.wal import DIRECTORY as WAL
from akidb_ray.storage.wal import Wal, WalReader

LOCK = PurePosixPath("LOCK")
_log = logging.getLogger(__name__)


def create_replica(
    fs: FileSystem, spec: CollectionSpec, names: dict[str, str], epoch: int = 1
) -> None:
    """Make an empty replica in `fs`, durably, or find it made.

    `names` say which tenant, database and collection it belongs to, for a person or a recovery.
    """
    fs.create_directory(PurePosixPath())
    if not _is_there(fs):
        collection: dict[str, Any] = {**names, "spec": asdict(spec)}
        write_manifest(fs, Manifest(generation=1, epoch=epoch, collection=collection))
    fs.sync_directory(PurePosixPath())


def open_replica(
    fs: FileSystem,
    policy: ShardPolicy,
    clock: Callable[[], float] = time.time,
    on_frozen: Callable[[], None] = lambda: None,
) -> Replica:
    """Open a replica for reading and writing; it holds everything that was ever acknowledged.

    Raises NotFound when there is none, Unavailable while another process holds it, Corrupt.
    """
    if not _is_there(fs):
        raise NotFound("replica", getattr(fs, "root", ""))
    lock = fs.lock(LOCK, policy.lock_wait_s)
    try:
        # A killed process may have swapped the manifest and not made that durable.
        fs.sync_directory(PurePosixPath())
        manifest = read_manifest(fs)
        spec = manifest.collection["spec"]
        live = LiveShard(spec["dimension"], Metric(spec["metric"]))
        live.sealed = [_open_segment(fs, entry, live) for entry in manifest.segments]
        reader = WalReader(fs, manifest.checkpoint, manifest.wal_end or 0)
        for record in reader.records():
            live.apply(decode_operation(record), record.sequence)
            if len(live.growing.live) >= policy.seal_rows:
                live.freeze(record.sequence)
        known_end = max(manifest.checkpoint, manifest.wal_end or 0)
        wal = Wal(fs, reader.last_sequence, manifest.epoch, known_end)
        _remove_rubbish(fs, manifest)
        return Replica(fs, policy, manifest, live, wal, lock, clock, on_frozen)
    except BaseException:
        lock.release()
        raise


def _is_there(fs: FileSystem) -> bool:
    """Whether `fs` holds a replica. Raises Corrupt when it holds documents that nothing names."""
    if fs.exists(CURRENT):
        return True
    if fs.list(WAL) or fs.list(SEGMENTS):
        raise Corrupt(str(CURRENT), "is missing, and documents are there")
    return False


def _open_segment(fs: FileSystem, entry: SegmentEntry, shard: LiveShard) -> LiveSegment:
    segment = SealedSegment.open(fs, SEGMENTS / entry.segment, entry.checksum)
    alive = np.ones(entry.rows, np.bool_)
    if entry.tombstones is not None:
        alive[_read_tombstones(fs, entry)] = False
    live = LiveSegment(segment, alive)
    live.entry = entry
    if entry.graph is not None:
        live.graph = _load_graph(fs, entry, shard)
        if live.graph is None:
            live.entry = replace(entry, graph=None, graph_checksum=0)
    return live


def _read_tombstones(fs: FileSystem, entry: SegmentEntry) -> Any:
    path = TOMBSTONES / str(entry.tombstones)
    raw = fs.read(path) if fs.exists(path) else b""
    if crc32c(raw) != entry.tombstones_checksum:
        raise Corrupt(str(path), "is missing or its checksum does not fit")
    return np.frombuffer(raw, np.uint32)


def _load_graph(fs: FileSystem, entry: SegmentEntry, shard: LiveShard) -> HnswGraph | None:
    """The graph, or None when its file is damaged: it can be built again from the vectors."""
    path = INDEXES / str(entry.graph) / GRAPH
    if not fs.exists(path) or crc32c(fs.map(path)) != entry.graph_checksum:
        _log.warning("%s is damaged and will be built again", path)
        return None
    try:
        return HnswGraph.load(shard.metric, shard.dimension, fs.library_path(path))
    except Corrupt:
        _log.exception("%s cannot be loaded and will be built again", path)
        return None


def _remove_rubbish(fs: FileSystem, manifest: Manifest) -> None:
    kept: dict[PurePosixPath, set[str | None]] = {
        SEGMENTS: {entry.segment for entry in manifest.segments},
        INDEXES: {entry.graph for entry in manifest.segments},
        TOMBSTONES: {entry.tombstones for entry in manifest.segments},
    }
    for folder, names in kept.items():
        for name in fs.list(folder):
            if name not in names:
                _log.info("removing %s of an interrupted change", folder / name)
                if folder is TOMBSTONES:
                    fs.remove(folder / name)
                else:
                    fs.remove_tree(folder / name)
    for name in fs.list(WAL):
        if not name.endswith(".wal"):
            fs.remove(WAL / name)
