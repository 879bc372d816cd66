"""The documents of a sealed segment, as one Arrow record batch: all but their vectors.

A row whose id is null was dead when the segment was written: only its vector is there, because a
graph knows it.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from akidb_ray.segment.columns import RowMask
from akidb_ray.storage.filesystem import Bytes

SCHEMA = pa.schema(
    {
        "id": pa.large_string(),
        "version": pa.int64(),
        "length": pa.float32(),
        "text": pa.large_string(),
        "payload": pa.large_binary(),
        "expires_at": pa.float64(),
    }
)
# What a row has that carries no document.
_BLANKS = {"version": 0, "length": 1.0, "expires_at": float("inf")}


def take_documents(
    batch: pa.RecordBatch, rows: NDArray[np.int64], alive: RowMask
) -> pa.RecordBatch:
    """These rows of `batch`, in this order; those that are not `alive` are blank."""
    indices = pa.array(rows, pa.int64(), mask=~alive)
    columns = []
    for name in SCHEMA.names:
        column = batch.column(name).take(indices)
        columns.append(pc.fill_null(column, _BLANKS[name]) if name in _BLANKS else column)
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def join_documents(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def encode_documents(batch: pa.RecordBatch) -> list[Bytes]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(batch)
    return [memoryview(sink.getvalue())]


def decode_documents(data: Bytes) -> pa.RecordBatch:
    """The batch over mapped bytes. Raises ValueError (as pyarrow does) for other bytes."""
    with pa.ipc.open_file(pa.py_buffer(data)) as reader:
        batch = reader.get_batch(0)
    if batch.schema != SCHEMA:
        raise ValueError(f"has columns {batch.schema.names}")
    return batch
