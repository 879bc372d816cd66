"""A replica of a shard: the one place that orders, logs and applies its writes.

How a write goes: writers queue up; the one that gets the commit lock takes the whole queue; each
write is resolved against all before it, logged and applied; one fsync makes all of them durable,
and then one new view is published. So writers that arrive while an fsync runs share the next one, a
reader never sees what is not durable, and nothing is acknowledged before it is on disk. Writes that
ask for no more than `buffered` wait for no fsync and are seen at once; maintenance syncs them soon.

After a failed fsync or checkpoint the replica refuses writes until it is opened again from disk:
then memory may be ahead of the disk, and nobody knows by how much.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from akidb_ray.domain.collection import CollectionSpec, IndexKind, Metric
from akidb_ray.domain.errors import AkiDBError, Internal, StorageFailed, StorageFull, Unavailable
from akidb_ray.domain.write import Durability, ShardWrite, WriteOutcome
from akidb_ray.index.building import GraphBuilder, ThreadGraphBuilder
from akidb_ray.segment.mask_cache import MaskCache
from akidb_ray.shard.checkpoint import Checkpoints
from akidb_ray.shard.idempotency import Answers, Request
from akidb_ray.shard.live import LiveSegment, LiveShard
from akidb_ray.shard.operations import DeleteIds, Operation, UpsertRows, encode_operation
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.pressure import check_room, write_delay_s
from akidb_ray.shard.resolving import Prepared, Resolved, prepare, resolve
from akidb_ray.shard.view import View
from akidb_ray.storage.filesystem import FileLock, FileSystem
from akidb_ray.storage.manifest import Manifest
from akidb_ray.storage.wal import Wal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a replica needs from outside. `clock` gives seconds since 1970.

    `admit` raises Exhausted when so many bytes more do not fit the host's memory, and `reserve`
    holds room for a while; `on_work` is called when there is something to seal; `builder` builds
    graphs, until `stopping`; `masks` keeps what filters found in sealed segments.
    """

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    admit: Callable[[int], None] = lambda size_bytes: None
    reserve: Callable[[int], AbstractContextManager[None]] = lambda size_bytes: nullcontext()
    on_work: Callable[[], None] = lambda: None
    builder: GraphBuilder = field(default_factory=ThreadGraphBuilder)
    stopping: Callable[[], bool] = lambda: False
    masks: MaskCache | None = None


@dataclass(eq=False)
class _Pending:
    """A write on its way through the commit."""

    prepared: Prepared
    check: Callable[[], None]
    outcome: WriteOutcome | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.outcome is not None or self.error is not None

    @property
    def needs_sync(self) -> bool:
        options = self.prepared.write.options
        return self.outcome is not None and options.durability is Durability.FSYNC

    def result(self) -> WriteOutcome:
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


@dataclass(eq=False)
class Replica:
    """Made by `recovery.open_replica`; all methods may be called from any thread.

    `commit_lock` guards everything that a write or a swap of segments changes. `flush_lock` and
    `merge_lock` are held by the one thread that seals and the one that merges or builds.
    """

    fs: FileSystem
    policy: ShardPolicy
    checkpoints: Checkpoints
    spec: CollectionSpec
    live: LiveShard
    wal: Wal
    answers: Answers
    lock: FileLock
    around: Surroundings = field(default_factory=Surroundings)
    failed: bool = False
    commit_lock: threading.RLock = field(default_factory=threading.RLock)
    flush_lock: threading.Lock = field(default_factory=threading.Lock)
    merge_lock: threading.Lock = field(default_factory=threading.Lock)
    last_write_at: float = 0.0
    _queue: list[_Pending] = field(default_factory=list)
    _queue_lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.last_write_at = self.around.clock()
        self._view = self.live.view(self.wal.last_sequence, self.last_write_at)

    @property
    def dimension(self) -> int:
        return self.spec.dimension

    @property
    def metric(self) -> Metric:
        return self.spec.metric

    @property
    def has_graphs(self) -> bool:
        return self.spec.index_kind is not IndexKind.FLAT

    @property
    def manifest(self) -> Manifest:
        return self.checkpoints.manifest

    def view(self, min_version: int = 0) -> View:
        """The newest snapshot, at the present time: every acknowledged write is in it.

        Raises Unavailable when the shard has not got to `min_version`.
        """
        view = self._view
        if view.sequence < min_version:
            raise Unavailable(
                f"this shard is at version {view.sequence}, {min_version} was asked",
                version=view.sequence,
            )
        return view.at(self.around.clock())

    def write(self, write: ShardWrite, check: Callable[[], None] = lambda: None) -> WriteOutcome:
        """Carry out a write. When this returns it is in `view`, and on disk if it asked for that.

        `check` is called when all that it may have to wait for is over; nothing is kept of a write
        for which it raises one of our errors.

        Raises InvalidArgument, Forbidden, PreconditionFailed, TooLarge, Exhausted, StorageFull
        (nothing of it was kept), and StorageFailed (it may be kept or not; the replica must be
        opened again).
        """
        prepared = prepare(write, self.dimension, self.metric)
        if prepared.size_bytes:
            self._slow_down()
            self.around.admit(prepared.size_bytes)
        pending = _Pending(prepared, check)
        with self._queue_lock:
            self._queue.append(pending)
        with self.commit_lock:
            if not pending.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        return pending.result()

    def _slow_down(self) -> None:
        delay_s = write_delay_s(self.unindexed_rows, self.policy)
        if delay_s:
            self.around.sleep(delay_s)

    @property
    def unindexed_rows(self) -> int:
        """Live rows that wait for a graph; none do in a collection that has no graphs."""
        return self._view.unindexed_rows if self.has_graphs else 0

    def _commit(self, batch: Sequence[_Pending]) -> None:
        try:
            now = self._write_time()
            for pending in batch:
                self._log_and_apply(pending, now)
            self._make_visible(batch, now)
        finally:
            for pending in batch:
                if not pending.done:
                    # Only a signal to this thread comes here; the log may hold what `live` lacks.
                    self.failed = True
                    pending.error = StorageFailed("the write was interrupted")

    def _write_time(self) -> float:
        """The present time, as the log keeps it: in whole microseconds."""
        return round(self.around.clock(), 6)

    def _log_and_apply(self, pending: _Pending, now: float) -> None:
        prepared = pending.prepared
        try:
            self.check_usable()
            pending.check()
            if prepared.request is not None:
                pending.outcome = self.answers.find(prepared.request, now)
                if pending.outcome is not None:
                    return
            resolved = self._resolve(prepared, now)
            pending.outcome = self._log(resolved, prepared.request, now)
        except Exception as error:
            pending.error = _ours(error)
            self.failed = self.failed or isinstance(error, StorageFailed)

    def _resolve(self, prepared: Prepared, now: float) -> Resolved:
        if prepared.resolved is not None:
            resolved = prepared.resolved
        else:
            resolved = resolve(prepared, self.live.view(self.wal.last_sequence, now))
            if prepared.rows is None and resolved.size_bytes:
                self.around.admit(resolved.size_bytes)
        if isinstance(resolved.operation, UpsertRows):
            check_room(self.fs, self.policy)
        return resolved

    def _log(self, resolved: Resolved, request: Request | None, now: float) -> WriteOutcome:
        if resolved.affected == 0 and request is None:
            return WriteOutcome(self.wal.last_sequence, 0, resolved.skipped)
        answer = None
        if request is not None:
            assert resolved.affected is not None
            answer = request.answer(resolved.affected, resolved.skipped)
        sequence = self.wal.append(
            resolved.encoded.kind, resolved.encoded.bodies(answer), written_at=now
        )
        try:
            affected = self.live.apply(resolved.operation, sequence, now)
        except Exception:
            # Memory is not what the log says any more.
            self.failed = True
            raise
        if answer is not None:
            self.answers.keep(answer, sequence, now)
        skipped = resolved.skipped
        if resolved.affected is not None:
            affected = resolved.affected
        elif isinstance(resolved.operation, DeleteIds):
            skipped = len(resolved.operation.ids) - affected
        return WriteOutcome(sequence, affected, skipped)

    def commit_now(self, operation: Operation) -> WriteOutcome:
        """Log and apply an operation that was resolved already, and checkpoint past it soon."""
        encoded = encode_operation(operation)
        with self.commit_lock:
            self.check_usable()
            try:
                outcome = self._log(Resolved(operation, encoded, None), None, self._write_time())
                self.wal.sync()
            except StorageFull:
                raise
            except BaseException:
                self.failed = True
                raise
            self.publish()
            self.freeze()
            return outcome

    def check_usable(self) -> None:
        """Raise StorageFailed when the replica was closed or its memory may differ from disk."""
        if self.failed:
            raise StorageFailed("this shard was closed or had a disk error; it is opened again")

    def _make_visible(self, batch: Sequence[_Pending], now: float) -> None:
        """Sync what has to be, show it to readers, and seal when it is time."""
        try:
            if self.failed:
                raise StorageFailed("a write beside this one failed; the shard is opened again")
            if any(pending.needs_sync for pending in batch):
                self.wal.sync()
            self.publish()
        except Exception as error:
            self.failed = True
            for pending in batch:
                if pending.error is None:
                    pending.outcome, pending.error = None, _ours(error)
            return
        self.last_write_at = now
        growing = self.live.growing_segment
        if len(growing) >= self.policy.seal_rows or growing.size_bytes >= self.policy.seal_bytes:
            self.freeze()

    def publish(self) -> None:
        """Under the commit lock: show readers what is there now."""
        self._view = self.live.view(self.wal.last_sequence, self.around.clock())

    def sync(self) -> None:
        """Make buffered writes durable."""
        with self.commit_lock:
            self.check_usable()
            try:
                self.wal.sync()
            except BaseException:
                self.failed = True
                raise

    def freeze(self) -> None:
        """Let the growing segment take no more rows; maintenance writes it to disk."""
        with self.commit_lock:
            if self.failed:
                return
            try:
                self.wal.rotate()
            except AkiDBError:
                # The writes that filled the segment are durable: theirs is no error.
                self.failed = True
                _log.exception("the log of %s cannot go on", self.manifest.collection)
                return
            self.live.freeze()
            self.publish()
        self.around.on_work()

    def checkpoint(self, sealed: Sequence[LiveSegment], sequence: int) -> None:
        """Under the commit lock: make `sealed` the segments, on disk and for readers.

        Raises StorageFull (nothing changed), StorageFailed (the replica must be opened again).
        """
        self.check_usable()
        now = self.around.clock()
        try:
            self.checkpoints.swap(sealed, sequence, self.wal, self.answers, now)
        except StorageFull:
            raise
        except BaseException:
            self.failed = True
            raise
        self.live.sealed = list(sealed)
        self.publish()

    @property
    def memory_bytes(self) -> int:
        """What the replica holds in memory apart from mapped files."""
        return self.live.memory_bytes + self.answers.size_bytes

    def close(self) -> None:
        """Finish what is queued, note the end of the log, and let go of the folder."""
        with self.commit_lock:
            try:
                if not self.failed:
                    self.wal.sync()
                    self.checkpoints.note_end(self.live.applied_to)
            finally:
                self.failed = True
                try:
                    self.wal.close()
                finally:
                    self.lock.release()


def _ours(error: Exception) -> AkiDBError:
    """Writers get errors of our tree only; anything else is a defect, and keeps its cause."""
    if isinstance(error, AkiDBError):
        return error
    ours = Internal(f"{type(error).__name__} while writing: {error}")
    ours.__cause__ = error
    return ours
