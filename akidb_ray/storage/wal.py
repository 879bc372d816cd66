"""A replica's write-ahead log: its writing end.

The log is files of records (`wal_format` says how they look), each named by the sequence of its
first record. Rules kept here:

- A write is a group of one or more records, appended by one call: it is kept whole or not at all,
  also by a full disk. Its sequence is that of its last record.
- Sequences rise by one from record to record. Only an opening leaps: positions may have been given
  to buffered writes that a power loss took away, and must never name other writes.
- Nothing is acknowledged as durable before `sync` returned after its `append`.
- A failed sync is never retried: after it nobody knows what the disk holds, so the log refuses
  everything, and the owner reopens it from disk (see "Can Applications Recover from fsync
  Failures?", USENIX ATC 2020).
- A file is started only when all before it was synced, and has its header from the beginning. An
  opening never goes on in an old file.

What a reader makes of a log that was damaged or torn is said in `wal_reader`.
"""

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from akidb_ray.domain.errors import StorageFailed, StorageFull, TooLarge
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import AppendFile, Bytes, FileSystem
from akidb_ray.storage.wal_format import (
    CONTINUES,
    DIRECTORY,
    FILE_HEADER_BYTES,
    LEAP,
    MAX_BODY_BYTES,
    MAX_UNSYNCED_RECORDS,
    FileHeader,
    RecordHeader,
    RecordKind,
    encode_file_header,
    encode_record_header,
    file_name,
)
from akidb_ray.storage.wal_reader import read_file_header, wal_files

ROTATE_BYTES = 128 * 1024**2


@dataclass(frozen=True, slots=True)
class Retention:
    """How long files of the log are kept after a checkpoint made them unnecessary."""

    age_s: float = 604_800.0
    size_bytes: int = 1024**3


def _random_salt() -> int:
    return secrets.randbits(32)


class Wal:
    """The writing end of a log. One writer at a time; `sync` may run while nothing is appended.

    `last_sequence` is the last position given; `synced_to` the one up to which all is durable.
    `size_bytes` and `files_count` are of all files there are. `wrote` says whether this opening
    appended anything. `unsynced_since` is when the first append that waits for a sync was made, by
    `clock`, or None.
    """

    def __init__(
        self,
        fs: FileSystem,
        last_sequence: int,
        epoch: int,
        known_end: int = 0,
        clock: Callable[[], float] = time.time,
        salts: Callable[[], int] = _random_salt,
    ) -> None:
        """Go on after `last_sequence`, which WalReader found.

        Records above `known_end` may be in the page cache only, and look as if they were written
        when an fsync of them failed. So their file is written anew. Up to `known_end` they are
        durable: a manifest, written after them, says so.
        """
        self._fs = fs
        self._epoch = epoch
        self._clock = clock
        self._salts = salts
        self._salt = 0
        self._file: AppendFile | None = None
        self._failed = False
        files = wal_files(fs)
        self._last_logged = last_sequence
        self.last_sequence = last_sequence + (LEAP if files or last_sequence else 0)
        self.synced_to = self.last_sequence
        self.unsynced_since: float | None = None
        self.wrote = False
        self.files_count = len(files)
        self.size_bytes = sum(fs.size_bytes(path) for _, path in files)
        if files and last_sequence > known_end:
            self._write_anew(files[-1][1])

    def _write_anew(self, path: PurePath) -> None:
        with contextlib.suppress(StorageFull):
            # A full disk must not be in the way of reading: then the sync below has to do.
            self._fs.replace(path, self._fs.map(path))
        file = self._fs.append(path)
        file.sync()
        file.close()
        self._fs.sync_directory(DIRECTORY)

    def append(self, kind: RecordKind, bodies: Sequence[Sequence[Bytes]], written_at: float) -> int:
        """Write one group, a record for each body, not yet synced; return the group's sequence.

        A body comes in parts. `written_at`, in seconds since 1970, is kept to the microsecond.
        Syncs first what is there when too many records would wait for it, or the file is full.
        Raises StorageFull (nothing was written), StorageFailed, and TooLarge for more records or a
        longer body than a log can hold.
        """
        assert bodies, "a group has a record that closes it"
        self._check_usable()
        if len(bodies) > MAX_UNSYNCED_RECORDS:
            raise TooLarge("write", MAX_UNSYNCED_RECORDS, "records")
        if self.last_sequence + len(bodies) - self.synced_to > MAX_UNSYNCED_RECORDS:
            self.sync()
        try:
            file = self._file_to_append_to()
            size_before = file.size_bytes
            file.write(self._encode(kind, bodies, written_at))
        except StorageFailed:
            self._failed = True
            raise
        self.last_sequence += len(bodies)
        self._last_logged = self.last_sequence
        self.size_bytes += file.size_bytes - size_before
        self.wrote = True
        if self.unsynced_since is None:
            self.unsynced_since = self._clock()
        return self.last_sequence

    def sync(self) -> None:
        """Make every appended record durable. Raises StorageFailed, and the log is over then."""
        self._check_usable()
        if self._file is None or self.synced_to == self.last_sequence:
            return
        try:
            self._file.sync()
        except BaseException:
            self._failed = True
            raise
        self.synced_to = self.last_sequence
        self.unsynced_since = None

    def rotate(self) -> None:
        """Start a new file with the next record, so that the files before it can be dropped."""
        self.sync()
        if self._file is not None and self._file.size_bytes > FILE_HEADER_BYTES:
            self.close()

    def drop_through(self, sequence: int, retention: Retention, now: float) -> None:
        """Remove old files all of whose records are at or below `sequence`, a checkpoint.

        A file stays while it is younger than the retention's age, unless the log is too large.
        `now` is in seconds since 1970. Raises StorageFailed, Corrupt.
        """
        dropped = False
        for (_, path), (_, following) in itertools.pairwise(wal_files(self._fs)):
            too_old = now - self._fs.modified_at(path) >= retention.age_s
            if not (too_old or self.size_bytes > retention.size_bytes):
                break
            if read_file_header(self._fs, following).previous > sequence:
                break
            self.size_bytes -= self._fs.size_bytes(path)
            self.files_count -= 1
            self._fs.remove(path)
            dropped = True
        if dropped:
            self._fs.sync_directory(DIRECTORY)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _encode(
        self, kind: RecordKind, bodies: Sequence[Sequence[Bytes]], written_at: float
    ) -> list[Bytes]:
        parts: list[Bytes] = []
        for number, body in enumerate(bodies, start=1):
            size_bytes = sum(memoryview(part).nbytes for part in body)
            if size_bytes > MAX_BODY_BYTES:
                raise TooLarge("record", MAX_BODY_BYTES, "bytes")
            header = RecordHeader(
                kind=kind,
                flags=CONTINUES if number < len(bodies) else 0,
                epoch=self._epoch,
                sequence=self.last_sequence + number,
                synced_to=self.synced_to,
                written_at=written_at,
                body_bytes=size_bytes,
                body_checksum=crc32c(*body, start=self._salt),
            )
            parts += [encode_record_header(header, self._salt), *body]
        return parts

    def _file_to_append_to(self) -> AppendFile:
        if self._file is not None and self._file.size_bytes >= ROTATE_BYTES:
            self.rotate()
        return self._file or self._start_file()

    def _start_file(self) -> AppendFile:
        if not self.files_count:
            self._fs.create_directory(DIRECTORY)
        header = FileHeader(self.last_sequence + 1, self._last_logged, self._salts())
        path = file_name(header.first)
        # Name and header come together, durably: a file without a header is no torn one.
        self._fs.replace(path, encode_file_header(header))
        self._file = self._fs.append(path)
        self._salt = header.salt
        self.size_bytes += FILE_HEADER_BYTES
        self.files_count += 1
        return self._file

    def _check_usable(self) -> None:
        if self._failed:
            raise StorageFailed("the log had a disk error; it must be reopened from disk")
