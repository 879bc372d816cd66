"""Rows as a shard stores them, and their Arrow form in the log and in sealed segments.

Cosine vectors are normalized once on the way in. Their former length is kept, so that a document
gives back the vector that came in, within float32 rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch, Vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Flat, flatten
from akidb_ray.domain.ids import document_hash


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n rows: unit vectors (under cosine) float32 (n, d), their former lengths float32 (n,).

    `flats` are the flattened payloads, not stored but made again.
    """

    ids: Sequence[str]
    vectors: Vectors
    lengths: NDArray[np.float32]
    texts: Sequence[str | None]
    payloads: Sequence[bytes | None]
    flats: Sequence[Flat]

    def __len__(self) -> int:
        return len(self.ids)


def rows_of(batch: DocumentBatch, metric: Metric) -> Rows:
    """Prepare a batch with checked vectors for storing; of documents with the same id the last
    one wins.

    Raises InvalidArgument for a payload that is no JSON object: in the log it would be in the way
    of every opening.
    """
    flats = [flat_of(payload, row) for row, payload in enumerate(batch.payloads)]
    last = {document_id: position for position, document_id in enumerate(batch.ids)}
    if len(last) < len(batch):
        kept = sorted(last.values())
        batch, flats = batch.take(kept), [flats[row] for row in kept]
    vectors = np.ascontiguousarray(batch.vectors, np.float32)
    lengths = np.ones(len(vectors), np.float32)
    if metric is Metric.COSINE:
        lengths = lengths_of(vectors)
        vectors = vectors / lengths[:, None]
    return Rows(batch.ids, vectors, lengths, batch.texts, batch.payloads, flats)


def lengths_of(vectors: Vectors) -> NDArray[np.float32]:
    """Lengths of the rows. The squares of a short vector have few or no bits left in float32."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    lengths: NDArray[np.float32] = np.sqrt(squares).astype(np.float32)
    return lengths


def flat_of(payload: bytes | None, row: int | None = None) -> Flat:
    """What filters see of a payload. Raises InvalidArgument, naming the row."""
    if not payload:
        return {}
    try:
        content = orjson.loads(payload)
        if not isinstance(content, dict):
            raise InvalidArgument("payload", "must be a JSON object", row)
        return flatten(content)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument("payload", f"is not JSON: {error}", row) from None
    except InvalidArgument as error:
        raise error.inside("", row) from None


def hashes_of(ids: Sequence[str]) -> NDArray[np.uint64]:
    return np.fromiter((document_hash(i) for i in ids), np.uint64, len(ids))


def encode_rows(rows: Rows) -> bytes:
    """An Arrow IPC stream with one batch: no work per row when it is read again."""
    dimension = rows.vectors.shape[1]
    flat = pa.array(rows.vectors.reshape(-1), pa.float32())
    batch = pa.record_batch(
        {
            "id": pa.array(rows.ids, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, dimension),
            "length": pa.array(rows.lengths, pa.float32()),
            "text": pa.array(rows.texts, pa.large_string()),
            "payload": pa.array(rows.payloads, pa.large_binary()),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decode_rows(data: memoryview) -> Rows:
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        batch = reader.read_next_batch()
    vectors = batch.column("vector")
    flat = vectors.flatten().to_numpy(zero_copy_only=True)
    payloads = batch.column("payload").to_pylist()
    return Rows(
        ids=batch.column("id").to_pylist(),
        vectors=flat.reshape(len(vectors), vectors.type.list_size),
        lengths=batch.column("length").to_numpy(),
        texts=batch.column("text").to_pylist(),
        payloads=payloads,
        flats=[flat_of(payload) for payload in payloads],
    )
