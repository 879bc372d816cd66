"""One Arrow record batch as bytes: the files of a segment, and records of the log."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from akidb_ray.storage.filesystem import Bytes

# Parts that are smaller are joined, so that a disk gets few writes; larger ones are not copied.
_LARGE_BYTES = 64 * 1024


class _Parts(io.RawIOBase):
    """Keeps what is written. Buffers of arrays are kept as they are: they must not change."""

    def __init__(self) -> None:
        self._whole: list[Bytes] = []
        self._small = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        size_bytes = memoryview(part).nbytes
        if size_bytes < _LARGE_BYTES:
            self._small += part
        else:
            self._whole += [self._small, memoryview(part)]
            self._small = bytearray()
        return size_bytes

    def parts(self) -> list[Bytes]:
        return [part for part in (*self._whole, self._small) if len(part)]


def encode_file(batch: pa.RecordBatch) -> list[Bytes]:
    """An Arrow IPC file, in parts. Of large arrays it shares the memory."""
    sink = _Parts()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.parts()


def encode_stream(batch: pa.RecordBatch) -> list[Bytes]:
    """An Arrow IPC stream, which has no index at its end, in parts as `encode_file` gives."""
    sink = _Parts()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.parts()


def decode_file(data: Bytes) -> pa.RecordBatch:
    """The only batch of a file, over the bytes of `data`, all of it valid.

    Raises ValueError for anything else.
    """
    with refused_as_value_error(), pa.ipc.open_file(pa.py_buffer(data)) as reader:
        if reader.num_record_batches != 1:
            raise ValueError(f"holds {reader.num_record_batches} batches")
        return _valid(reader.get_batch(0))


def decode_stream(data: Bytes) -> pa.RecordBatch:
    """The first batch of a stream, as `decode_file` gives it."""
    with refused_as_value_error(), pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return _valid(reader.read_next_batch())


def _valid(batch: pa.RecordBatch) -> pa.RecordBatch:
    # Offsets that lead out of a buffer would be followed.
    batch.validate(full=True)
    return batch


def check_schema(batch: pa.RecordBatch, schema: pa.Schema) -> None:
    """Raise ValueError for other columns, or a null where the schema allows none."""
    if not batch.schema.equals(schema):
        raise ValueError(f"has the columns {', '.join(map(str, batch.schema))}")
    for field, column in zip(schema, batch.columns, strict=True):
        if column.null_count and not field.nullable:
            raise ValueError(f"lacks values of {field.name}")


@contextlib.contextmanager
def refused_as_value_error() -> Iterator[None]:
    """Whatever pyarrow says of bytes that are no such batch becomes ValueError."""
    try:
        yield
    except ValueError:
        raise
    except (pa.ArrowException, OSError, LookupError, TypeError, StopIteration) as error:
        raise ValueError(f"is no Arrow batch: {error!r}") from error
