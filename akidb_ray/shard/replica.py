"""A replica of a shard: the one place that orders, logs and applies its writes.

How a write goes: writers queue up; the one that gets the commit lock takes the whole queue,
resolves and logs each write, makes all of them durable with one fsync, applies them, and publishes
one new view. So writers that arrive while an fsync runs share the next one, a reader never sees
what is not durable, and nothing is acknowledged before it is on disk.

After a failed fsync or checkpoint the replica refuses writes until it is opened again from disk.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from akidb_ray.domain.collection import IndexKind, Metric
from akidb_ray.domain.document import check_vectors
from akidb_ray.domain.errors import AkiDBError, Internal, StorageFailed
from akidb_ray.domain.query import ShardDelete, ShardStatus, ShardUpsert, ShardWrite, WriteOutcome
from akidb_ray.segment.rows import rows_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.shard.admission import check_room, check_visible
from akidb_ray.shard.live import LiveSegment, LiveShard
from akidb_ray.shard.operations import DeleteIds, Operation, UpsertRows, encode_operation
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.view import View
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileLock, FileSystem
from akidb_ray.storage.manifest import Manifest, SegmentEntry, write_manifest
from akidb_ray.storage.wal import RecordKind, Retention, Wal

TOMBSTONES = PurePosixPath("tombstones")
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Pending:
    """A write on its way through the commit."""

    write: ShardWrite
    encoded: tuple[Operation, RecordKind, bytes] | None
    outcome: WriteOutcome | None = None
    error: BaseException | None = None
    sequence: int = 0

    @property
    def done(self) -> bool:
        return self.outcome is not None or self.error is not None

    def result(self) -> WriteOutcome:
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


@dataclass(eq=False)
class Replica:
    """Made by `recovery.open_replica`; all methods may be called from any thread."""

    fs: FileSystem
    policy: ShardPolicy
    manifest: Manifest
    live: LiveShard
    wal: Wal
    lock: FileLock
    clock: Callable[[], float] = time.time
    on_frozen: Callable[[], None] = lambda: None
    failed: bool = False
    _queue: list[_Pending] = field(default_factory=list)
    _queue_lock: threading.Lock = field(default_factory=threading.Lock)
    commit_lock: threading.RLock = field(default_factory=threading.RLock)
    maintenance_lock: threading.Lock = field(default_factory=threading.Lock)
    _last_write_at: float = 0.0

    def __post_init__(self) -> None:
        self._last_write_at = self.clock()
        self._view = self.live.view(self.wal.last_sequence)

    @property
    def dimension(self) -> int:
        return self.live.dimension

    @property
    def metric(self) -> Metric:
        return self.live.metric

    def view(self) -> View:
        """The newest snapshot: every acknowledged write, nothing that is not durable."""
        return self._view

    def write(self, write: ShardWrite) -> WriteOutcome:
        """Carry out a write; when this returns it is on disk and in `view`.

        Raises InvalidArgument, Forbidden, TooLarge, StorageFull (nothing of it was kept), and
        StorageFailed (it may be kept or not; the replica must be opened again).
        """
        pending = _Pending(write, self._encode_early(write))
        with self._queue_lock:
            self._queue.append(pending)
        with self.commit_lock:
            if not pending.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        return pending.result()

    def _encode_early(self, write: ShardWrite) -> tuple[Operation, RecordKind, bytes] | None:
        """Encode outside the lock what does not depend on what is stored."""
        operation: Operation
        if isinstance(write, ShardUpsert):
            check_vectors(write.documents.vectors, self.dimension, self.metric)
            operation = UpsertRows(rows_of(write.documents, self.metric))
        elif write.ids is not None and not write.visible.visible.must:
            operation = DeleteIds(list(dict.fromkeys(write.ids)))
        else:
            return None
        return operation, *encode_operation(operation)

    def _commit(self, batch: Sequence[_Pending]) -> None:
        try:
            self._log_and_apply(batch)
        finally:
            for pending in batch:
                if not pending.done:
                    # Only a signal to this thread comes here; the log may hold what `live` lacks.
                    self.failed = True
                    pending.error = StorageFailed("the write was interrupted")

    def _log_and_apply(self, batch: Sequence[_Pending]) -> None:
        logged: list[tuple[_Pending, Operation]] = []
        for pending in batch:
            try:
                if pending.encoded is None or pending.write.visible.visible.must:
                    # This one depends on what is stored, so what came before must be applied first.
                    self._sync_and_apply(logged)
                    logged = []
                operation, kind, body = pending.encoded or self._resolve(pending.write)
                self._check_usable()
                if isinstance(pending.write, ShardUpsert):
                    check_visible(pending.write, self._view)
                    check_room(self.fs, self.policy)
                pending.sequence = self.wal.append(kind, [body])
                logged.append((pending, operation))
            except Exception as error:
                pending.error = _ours(error)
                self.failed = self.failed or isinstance(error, StorageFailed)
        self._sync_and_apply(logged)

    def _check_usable(self) -> None:
        if self.failed:
            raise StorageFailed("this shard had a disk error and is being opened again")

    def _resolve(self, write: ShardWrite) -> tuple[Operation, RecordKind, bytes]:
        """Turn a delete by filter into the ids that it means now."""
        assert isinstance(write, ShardDelete)
        if write.ids is None:
            ids = list(self._view.matching_ids(write.filter, write.visible))
        else:
            wanted = list(dict.fromkeys(write.ids))
            ids = [found.id for found in self._view.get(wanted, write.visible, False)]
        operation = DeleteIds(ids)
        return operation, *encode_operation(operation)

    def _sync_and_apply(self, logged: Sequence[tuple[_Pending, Operation]]) -> None:
        if not logged:
            return
        try:
            self.wal.sync()
            for pending, operation in logged:
                affected = self.live.apply(operation, pending.sequence)
                pending.outcome = WriteOutcome(pending.sequence, affected)
            self.publish()
        except Exception as error:
            self.failed = True
            for pending, _ in logged:
                pending.outcome, pending.error = None, _ours(error)
            return
        self._last_write_at = self.clock()
        self.freeze_if_full()

    def publish(self) -> None:
        self._view = self.live.view(self.wal.last_sequence)

    def freeze_if_full(self) -> None:
        """Under the commit lock: freeze the growing segment when it has reached its limits."""
        rows = len(self.live.growing.live)
        full = rows >= self.policy.seal_rows or self.live.growing_bytes >= self.policy.seal_bytes
        if full:
            self.freeze()

    def freeze_if_idle(self) -> None:
        """Freeze a growing segment that is worth a graph and has not changed for a while."""
        with self.commit_lock:
            live_rows = int(np.count_nonzero(self.live.growing.live))
            idle_s = self.clock() - self._last_write_at
            if live_rows >= self.policy.index_min_rows and idle_s >= self.policy.seal_idle_s:
                self.freeze()

    def freeze(self) -> None:
        """Let the growing segment take no more rows; maintenance writes it to disk."""
        with self.commit_lock:
            if self.failed or not len(self.live.growing.live):
                return
            try:
                self.wal.rotate()
            except AkiDBError:
                # The writes that filled the segment are durable: theirs is no error.
                self.failed = True
                _log.exception("the log of %s cannot go on", self.manifest.collection)
                return
            self.live.freeze(self.wal.last_sequence)
            self.publish()
        self.on_frozen()

    def checkpoint(self, sealed: list[LiveSegment], sequence: int) -> None:
        """Under the commit lock: make `sealed` the segments on disk, holding all up to `sequence`.

        Tombstones are written first, then the manifest is swapped, then old files of the log may
        go. Raises StorageFailed when the replica was closed meanwhile: the folder may be another's.
        """
        if self.failed:
            raise StorageFailed("this replica was closed, or had a disk error")
        try:
            for live in sealed:
                if live.dirty:
                    self._write_tombstones(live)
            entries = tuple(_entry(live) for live in sealed)
            manifest = self.manifest.next(checkpoint=sequence, segments=entries, wal_end=None)
            write_manifest(self.fs, manifest)
        except BaseException:
            self.failed = True
            raise
        former, self.manifest = self.manifest, manifest
        retention = Retention(self._retention_s(), self.policy.wal_retention_bytes)
        try:
            self._remove_tombstones_of(former)
            self.wal.drop_through(sequence, retention, self.clock())
        except AkiDBError:
            # The swap is done; what stays is in nobody's way.
            _log.exception("old files of %s stay", self.manifest.collection)

    def _retention_s(self) -> float:
        return float(self.manifest.collection["spec"]["wal_retention_seconds"])

    def _write_tombstones(self, live: LiveSegment) -> None:
        entry = _entry(live)
        path = TOMBSTONES / f"{entry.segment}-{self.wal.last_sequence:012d}"
        dead = np.flatnonzero(~live.live).astype(np.uint32).tobytes()
        self.fs.create_directory(TOMBSTONES)
        self.fs.write(path, [dead])
        self.fs.sync_directory(TOMBSTONES)
        live.entry = SegmentEntry(
            entry.segment, entry.rows, entry.checksum, entry.graph, entry.graph_checksum,
            path.name, crc32c(dead),
        )  # fmt: skip
        live.dirty = False

    def _remove_tombstones_of(self, former: Manifest) -> None:
        kept = {entry.tombstones for entry in self.manifest.segments}
        for entry in former.segments:
            if entry.tombstones is not None and entry.tombstones not in kept:
                self.fs.remove(TOMBSTONES / entry.tombstones)

    def status(self) -> ShardStatus:
        view = self._view
        flat = self.manifest.collection["spec"]["index_kind"] == IndexKind.FLAT
        indexed = sum(v.live_count for v in view.segments if flat or v.graph is not None)
        return ShardStatus(
            sequence=view.sequence,
            documents=view.documents,
            unindexed=view.documents - indexed,
            segments=len(view.segments),
            wal_bytes=self.wal.size_bytes,
            indexing=not flat and self._has_maintenance(),
        )

    def _has_maintenance(self) -> bool:
        enough = self.policy.index_min_rows
        growing = int(np.count_nonzero(self.live.growing.live))
        waiting = any(s.graph is None and len(s.live) >= enough for s in self.live.sealed)
        return waiting or growing >= enough or bool(self.live.frozen)

    def close(self) -> None:
        """Finish what is queued, note the end of the log, and let go of the folder."""
        with self.commit_lock:
            try:
                if not self.failed:
                    self.wal.sync()
                    end = self.manifest.next(wal_end=self.wal.last_sequence)
                    write_manifest(self.fs, end)
            finally:
                self.failed = True
                try:
                    self.wal.close()
                finally:
                    self.lock.release()


def _entry(live: LiveSegment) -> SegmentEntry:
    assert isinstance(live.segment, SealedSegment)
    assert live.entry is not None
    return live.entry


def _ours(error: Exception) -> AkiDBError:
    """Writers get errors of our tree only; anything else is a defect, and keeps its cause."""
    if isinstance(error, AkiDBError):
        return error
    ours = Internal(f"{type(error).__name__} while writing: {error}")
    ours.__cause__ = error
    return ours
