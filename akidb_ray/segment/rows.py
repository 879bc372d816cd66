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
from akidb_ray.domain.document import NEVER, DocumentBatch, Times, Vectors
from akidb_ray.domain.errors import InvalidArgument, TooLarge
from akidb_ray.domain.flattening import Flat, flatten
from akidb_ray.domain.ids import document_hash
from akidb_ray.segment.arrow_batches import check_schema, decode_stream, encode_stream
from akidb_ray.storage.filesystem import Bytes

# Offsets, length, expiry and bits of presence; generously.
_FIXED_BYTES_PER_ROW = 64
# At most so much takes the rest of a stream: the schema, and what says where each array is.
FRAMING_BYTES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n rows: unit vectors (under cosine) float32 (n, d), their former lengths float32 (n,), when
    they expire float64 (n,), in seconds since 1970, infinity for never.

    `flats` are the flattened payloads, not stored but made again.
    """

    ids: Sequence[str]
    vectors: Vectors
    lengths: NDArray[np.float32]
    texts: Sequence[str | None]
    payloads: Sequence[bytes | None]
    expires_at: Times
    flats: Sequence[Flat]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> "Rows":
        return Rows(
            ids=[self.ids[row] for row in rows],
            vectors=self.vectors[rows],
            lengths=self.lengths[rows],
            texts=[self.texts[row] for row in rows],
            payloads=[self.payloads[row] for row in rows],
            expires_at=self.expires_at[rows],
            flats=[self.flats[row] for row in rows],
        )


def rows_of(batch: DocumentBatch, metric: Metric) -> Rows:
    """Prepare a batch with checked vectors for storing; of documents with the same id the last
    one wins.

    Raises InvalidArgument for a payload that is no JSON object: in the log it would be in the way
    of every opening; and for an expiry that is no time.
    """
    expires_at = _expiry_of(batch)
    flats = [flat_of(payload, row) for row, payload in enumerate(batch.payloads)]
    last = {document_id: position for position, document_id in enumerate(batch.ids)}
    if len(last) < len(batch):
        kept = sorted(last.values())
        batch, flats = batch.take(kept), [flats[row] for row in kept]
        expires_at = expires_at[kept]
    if metric is Metric.COSINE:
        vectors = np.ascontiguousarray(batch.vectors, np.float32)
        lengths = lengths_of(vectors)
        vectors = vectors / lengths[:, None]
    else:
        # A copy, since the log shares its memory and the caller's array is the caller's.
        vectors = np.array(batch.vectors, np.float32, order="C")
        lengths = np.ones(len(vectors), np.float32)
    return Rows(batch.ids, vectors, lengths, batch.texts, batch.payloads, expires_at, flats)


def _expiry_of(batch: DocumentBatch) -> Times:
    if batch.expires_at is None:
        return np.full(len(batch), NEVER)
    expires_at = np.asarray(batch.expires_at, np.float64)
    if expires_at.shape != (len(batch),):
        raise InvalidArgument("expires_at", f"must be {len(batch)} times")
    bad = np.flatnonzero(~(expires_at >= 0))
    if len(bad):
        raise InvalidArgument("expires_at", "must be seconds since 1970", int(bad[0]))
    return expires_at


def lengths_of(vectors: Vectors) -> NDArray[np.float32]:
    """Lengths of the rows. The squares of a short vector have few or no bits left in float32."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    lengths: NDArray[np.float32] = np.sqrt(squares).astype(np.float32)
    return lengths


def flat_of(payload: bytes | None, row: int | None = None) -> Flat:
    """What filters see of a payload. Raises InvalidArgument, naming the row."""
    if payload is None:
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
    return np.fromiter(map(document_hash, ids), np.uint64, len(ids))


def size_of(rows: Rows) -> NDArray[np.int64]:
    """At most so many bytes does each row take when it is encoded: int64 (n,). The stream that
    holds them takes up to FRAMING_BYTES more.
    """
    fixed = 4 * rows.vectors.shape[1] + _FIXED_BYTES_PER_ROW
    contents = zip(rows.ids, rows.texts, rows.payloads, strict=True)
    return np.fromiter(
        (fixed + 4 * len(i) + 4 * len(t or "") + len(p or b"") for i, t, p in contents),
        np.int64,
        len(rows),
    )


def split_rows(rows: Rows, max_bytes: int) -> list[Rows]:
    """Parts whose rows take at most `max_bytes` together, as `size_of` counts.

    Raises TooLarge for a row that does not fit.
    """
    sizes = size_of(rows)
    if int(sizes.sum()) <= max_bytes:
        return [rows]
    parts: list[Rows] = []
    start, held = 0, 0
    for row, size in enumerate(sizes.tolist()):
        if size > max_bytes:
            raise TooLarge("documents", max_bytes, "bytes for one document")
        if held + size > max_bytes:
            parts.append(rows.take(range(start, row)))
            start, held = row, 0
        held += size
    return [*parts, rows.take(range(start, len(rows)))]


def _schema(dimension: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("id", pa.large_string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
            pa.field("length", pa.float32(), nullable=False),
            pa.field("text", pa.large_string()),
            pa.field("payload", pa.large_binary()),
            pa.field("expires_at", pa.float64(), nullable=False),
        ]
    )


def encode_rows(rows: Rows) -> list[Bytes]:
    """An Arrow IPC stream with one batch: no work per row when it is read again.

    The parts share the memory of large arrays. Raises InvalidArgument for an id or a text that is
    no valid Unicode.
    """
    dimension = rows.vectors.shape[1]
    flat = pa.array(rows.vectors.reshape(-1), pa.float32())
    schema = _schema(dimension)
    try:
        columns = [
            pa.array(rows.ids, pa.large_string()),
            pa.FixedSizeListArray.from_arrays(flat, dimension),
            pa.array(rows.lengths, pa.float32()),
            pa.array(rows.texts, pa.large_string()),
            pa.array(rows.payloads, pa.large_binary()),
            pa.array(rows.expires_at, pa.float64()),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        check_schema(batch, schema)
    except (ValueError, TypeError) as error:
        raise InvalidArgument("documents", f"cannot be stored: {error}") from None
    return encode_stream(batch)


def decode_rows(data: memoryview) -> Rows:
    """Raises ValueError for bytes that are no such stream."""
    batch = decode_stream(data)
    kinds = batch.schema.types
    if len(kinds) < 2 or not pa.types.is_fixed_size_list(kinds[1]):
        raise ValueError("has no vectors")
    dimension = kinds[1].list_size
    check_schema(batch, _schema(dimension))
    payloads = batch.column("payload").to_pylist()
    try:
        flats = [flat_of(payload, row) for row, payload in enumerate(payloads)]
    except InvalidArgument as error:
        raise ValueError(error.detail) from error
    return Rows(
        ids=batch.column("id").to_pylist(),
        vectors=batch.column("vector").flatten().to_numpy().reshape(len(payloads), dimension),
        lengths=batch.column("length").to_numpy(),
        texts=batch.column("text").to_pylist(),
        payloads=payloads,
        expires_at=batch.column("expires_at").to_numpy(),
        flats=flats,
    )
