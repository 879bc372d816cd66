"""Arrow IPC streams that strangers send: read whole, checked before they are looked into.

https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
"""

import struct
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from fastapi import Response

from akidb_ray.domain.errors import InvalidArgument, Malformed, TooLarge
from akidb_ray.gateway.rest.arrow_weight import why_it_grows

ARROW_STREAM = "application/vnd.apache.arrow.stream"

_BATCH = "record batch"
# Positions of fields in the tables `Message` and `RecordBatch` of Arrow's flatbuffers.
_MESSAGE_HEADER = 2
_BATCH_COMPRESSION = 3


def arrow_body(columns: str) -> dict[str, Any]:
    """What OpenAPI says of routes that take Arrow as well as JSON."""
    described = f"A stream of the columns {columns}; the rest of the body, as JSON, in the query."
    shown = {"schema": {"type": "string", "format": "binary", "description": described}}
    rest = {
        "name": "body",
        "in": "query",
        "description": "With a body in Arrow: what else would be in one of JSON.",
        "schema": {"type": "string", "contentMediaType": "application/json"},
    }
    return {"requestBody": {"content": {ARROW_STREAM: shown}}, "parameters": [rest]}


def read_stream(raw: bytes, known: Sequence[str], what: str, max_rows: int) -> pa.Table:
    """The rows of all batches, all of it valid, in at most these columns.

    Raises Malformed for what is no such stream, InvalidArgument for a column that is not known or
    an encoding that is not taken, TooLarge, naming `what`, for too many rows or batches.
    """
    try:
        _check_messages(raw, what, max_rows)
        with pa.ipc.open_stream(pa.py_buffer(raw)) as reader:
            _check_columns(reader.schema, known)
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > max_rows:
                    raise TooLarge(what, max_rows, f"{what}; send smaller batches")
                # Offsets that lead out of a buffer would be followed.
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, ValueError, OSError, LookupError, TypeError, struct.error) as error:
        raise Malformed(f"the body is no Arrow stream: {error}") from None
    if not table.num_rows:
        raise InvalidArgument(what, "is empty")
    return table


def arrow_response(table: pa.Table) -> Response:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Response(sink.getvalue().to_pybytes(), media_type=ARROW_STREAM)


def _check_columns(schema: pa.Schema, known: Sequence[str]) -> None:
    for position, name in enumerate(schema.names):
        if name not in known:
            reason = f"is not known; known here: {', '.join(known)}"
            raise InvalidArgument(name or "(no name)", reason)
        if name in schema.names[:position]:
            raise InvalidArgument(name, "is there twice")
        grows = why_it_grows(schema.field(position).type)
        if grows is not None:
            raise InvalidArgument(name, grows)


def _check_messages(raw: bytes, what: str, max_batches: int) -> None:
    """Refuse what could become much larger than it is: compressed batches, and dictionaries; and
    what takes long to read: so many batches that rows are too many, or batches empty.
    """
    for number, message in enumerate(pa.ipc.MessageReader.open_stream(pa.py_buffer(raw))):
        # The first is the schema.
        if number > max_batches:
            raise TooLarge(what, max_batches, "batches; send fewer and larger ones")
        if message.type == "dictionary":
            raise InvalidArgument("body", "has a dictionary; send the values themselves")
        if message.type == _BATCH and _is_compressed(message.metadata.to_pybytes()):
            raise InvalidArgument("body", "is compressed, which is not taken")


def _is_compressed(metadata: bytes) -> bool:
    (message,) = struct.unpack_from("<I", metadata)
    header = _field(metadata, message, _MESSAGE_HEADER)
    if header is None:
        raise ValueError("a batch has no header")
    (offset,) = struct.unpack_from("<I", metadata, header)
    return _field(metadata, header + offset, _BATCH_COMPRESSION) is not None


def _field(flatbuffer: bytes, table: int, number: int) -> int | None:
    """Where a field of a table is; None when it is not there."""
    (back,) = struct.unpack_from("<i", flatbuffer, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", flatbuffer, vtable)
    slot = 4 + 2 * number
    if slot >= size:
        return None
    (offset,) = struct.unpack_from("<H", flatbuffer, vtable + slot)
    return table + int(offset) if offset else None
