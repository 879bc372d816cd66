"""Writes as the log holds them: outcomes, not requests, so that replay computes nothing anew.

The body of a record is the length of its note (u32), the note, and the content: rows as an Arrow
stream, ids and attached segments in msgpack. The note of a group's last record remembers the answer
that was given for an idempotency key.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from akidb_ray.domain.errors import Corrupt
from akidb_ray.segment.rows import Rows, decode_rows, encode_rows, split_rows
from akidb_ray.storage.filesystem import Bytes
from akidb_ray.storage.manifest import SegmentEntry
from akidb_ray.storage.wal_format import MAX_BODY_BYTES, RecordKind
from akidb_ray.storage.wal_reader import LoggedGroup

# What of a write goes into one record, with room for the note and the framing of Arrow.
MAX_CONTENT_BYTES = MAX_BODY_BYTES - 64 * 1024
_NOTE_BYTES = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class UpsertRows:
    """Put these rows; each id at most once."""

    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class DeleteIds:
    """Remove these documents, where they are there."""

    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class AttachSegments:
    """Put all rows of these segments, whose files are in the replica's folder; later ones win."""

    entries: tuple[SegmentEntry, ...]


Operation = UpsertRows | DeleteIds | AttachSegments


class Answer(msgspec.Struct, frozen=True):
    """What was answered for an idempotency key. `key` and `fingerprint` are 16 byte digests."""

    key: bytes
    fingerprint: bytes
    affected: int
    skipped: int


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """An operation in its logged form: the content of one record or more."""

    kind: RecordKind
    contents: Sequence[Sequence[Bytes]]

    def bodies(self, answer: Answer | None) -> list[list[Bytes]]:
        bodies: list[list[Bytes]] = [[_NOTE_BYTES.pack(0), *part] for part in self.contents]
        if answer is not None:
            note = msgspec.msgpack.encode(answer)
            bodies[-1][0] = _NOTE_BYTES.pack(len(note)) + note
        return bodies


def encode_operation(operation: Operation) -> Encoded:
    """Raises TooLarge when one document does not fit a record."""
    if isinstance(operation, UpsertRows):
        parts = split_rows(operation.rows, MAX_CONTENT_BYTES)
        return Encoded(RecordKind.UPSERT, [encode_rows(part) for part in parts])
    if isinstance(operation, DeleteIds):
        return Encoded(RecordKind.DELETE, [[part] for part in _encode_ids(operation.ids)])
    return Encoded(RecordKind.ATTACH, [[msgspec.msgpack.encode(operation.entries)]])


def _encode_ids(ids: Sequence[str]) -> list[bytes]:
    # An id has at most 512 bytes and three of framing.
    per_record = MAX_CONTENT_BYTES // 515
    starts = range(0, max(len(ids), 1), per_record)
    return [msgspec.msgpack.encode(list(ids[start : start + per_record])) for start in starts]


def decode_group(group: LoggedGroup) -> tuple[list[Operation], Answer | None]:
    """The operations of a group, in order, and the answer that was given for it, if any.

    Raises Corrupt: behind a good checksum that is a defect, or another program's work.
    """
    operations: list[Operation] = []
    answer = None
    try:
        for body in group.bodies:
            length = _NOTE_BYTES.unpack(body[: _NOTE_BYTES.size])[0]
            start = _NOTE_BYTES.size + length
            if length:
                answer = msgspec.msgpack.decode(body[_NOTE_BYTES.size : start], type=Answer)
            operations.append(_decode(group.kind, body[start:]))
    except (struct.error, msgspec.MsgspecError, ValueError, KeyError) as error:
        raise Corrupt("wal", f"record {group.sequence} cannot be decoded: {error}") from error
    return operations, answer


def _decode(kind: RecordKind, content: memoryview) -> Operation:
    if kind is RecordKind.UPSERT:
        return UpsertRows(decode_rows(content))
    if kind is RecordKind.DELETE:
        return DeleteIds(msgspec.msgpack.decode(content, type=list[str]))
    return AttachSegments(msgspec.msgpack.decode(content, type=tuple[SegmentEntry, ...]))
