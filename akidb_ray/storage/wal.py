"""A replica's write-ahead log: records in files, each named by the sequence of its first record.

Rules kept here:

- Sequences rise by one from record to record, over all files.
- A record counts only when its header and its body have the right checksum.
- Nothing is acknowledged before `sync` returned after its `append`.
- A failed sync is never retried: after it nobody knows what the disk holds, so the log refuses
  everything, and the owner reopens it from disk (see "Can Applications Recover from fsync
  Failures?", USENIX ATC 2020).

A bad record is either *torn* (the end of what was being written when the power went) or *corrupt*
(bytes that had been on disk, and changed). Each header says up to which sequence everything had
been synced when it was written, `synced_to`, and a file is started only when all before it was. So
when any valid header after the bad record says that the bad one had been synced, or another file
follows, it is corruption, and opening stops; else it is a torn tail, which is cut. What can't be
told apart: a flipped bit in the last group, with nothing written after it.
"""

import contextlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePath, PurePosixPath

from akidb_ray.domain.errors import Corrupt, StorageFailed, StorageFull
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import AppendFile, Bytes, FileSystem

FILE_HEADER = b"AKIDBWAL" + struct.pack("<I", 1)
MAGIC = b"\xa6WRk"
# magic, kind, epoch, sequence, synced_to, body length, body checksum; then the header's checksum.
_HEADER = struct.Struct("<4sIQQQII")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size
DIRECTORY = PurePosixPath("wal")


class RecordKind(IntEnum):
    UPSERT = 1
    DELETE = 2


@dataclass(frozen=True, slots=True)
class Record:
    """One logged write. `body` is only good while the log is being read."""

    sequence: int
    epoch: int
    kind: RecordKind
    body: memoryview


@dataclass(frozen=True, slots=True)
class Retention:
    """How long files of the log are kept after a checkpoint made them unnecessary."""

    age_s: float = 604_800.0
    size_bytes: int = 1024**3


@dataclass(frozen=True, slots=True)
class _Header:
    kind: int
    epoch: int
    sequence: int
    synced_to: int
    length: int
    body_checksum: int


def _encode_header(header: _Header) -> bytes:
    fields = _HEADER.pack(
        MAGIC,
        header.kind,
        header.epoch,
        header.sequence,
        header.synced_to,
        header.length,
        header.body_checksum,
    )
    return fields + _CHECKSUM.pack(crc32c(fields))


def _decode_header(data: memoryview, offset: int) -> _Header | None:
    """The header at `offset`, or None when there is no valid one."""
    raw = bytes(data[offset : offset + HEADER_BYTES])
    if len(raw) < HEADER_BYTES or raw[:4] != MAGIC:
        return None
    if _CHECKSUM.unpack(raw[_HEADER.size :])[0] != crc32c(raw[: _HEADER.size]):
        return None
    _, kind, epoch, sequence, synced_to, length, body_checksum = _HEADER.unpack(raw[: _HEADER.size])
    return _Header(kind, epoch, sequence, synced_to, length, body_checksum)


def file_name(first_sequence: int) -> PurePosixPath:
    return DIRECTORY / f"{first_sequence:012d}.wal"


def wal_files(fs: FileSystem) -> list[tuple[int, PurePosixPath]]:
    """(first sequence, path) of each file, in order."""
    names = [PurePosixPath(name) for name in fs.list(DIRECTORY)]
    return sorted((int(name.stem), DIRECTORY / name) for name in names if name.suffix == ".wal")


class WalReader:
    """Reads a log once, from its start. After the last record, `last_sequence` is its end."""

    def __init__(self, fs: FileSystem, after: int, known_end: int = 0) -> None:
        """Records up to and including `after` are skipped: a checkpoint holds them already.

        `known_end` is the last sequence known to be on disk, from a clean close.
        """
        self._fs = fs
        self._after = after
        self._known_end = known_end
        self.last_sequence = after

    def records(self) -> Iterator[Record]:
        """All whole records above `after`. Cuts a torn tail. Raises Corrupt."""
        files = wal_files(self._fs)
        while len(files) > 1 and files[1][0] <= self._after + 1:
            files.pop(0)
        if files and files[0][0] > self._after + 1:
            raise Corrupt(str(files[0][1]), f"the log starts after record {self._after + 1}")
        expected = files[0][0] if files else self._after + 1
        for position, (first, path) in enumerate(files):
            if first != expected:
                raise Corrupt(str(path), f"records {expected} to {first - 1} are missing")
            last = position == len(files) - 1
            for record in self._file_records(path, first, last):
                expected = record.sequence + 1
                if record.sequence > self._after:
                    self.last_sequence = record.sequence
                    yield record
        needed = max(self._after, self._known_end)
        if expected <= needed:
            raise Corrupt(str(DIRECTORY), f"records {expected} to {needed} are missing")

    def _file_records(self, path: PurePath, expected: int, last: bool) -> Iterator[Record]:
        data = self._fs.map(path)
        offset = len(FILE_HEADER)
        if bytes(data[:offset]) != FILE_HEADER:
            self._cut_or_stop(path, data, 0, expected, last)
            return
        while offset < len(data):
            header = _decode_header(data, offset)
            body = data[
                offset + HEADER_BYTES : offset + HEADER_BYTES + (header.length if header else 0)
            ]
            if (
                header is None
                or header.sequence != expected
                or len(body) != header.length
                or crc32c(body) != header.body_checksum
            ):
                self._cut_or_stop(path, data, offset, expected, last)
                return
            yield Record(header.sequence, header.epoch, RecordKind(header.kind), body)
            offset += HEADER_BYTES + header.length
            expected += 1

    def _cut_or_stop(
        self, path: PurePath, data: memoryview, offset: int, expected: int, last: bool
    ) -> None:
        """A bad record at `offset`, which should be number `expected`: torn or corrupt?"""
        was_synced = (
            expected <= max(self._after, self._known_end)
            # A file is started only when all before it was synced.
            or not last
            or any(header.synced_to >= expected for header in _valid_headers(data[offset + 1 :]))
        )
        if was_synced:
            raise Corrupt(str(path), f"record {expected}, which was on disk, is damaged", offset)
        if offset == 0:
            self._fs.remove(path)
        else:
            self._fs.truncate(path, offset)
        self._fs.sync_directory(DIRECTORY)


def _valid_headers(data: memoryview) -> Iterator[_Header]:
    raw = bytes(data)
    offset = raw.find(MAGIC)
    while offset >= 0:
        header = _decode_header(data, offset)
        if header is not None:
            yield header
        offset = raw.find(MAGIC, offset + 1)


class Wal:
    """The writing end of a log. One writer at a time; `sync` may run while nothing is appended."""

    def __init__(self, fs: FileSystem, last_sequence: int, epoch: int, known_end: int = 0) -> None:
        """Go on after `last_sequence`, which WalReader found.

        Records above `known_end` may be in the page cache only, and look as if they were written
        when an fsync of them failed. So their file is written anew.
        """
        self._fs = fs
        self._epoch = epoch
        self._file: AppendFile | None = None
        self._failed = False
        self.last_sequence = last_sequence
        self.synced_to = last_sequence
        fs.create_directory(DIRECTORY)
        existing = wal_files(fs)
        self.size_bytes = sum(fs.size_bytes(path) for _, path in existing)
        if existing:
            path = existing[-1][1]
            with contextlib.suppress(StorageFull):
                # A full disk must not be in the way of reading: then the sync below has to do.
                if last_sequence > known_end:
                    fs.replace(path, fs.map(path))
            self._file = fs.append(path)
            self._file.sync()
            fs.sync_directory(DIRECTORY)

    def append(self, kind: RecordKind, body: Sequence[Bytes]) -> int:
        """Write one record, not yet synced, and return its sequence.

        Raises StorageFull (nothing was written), StorageFailed.
        """
        self._check_usable()
        sequence = self.last_sequence + 1
        length = sum(len(part) for part in body)
        header = _Header(kind, self._epoch, sequence, self.synced_to, length, crc32c(*body))
        try:
            file = self._file or self._start_file()
            file.write([_encode_header(header), *body])
        except StorageFailed:
            self._failed = True
            raise
        self.last_sequence = sequence
        self.size_bytes += HEADER_BYTES + length
        return sequence

    def sync(self) -> None:
        """Make every appended record durable. Raises StorageFailed, and the log is over then."""
        self._check_usable()
        if self._file is None or self.synced_to == self.last_sequence:
            return
        try:
            self._file.sync()
        except Exception:
            self._failed = True
            raise
        self.synced_to = self.last_sequence

    def rotate(self) -> None:
        """Start a new file with the next record, so that the files before it can be dropped."""
        self.sync()
        self.close()

    def drop_through(self, sequence: int, retention: Retention, now: float) -> None:
        """Remove old files all of whose records are at or below `sequence`, a checkpoint.

        A file stays while it is younger than the retention's age, unless the log is too large.
        `now` is in seconds since 1970.
        """
        files = wal_files(self._fs)
        ends = [first - 1 for first, _ in files[1:]]
        dropped = False
        for (_, path), end in zip(files, ends, strict=False):
            too_old = now - self._fs.modified_at(path) >= retention.age_s
            if end > sequence or not (too_old or self.size_bytes > retention.size_bytes):
                break
            self.size_bytes -= self._fs.size_bytes(path)
            self._fs.remove(path)
            dropped = True
        if dropped:
            self._fs.sync_directory(DIRECTORY)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _start_file(self) -> AppendFile:
        file = self._fs.append(file_name(self.last_sequence + 1))
        if file.size_bytes == 0:
            file.write([FILE_HEADER])
            self.size_bytes += len(FILE_HEADER)
        self._fs.sync_directory(DIRECTORY)
        self._file = file
        return file

    def _check_usable(self) -> None:
        if self._failed:
            raise StorageFailed("the log had a disk error; it must be reopened from disk")
