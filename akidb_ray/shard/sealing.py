"""Sealing: writing frozen rows to disk as a segment, and moving the checkpoint past them."""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np

from akidb_ray.domain.errors import AkiDBError, StorageFull
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.segment_writer import Source, write_segment
from akidb_ray.shard.checkpoint import INDEXES, SEGMENTS, entry_of
from akidb_ray.shard.live import LiveSegment
from akidb_ray.shard.plan import GrowingStats, should_freeze
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import SegmentEntry


def flush(replica: Replica) -> bool:
    """Sync buffered writes when it is time, and seal what is frozen or should be.

    Returns whether there may be more to do.
    """
    with replica.flush_lock:
        if replica.failed:
            return False
        since, now = replica.wal.unsynced_since, replica.around.clock()
        if since is not None and now - since >= replica.policy.buffered_sync_s:
            replica.sync()
        with replica.commit_lock:
            if not replica.live.frozen and should_freeze(growing_stats(replica), replica.policy):
                replica.freeze()
        if not replica.live.frozen:
            return False
        seal_oldest(replica)
        return True


def growing_stats(replica: Replica) -> GrowingStats:
    growing, wal = replica.live.growing, replica.wal
    written = replica.live.applied_to > replica.manifest.checkpoint
    return GrowingStats(
        rows=len(growing.live),
        alive=int(np.count_nonzero(growing.live)),
        size_bytes=replica.live.growing_segment.size_bytes,
        idle_s=replica.around.clock() - replica.last_write_at,
        wal_bytes=wal.size_bytes - replica.checkpoints.wal_bytes_kept if written else 0,
        wal_files=wal.files_count - replica.checkpoints.wal_files_kept if written else 0,
    )


def seal_oldest(replica: Replica) -> None:
    """Write the oldest frozen segment to disk, without its dead rows, and put it in the other's
    place.

    Rows that die while the files are written are marked dead in the new segment at the swap.
    """
    with replica.commit_lock:
        frozen = replica.live.frozen[0]
        rows = np.flatnonzero(frozen.view().alive(replica.around.clock()))
    sealed = None
    if len(rows):
        sealed = write_live_segment(replica, [Source(frozen.segment, rows)])
    with replica.commit_lock:
        if sealed is not None:
            now = replica.around.clock()
            sealed.kill(np.flatnonzero(~frozen.live[rows]).tolist(), now)
        assert frozen.frozen_at is not None
        replica.live.frozen.remove(frozen)
        added = [sealed] if sealed is not None else []
        try:
            with removed_when_full(replica.fs, added):
                replica.checkpoint([*replica.live.sealed, *added], frozen.frozen_at)
        except BaseException:
            replica.live.frozen.insert(0, frozen)
            raise


def write_live_segment(replica: Replica, sources: Sequence[Source]) -> LiveSegment:
    """Write rows as a new sealed segment that no manifest names yet, and open it."""
    name = str(uuid.uuid4())
    path = SEGMENTS / name
    with whole_or_removed(replica.fs, path):
        checksum = write_segment(
            replica.fs, path, sources, replica.dimension, replica.spec.language
        )
        segment = SealedSegment.open(replica.fs, path, checksum, masks=replica.around.masks)
    return LiveSegment.sealed(segment, SegmentEntry(name, len(segment), checksum))


@contextlib.contextmanager
def removed_when_full(fs: FileSystem, written: Sequence[LiveSegment]) -> Iterator[None]:
    """Around a checkpoint with new segments: one that does not fit leaves the former manifest the
    live one, so nothing names their files.
    """
    try:
        yield
    except StorageFull:
        with contextlib.suppress(AkiDBError):
            for live in written:
                entry = entry_of(live)
                fs.remove_tree(SEGMENTS / entry.segment)
                if entry.graph is not None:
                    fs.remove_tree(INDEXES / entry.graph)
        raise


@contextlib.contextmanager
def whole_or_removed(fs: FileSystem, folder: PurePosixPath) -> Iterator[None]:
    """What is tried again and again on a full disk must not fill it with its remains."""
    try:
        yield
    except Exception:
        with contextlib.suppress(AkiDBError):
            fs.remove_tree(folder)
        raise
