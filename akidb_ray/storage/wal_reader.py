"""Reading a log: which bytes of it are believed, and what is done about those that are not.

- A record counts only when its header and its body have the right checksum and its number is the
  next one. A group counts only when all its records do, up to the one that closes it.
- A file goes on where the one before it ends: its header says after which record it was started. So
  a missing or shortened file is found, though sequences may leap from file to file.
- A file gets its name together with its header, and only when all before it was synced. So a file
  header is never torn, and the files before the last one are whole.

A bad record is either *torn* (the end of what was being written when the power went) or *corrupt*
(bytes that had been on disk, and changed). Each header says up to which sequence everything had
been synced when it was written, `synced_to`. So when any valid header after the bad record says
that the bad one had been synced, or another file follows, or a checkpoint or a clean close says so,
it is corruption, and reading stops; else it is a torn tail, which is cut where the bad record's
group starts. A group that is not closed is a bad record as well: a group is written by one call,
and synced after it. A valid header that says what no writer of this format says is no matter of
tearing: always corrupt. What can't be told apart: a flipped bit in the last group, with nothing
written after it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath, PurePosixPath

from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.wal_format import (
    CONTINUES,
    DIRECTORY,
    FILE_HEADER_BYTES,
    LEAP,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    FileHeader,
    RecordHeader,
    RecordKind,
    decode_file_header,
    decode_record_header,
    file_name,
)

_NAME = re.compile(r"[0-9]{12,}\.wal")
_KINDS = frozenset(RecordKind)


@dataclass(frozen=True, slots=True)
class LoggedGroup:
    """One logged write. `sequence` and `written_at` (seconds since 1970) are those of the record
    that closes it. `bodies` are only good while the log is being read.
    """

    sequence: int
    epoch: int
    kind: RecordKind
    written_at: float
    bodies: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """Where a whole record starts in its file, and what its header says."""

    offset: int
    sequence: int
    kind: RecordKind
    epoch: int
    written_at: float
    synced_to: int
    body_bytes: int
    continues: bool


@dataclass(frozen=True, slots=True)
class FileScan:
    """All that can be read of a file. `problem` says why no more can be, at `problem_offset`.

    `first`, `previous` and `salt` are 0 when the file header cannot be read.
    """

    path: PurePath
    size_bytes: int
    first: int
    previous: int
    salt: int
    records: tuple[RecordInfo, ...]
    problem: str | None = None
    problem_offset: int | None = None


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: str
    offset: int
    can_be_torn: bool = True


def wal_files(fs: FileSystem) -> list[tuple[int, PurePosixPath]]:
    """(first sequence, path) of each file, in order. Raises Corrupt for a name that cannot be."""
    files = []
    for name in fs.list(DIRECTORY):
        if name.endswith(".wal"):
            first = int(name.removesuffix(".wal")) if _NAME.fullmatch(name) else 0
            if DIRECTORY / name != file_name(first):
                raise Corrupt(str(DIRECTORY / name), "its name is no sequence")
            files.append((first, DIRECTORY / name))
    return sorted(files)


def read_file_header(fs: FileSystem, path: PurePath) -> FileHeader:
    """Raises Corrupt, and InvalidState for a file that a later version wrote."""
    return _LogFile(fs, path).header


def scan_file(fs: FileSystem, path: PurePath) -> FileScan:
    """Read a file for somebody who wants to look at it. Changes nothing, whatever it finds."""
    try:
        file = _LogFile(fs, path)
    except (Corrupt, InvalidState) as error:
        reason = error.fields.get("reason", error.detail)
        return FileScan(path, fs.size_bytes(path), 0, 0, 0, (), reason, 0)
    records = tuple(file.records())
    scan = FileScan(
        path, len(file.data), file.header.first, file.header.previous, file.header.salt, records
    )
    if file.problem is None:
        return scan
    return replace(scan, problem=file.problem.reason, problem_offset=file.problem.offset)


class WalReader:
    """Reads a log once, from its start.

    After the last group, `last_sequence` is the log's end, for Wal to go on from. It is less than
    `after` when the checkpoint was made by an opening that wrote nothing before it.
    """

    def __init__(self, fs: FileSystem, after: int, known_end: int = 0, *, cut: bool = True) -> None:
        """Groups up to and including `after` are skipped: a checkpoint holds them already.

        `known_end` is the last sequence known to be on disk, from a clean close. Without `cut` a
        torn tail is left as it is, for somebody who only looks.
        """
        self._fs = fs
        self._cut = cut
        self._after = after
        self._needed = max(after, known_end)
        self.last_sequence = after

    def groups(self) -> Iterator[LoggedGroup]:
        """All whole groups above `after`. Cuts a torn tail. Raises Corrupt, and InvalidState for a
        log that a later version wrote.
        """
        files = self._files_to_read()
        for file in files:
            if file is not files[0] and file.header.previous != self.last_sequence:
                reason = (
                    f"goes on after record {file.header.previous},"
                    f" but the file before it ends with record {self.last_sequence}"
                )
                raise Corrupt(str(file.path), reason)
            self.last_sequence = file.header.first - 1
            yield from self._groups(file)
            if file.problem is not None:
                self._cut_or_stop(file, file.problem, is_last=file is files[-1])
        # An opening that wrote nothing leaves no file, but a checkpoint may be at its position.
        leapt_to = self.last_sequence + LEAP
        if self._needed > self.last_sequence and self._needed != leapt_to:
            reason = f"records {self.last_sequence + 1} to {self._needed} are missing"
            raise Corrupt(str(DIRECTORY), reason)

    def _files_to_read(self) -> list["_LogFile"]:
        """The last file that was started at or before `after`, and those behind it."""
        files: list[_LogFile] = []
        for _, path in reversed(wal_files(self._fs)):
            files.insert(0, _LogFile(self._fs, path))
            if files[0].header.previous <= self._after:
                return files
        if files:
            reason = f"the log starts after record {files[0].header.previous}"
            raise Corrupt(str(files[0].path), reason)
        return files

    def _groups(self, file: "_LogFile") -> Iterator[LoggedGroup]:
        bodies = []
        for record in file.records():
            bodies.append(file.body(record))
            if record.continues:
                continue
            self.last_sequence = record.sequence
            if record.sequence > self._after:
                yield LoggedGroup(
                    record.sequence, record.epoch, record.kind, record.written_at, tuple(bodies)
                )
            bodies = []

    def _cut_or_stop(self, file: "_LogFile", problem: _Problem, *, is_last: bool) -> None:
        """The group after `last_sequence`, from `file.group_at` on, is bad: torn or corrupt?"""
        bad = self.last_sequence + 1
        was_synced = (
            bad <= self._needed
            or not is_last
            or any(header.synced_to >= bad for header in file.headers_from(file.group_at))
        )
        if was_synced or not problem.can_be_torn:
            reason = problem.reason + (", and was on disk" if was_synced else "")
            raise Corrupt(str(file.path), reason, problem.offset)
        if self._cut:
            self._fs.truncate(file.path, file.group_at)


class _LogFile:
    """One file, read from its start. Raises Corrupt, InvalidState when its header is no good.

    After the last record, `problem` says why reading stopped before the end, and `group_at` is
    where the group starts that is not whole.
    """

    def __init__(self, fs: FileSystem, path: PurePath) -> None:
        self.path = path
        self.data = fs.map(path)
        self.header = decode_file_header(self.data[:FILE_HEADER_BYTES], path)
        if path.name != file_name(self.header.first).name:
            raise Corrupt(
                str(path), f"its header says that it starts with record {self.header.first}", 0
            )
        self.problem: _Problem | None = None
        self.group_at = FILE_HEADER_BYTES

    def records(self) -> Iterator[RecordInfo]:
        """The whole records up to the first problem."""
        offset, sequence = FILE_HEADER_BYTES, self.header.first
        while offset < len(self.data):
            header = decode_record_header(self.data, offset, self.header.salt)
            if header is None:
                self.problem = _Problem(f"record {sequence} has no valid header", offset)
                return
            self.problem = self._problem_of(header, offset, sequence)
            if self.problem is not None:
                return
            record = RecordInfo(
                offset=offset,
                sequence=sequence,
                kind=RecordKind(header.kind),
                epoch=header.epoch,
                written_at=header.written_at,
                synced_to=header.synced_to,
                body_bytes=header.body_bytes,
                continues=bool(header.flags & CONTINUES),
            )
            offset += RECORD_HEADER_BYTES + header.body_bytes
            sequence += 1
            if not record.continues:
                self.group_at = offset
            yield record
        if self.group_at < offset:
            reason = f"the group that ends with record {sequence - 1} is not closed"
            self.problem = _Problem(reason, self.group_at)

    def body(self, record: RecordInfo) -> memoryview:
        return self._body(record.offset, record.body_bytes)

    def headers_from(self, offset: int) -> Iterator[RecordHeader]:
        """All valid headers at or after `offset`, wherever they are."""
        raw = bytes(self.data[offset:])
        found = raw.find(RECORD_MAGIC)
        while found >= 0:
            header = decode_record_header(self.data, offset + found, self.header.salt)
            if header is not None:
                yield header
            found = raw.find(RECORD_MAGIC, found + 1)

    def _body(self, offset: int, size_bytes: int) -> memoryview:
        start = offset + RECORD_HEADER_BYTES
        return self.data[start : start + size_bytes]

    def _problem_of(self, header: RecordHeader, offset: int, sequence: int) -> _Problem | None:
        if header.kind not in _KINDS:
            reason = f"record {sequence} is of kind {header.kind}, which is not known here"
            return _Problem(reason, offset, can_be_torn=False)
        if header.flags & ~CONTINUES:
            reason = f"record {sequence} has flags {header.flags:#x}, which are not known here"
            return _Problem(reason, offset, can_be_torn=False)
        if header.sequence != sequence:
            return _Problem(f"record {header.sequence} is where {sequence} should be", offset)
        body = self._body(offset, header.body_bytes)
        if len(body) != header.body_bytes:
            return _Problem(f"record {sequence} is cut short", offset)
        if crc32c(body, start=self.header.salt) != header.body_checksum:
            return _Problem(f"the body of record {sequence} is damaged", offset)
        return None
