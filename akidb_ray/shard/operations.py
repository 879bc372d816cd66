"""Writes as the log holds them: outcomes, not requests, so that replay computes nothing anew."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from akidb_ray.domain.errors import TooLarge
from akidb_ray.segment.rows import Rows, decode_rows, encode_rows
from akidb_ray.storage.wal import Record, RecordKind

MAX_RECORD_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True, eq=False)
class UpsertRows:
    """Put these rows; each id at most once."""

    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class DeleteIds:
    """Remove these documents, where they are there."""

    ids: Sequence[str]


Operation = UpsertRows | DeleteIds


def encode_operation(operation: Operation) -> tuple[RecordKind, bytes]:
    """Raises TooLarge when the operation does not fit one record."""
    if isinstance(operation, UpsertRows):
        kind, body = RecordKind.UPSERT, encode_rows(operation.rows)
    else:
        kind, body = RecordKind.DELETE, msgspec.msgpack.encode(list(operation.ids))
    if len(body) > MAX_RECORD_BYTES:
        raise TooLarge("documents", MAX_RECORD_BYTES, "bytes for one shard; send smaller batches")
    return kind, body


def decode_operation(record: Record) -> Operation:
    if record.kind is RecordKind.UPSERT:
        return UpsertRows(decode_rows(record.body))
    return DeleteIds(msgspec.msgpack.decode(record.body, type=list[str]))
