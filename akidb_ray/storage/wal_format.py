"""How the log's files look: format 1. All numbers are little-endian.

A file is a file header and records, one after the other. A record is a header and a body. A *group*
is the records of one write; each of its records but the last has the flag CONTINUES.

- File header: magic, format u32, salt u32, first sequence u64, previous sequence u64 (that of the
  last record before this file), CRC-32C of these. Later formats keep it, so that a file of theirs
  can be told from a damaged one.
- Record header: magic, kind u8, flags u8, 2 zero bytes, epoch u64, sequence u64, synced_to u64,
  written_at in microseconds since 1970 u64, body length u32, CRC-32C of the body, CRC-32C of these.

The salt is random, and the checksums of records start with it. So bytes that somebody hides in a
document never look like a valid header, and neither do the old contents of a disk's blocks.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePath, PurePosixPath

from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import Bytes

FORMAT = 1
DIRECTORY = PurePosixPath("wal")
FILE_MAGIC = b"AKIDBWAL"
RECORD_MAGIC = b"\xa6WRk"
MAX_BODY_BYTES = 64 * 1024**2
# At most so many records wait for a sync; and each opening of a log skips so many sequences. So a
# position that was given to a write that a power loss took away is never given again.
MAX_UNSYNCED_RECORDS = LEAP = 65_536

CONTINUES = 0b1
# magic, format, salt, first, previous
_FILE = struct.Struct("<8sIIQQ")
# magic, kind, flags and zeros, epoch, sequence, synced_to, written_at, body length and checksum
_RECORD = struct.Struct("<4sB3sQQQQII")
_CHECKSUM = struct.Struct("<I")
FILE_HEADER_BYTES = _FILE.size + _CHECKSUM.size
RECORD_HEADER_BYTES = _RECORD.size + _CHECKSUM.size
_MICROSECONDS = 1_000_000


class RecordKind(IntEnum):
    UPSERT = 1
    DELETE = 2
    ATTACH = 3


@dataclass(frozen=True, slots=True)
class FileHeader:
    """`first` is the sequence of the file's first record. `previous` is the one before it in the
    log, smaller by one unless the log was opened in between.
    """

    first: int
    previous: int
    salt: int


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """`kind` and `flags` are as read: a later version may know more of them.

    Up to and with sequence `synced_to` all was on disk when this was written. `written_at` is in
    seconds since 1970, exact to a microsecond.
    """

    kind: int
    flags: int
    epoch: int
    sequence: int
    synced_to: int
    written_at: float
    body_bytes: int
    body_checksum: int


def file_name(first_sequence: int) -> PurePosixPath:
    """The path of the file that starts with this record."""
    return DIRECTORY / f"{first_sequence:012d}.wal"


def encode_file_header(header: FileHeader) -> bytes:
    fields = _FILE.pack(FILE_MAGIC, FORMAT, header.salt, header.first, header.previous)
    return fields + _CHECKSUM.pack(crc32c(fields))


def decode_file_header(raw: Bytes, path: PurePath) -> FileHeader:
    """Raises Corrupt, and InvalidState for a file that a later version wrote."""
    fields = bytes(raw[: _FILE.size])
    checksum = bytes(raw[_FILE.size : FILE_HEADER_BYTES])
    if not fields.startswith(FILE_MAGIC) or checksum != _CHECKSUM.pack(crc32c(fields)):
        raise Corrupt(str(path), "its file header is damaged", 0)
    _, written_format, salt, first, previous = _FILE.unpack(fields)
    if written_format > FORMAT:
        raise InvalidState(
            "log",
            f"of format {written_format}",
            f"reading it with this version, which knows format {FORMAT}",
        )
    if written_format != FORMAT or previous >= first:
        raise Corrupt(str(path), "its file header makes no sense", 0)
    return FileHeader(first, previous, salt)


def encode_record_header(header: RecordHeader, salt: int) -> bytes:
    fields = _RECORD.pack(
        RECORD_MAGIC,
        header.kind,
        header.flags.to_bytes(3, "little"),
        header.epoch,
        header.sequence,
        header.synced_to,
        round(header.written_at * _MICROSECONDS),
        header.body_bytes,
        header.body_checksum,
    )
    return fields + _CHECKSUM.pack(crc32c(fields, start=salt))


def decode_record_header(data: memoryview, offset: int, salt: int) -> RecordHeader | None:
    """The header at `offset`, or None when there is no valid one."""
    raw = bytes(data[offset : offset + RECORD_HEADER_BYTES])
    if len(raw) < RECORD_HEADER_BYTES or not raw.startswith(RECORD_MAGIC):
        return None
    fields = raw[: _RECORD.size]
    if raw[_RECORD.size :] != _CHECKSUM.pack(crc32c(fields, start=salt)):
        return None
    _, kind, flags, epoch, sequence, synced_to, written_at, length, checksum = _RECORD.unpack(
        fields
    )
    return RecordHeader(
        kind=kind,
        flags=int.from_bytes(flags, "little"),
        epoch=epoch,
        sequence=sequence,
        synced_to=synced_to,
        written_at=written_at / _MICROSECONDS,
        body_bytes=length,
        body_checksum=checksum,
    )
