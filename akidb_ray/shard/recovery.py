"""Making and opening a replica's folder.

Opening reads the live manifest, maps the segments it names, marks their dead rows, and replays the
log from the checkpoint on. Replaying a record again changes nothing, so a crash in the middle of
opening is harmless. Files that neither the manifest nor the log names are what an interrupted
change left behind, and are removed.
"""

import logging
from dataclasses import asdict, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from akidb_ray.domain.collection import (
    CollectionSpec,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
)
from akidb_ray.domain.document import Vectors
from akidb_ray.domain.errors import Corrupt, NotFound
from akidb_ray.index.graph_files import load_graph, memory_to_load
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.mask_cache import MaskCache
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.shard.checkpoint import (
    INDEXES,
    KEYS,
    SEGMENTS,
    TOMBSTONES,
    Checkpoints,
    entry_of,
    files_named,
)
from akidb_ray.shard.idempotency import Answers
from akidb_ray.shard.live import LiveSegment, LiveShard
from akidb_ray.shard.operations import decode_group
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import (
    CURRENT,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from akidb_ray.storage.wal import Retention, Wal
from akidb_ray.storage.wal_format import DIRECTORY as WAL
from akidb_ray.storage.wal_reader import WalReader, read_file_header, wal_files

LOCK = PurePosixPath("LOCK")
_log = logging.getLogger(__name__)


def create_replica(
    fs: FileSystem, spec: CollectionSpec, names: dict[str, str], epoch: int = 1
) -> None:
    """Make an empty replica in `fs`, durably, or find it made.

    `names` say which tenant, database and collection it belongs to, for a person or a recovery.
    """
    fs.create_directory(PurePosixPath())
    if _is_there(fs):
        # A killed process may have made it and not made that durable.
        fs.sync_directory(PurePosixPath())
        return
    collection: dict[str, Any] = {**names, "spec": asdict(spec)}
    manifest = Manifest(generation=1, epoch=epoch, collection=collection, wal_end=0)
    write_manifest(fs, manifest)


def open_replica(
    fs: FileSystem, policy: ShardPolicy, around: Surroundings | None = None
) -> Replica:
    """Open a replica for reading and writing; it holds everything that was ever acknowledged.

    Raises NotFound when there is none, Unavailable while another process holds it, Corrupt.
    """
    if not _is_there(fs):
        raise NotFound("replica", getattr(fs, "root", ""))
    around = around or Surroundings()
    lock = fs.lock(LOCK, policy.lock_wait_s)
    try:
        return _open_locked(fs, policy, around, read_manifest(fs), lock)
    except BaseException:
        lock.release()
        raise


def _open_locked(
    fs: FileSystem, policy: ShardPolicy, around: Surroundings, manifest: Manifest, lock: Any
) -> Replica:
    spec = spec_of(manifest)
    answers = Answers(policy.idempotency_s, policy.max_idempotency_keys)
    _load_keys(fs, manifest, answers)

    def open_segment(entry: SegmentEntry) -> LiveSegment:
        return _open_segment(fs, entry, around.masks)

    live = LiveShard(spec, open_segment, manifest.checkpoint)
    live.sealed = [open_segment(entry) for entry in manifest.segments]
    reader = WalReader(fs, manifest.checkpoint, manifest.wal_end or 0)
    replay(reader, live, answers, policy)
    known_end = max(manifest.checkpoint, manifest.wal_end or 0)
    wal = Wal(fs, reader.last_sequence, manifest.epoch, known_end, around.clock)
    _remove_rubbish(fs, manifest, live)
    retention = Retention(float(spec.wal_retention_seconds), policy.wal_retention_bytes)
    checkpoints = Checkpoints(fs, manifest, retention)
    return Replica(fs, policy, checkpoints, spec, live, wal, answers, lock, around)


def replay(reader: WalReader, live: LiveShard, answers: Answers, policy: ShardPolicy) -> None:
    """Apply every write of the log above the checkpoint. Raises Corrupt."""
    for group in reader.groups():
        operations, answer = decode_group(group)
        for operation in operations:
            live.apply(operation, group.sequence, group.written_at)
        if answer is not None:
            answers.keep(answer, group.sequence, group.written_at)
        if len(live.growing.live) >= policy.seal_rows:
            live.freeze()


def spec_of(manifest: Manifest) -> CollectionSpec:
    """The settings of the collection. Raises Corrupt."""
    raw = dict(manifest.collection.get("spec", {}))
    try:
        raw["metric"] = Metric(raw["metric"])
        raw["index_kind"] = IndexKind(raw["index_kind"])
        # A replica of before these settings has neither: its graphs are those of hnswlib.
        raw["hnsw_engine"] = HnswEngine(raw.get("hnsw_engine", HnswEngine.HNSWLIB))
        raw["language"] = Language(raw.get("language", Language.ENGLISH))
        return CollectionSpec(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(str(CURRENT), f"its collection's settings make no sense: {error}") from error


def memory_to_open(fs: FileSystem) -> int:
    """About how many bytes of memory an opened replica takes: its graphs, and what is replayed."""
    if not _is_there(fs):
        return 0
    manifest = read_manifest(fs)
    graphs = [INDEXES / entry.graph for entry in manifest.segments if entry.graph]
    loaded = sum(memory_to_load(fs, folder) for folder in graphs)
    return loaded + 2 * _replayed_bytes(fs, manifest)


def _replayed_bytes(fs: FileSystem, manifest: Manifest) -> int:
    """The size of the log's files that hold more than what the segments hold already."""
    logs = wal_files(fs)
    # Each opening that writes starts a file: this one is the last of one that was closed in order.
    if logs and logs[-1][0] <= (manifest.wal_end or 0) <= manifest.checkpoint:
        return 0
    size_bytes = 0
    for _, path in reversed(logs):
        size_bytes += fs.size_bytes(path)
        if read_file_header(fs, path).previous <= manifest.checkpoint:
            break
    return size_bytes


def _is_there(fs: FileSystem) -> bool:
    """Whether `fs` holds a replica. Raises Corrupt when it holds documents that nothing names."""
    if fs.exists(CURRENT):
        return True
    if fs.list(WAL) or fs.list(SEGMENTS):
        raise Corrupt(str(CURRENT), "is missing, and documents are there")
    return False


def _load_keys(fs: FileSystem, manifest: Manifest, answers: Answers) -> None:
    if manifest.keys is not None:
        path = KEYS / manifest.keys
        answers.load(read_checked(fs, path, manifest.keys_checksum), str(path))


def read_checked(fs: FileSystem, path: PurePosixPath, checksum: int) -> bytes:
    """Raises Corrupt."""
    raw = fs.read(path) if fs.exists(path) else b""
    if crc32c(raw) != checksum:
        raise Corrupt(str(path), "is missing or its checksum does not fit")
    return raw


def _open_segment(fs: FileSystem, entry: SegmentEntry, masks: MaskCache | None) -> LiveSegment:
    path = SEGMENTS / entry.segment
    segment = SealedSegment.open(fs, path, entry.checksum, entry.attached_at, masks)
    live = LiveSegment.sealed(segment, entry)
    if entry.tombstones is not None:
        path = TOMBSTONES / entry.tombstones
        raw = read_checked(fs, path, entry.tombstones_checksum)
        live.live[np.frombuffer(raw, np.uint32)] = False
    if entry.graph is not None:
        live.graph = _load_graph(fs, entry, segment.vectors)
        if live.graph is None:
            live.entry = replace(entry, graph=None, graph_checksum=0)
    return live


def _load_graph(fs: FileSystem, entry: SegmentEntry, vectors: Vectors) -> VectorIndex | None:
    """The graph, or None when its files are damaged: it is built again from the vectors."""
    path = INDEXES / str(entry.graph)
    try:
        return load_graph(fs, path, entry.graph_checksum, vectors)
    except Corrupt:
        _log.exception("%s is damaged and will be built again", path)
        return None


def _remove_rubbish(fs: FileSystem, manifest: Manifest, live: LiveShard) -> None:
    entries = tuple(entry_of(segment) for segment in live.sealed)
    kept = files_named(manifest) | files_named(replace(manifest, segments=entries))
    folders = (SEGMENTS, INDEXES, TOMBSTONES, KEYS)
    found = [folder / name for folder in folders for name in fs.list(folder)]
    rubbish = [path for path in found if path not in kept]
    if rubbish:
        # A killed process may have swapped the manifest and not made that durable. Until it is,
        # the former one needs its files.
        fs.sync_directory(PurePosixPath())
    for path in rubbish:
        _log.info("removing %s of an interrupted change", path)
        if path.parent in (SEGMENTS, INDEXES):
            fs.remove_tree(path)
        else:
            fs.remove(path)
    for name in fs.list(WAL):
        if name.endswith(".scratch"):
            fs.remove(WAL / name)
