"""Checkpoints: making the segments on disk hold every write up to a sequence.

The order matters. First the log is synced, since tombstones and answers may speak of writes that
were only buffered. Then come the files that the new manifest names, then the swap. Only after it
may old files go: the log's, and those that nothing names any more. Views keep mapped files alive
after their removal, so nobody waits for readers.
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from akidb_ray.domain.errors import AkiDBError, StorageFull
from akidb_ray.shard.idempotency import Answers
from akidb_ray.shard.live import LiveSegment
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import Manifest, SegmentEntry, write_manifest
from akidb_ray.storage.wal import Retention, Wal

SEGMENTS = PurePosixPath("segments")
INDEXES = PurePosixPath("indexes")
TOMBSTONES = PurePosixPath("tombstones")
KEYS = PurePosixPath("keys")
_log = logging.getLogger(__name__)


class Checkpoints:
    """The live manifest of a replica, and how it is swapped. Used under the commit lock."""

    def __init__(self, fs: FileSystem, manifest: Manifest, retention: Retention) -> None:
        self._fs = fs
        self._retention = retention
        self.manifest = manifest
        # What the log held when the last checkpoint let go of it.
        self.wal_bytes_kept = 0
        self.wal_files_kept = 0

    def swap(
        self,
        sealed: Sequence[LiveSegment],
        sequence: int,
        wal: Wal,
        answers: Answers,
        now: float,
    ) -> None:
        """Make `sealed` the segments on disk, holding all writes up to `sequence`.

        Raises StorageFull (the former manifest is the live one still), StorageFailed (nobody knows
        which is).
        """
        wal.sync()
        try:
            manifest = self._next(sealed, sequence, answers, now)
            write_manifest(self._fs, manifest)
        except StorageFull:
            self._remove_unnamed()
            raise
        for live, entry in zip(sealed, manifest.segments, strict=True):
            live.entry, live.dirty = entry, False
        answers.dirty = False
        former, self.manifest = self.manifest, manifest
        try:
            self._remove_replaced(former)
            wal.drop_through(sequence, self._retention, now)
        except AkiDBError:
            # The swap is done; what stays is in nobody's way, and goes at the next opening.
            _log.exception("old files of %s stay", manifest.collection)
        if sequence > former.checkpoint:
            self.wal_bytes_kept, self.wal_files_kept = wal.size_bytes, wal.files_count

    def note_end(self, sequence: int) -> None:
        """Note where the log ends at a clean close, unless that is noted already."""
        if self.manifest.wal_end != sequence:
            self.manifest = self.manifest.next(wal_end=sequence)
            write_manifest(self._fs, self.manifest)

    def _next(
        self, sealed: Sequence[LiveSegment], sequence: int, answers: Answers, now: float
    ) -> Manifest:
        """The manifest that is to come. The tombstones and keys that it names are written."""
        entries = tuple(self._with_tombstones(live) for live in sealed)
        manifest = self.manifest.next(checkpoint=sequence, segments=entries, wal_end=None)
        return self._write_keys(manifest, answers, now) if answers.dirty else manifest

    def _with_tombstones(self, live: LiveSegment) -> SegmentEntry:
        entry = entry_of(live)
        if not live.dirty:
            return entry
        # Named for the manifest that is to come: no live manifest names a file of this name.
        path = TOMBSTONES / f"{entry.segment}-{self.manifest.generation + 1:012d}"
        dead = np.flatnonzero(~live.live).astype(np.uint32).tobytes()
        self._write(path, dead)
        return replace(entry, tombstones=path.name, tombstones_checksum=crc32c(dead))

    def _write_keys(self, manifest: Manifest, answers: Answers, now: float) -> Manifest:
        raw = answers.encode(now)
        if not raw:
            return replace(manifest, keys=None, keys_checksum=0)
        path = KEYS / f"{manifest.generation:06d}"
        self._write(path, raw)
        return replace(manifest, keys=path.name, keys_checksum=crc32c(raw))

    def _write(self, path: PurePosixPath, content: bytes) -> None:
        self._fs.create_directory(path.parent)
        self._fs.write(path, [content])
        self._fs.sync_directory(path.parent)

    def _remove_unnamed(self) -> None:
        """What was written for a manifest that the disk has no room for."""
        named = files_named(self.manifest)
        with contextlib.suppress(AkiDBError):
            for folder in (TOMBSTONES, KEYS):
                for path in (folder / name for name in self._fs.list(folder)):
                    if path not in named:
                        self._fs.remove(path)

    def _remove_replaced(self, former: Manifest) -> None:
        named = files_named(self.manifest)
        for path in files_named(former) - named:
            if path.parent in (SEGMENTS, INDEXES):
                self._fs.remove_tree(path)
            else:
                self._fs.remove(path)


def files_named(manifest: Manifest) -> set[PurePosixPath]:
    """Files and folders that the manifest says are live, apart from the log."""
    paths = {KEYS / manifest.keys} if manifest.keys else set()
    for entry in manifest.segments:
        paths.add(SEGMENTS / entry.segment)
        if entry.graph:
            paths.add(INDEXES / entry.graph)
        if entry.tombstones:
            paths.add(TOMBSTONES / entry.tombstones)
    return paths


def entry_of(live: LiveSegment) -> SegmentEntry:
    """What the manifest says of a sealed segment."""
    assert live.entry is not None
    return live.entry
