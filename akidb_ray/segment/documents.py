"""The documents of a sealed segment, as one Arrow record batch: all but their vectors.

A row whose id is null was dead when the segment was written: only its vector is there, because a
graph knows it.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from akidb_ray.segment.arrow_batches import check_schema, decode_file, encode_file
from akidb_ray.segment.columns import RowMask
from akidb_ray.storage.filesystem import Bytes

SCHEMA = pa.schema(
    [
        pa.field("id", pa.large_string()),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("length", pa.float32(), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("payload", pa.large_binary()),
        pa.field("expires_at", pa.float64(), nullable=False),
    ]
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
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def encode_documents(batch: pa.RecordBatch) -> list[Bytes]:
    return encode_file(batch)


def decode_documents(data: Bytes, rows: int) -> pa.RecordBatch:
    """The batch over mapped bytes. Raises ValueError for bytes that are no such batch."""
    batch = decode_file(data)
    check_schema(batch, SCHEMA)
    if batch.num_rows != rows:
        raise ValueError(f"holds {batch.num_rows} rows instead of {rows}")
    return batch
