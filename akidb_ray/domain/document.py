"""Documents and batches of them, checked before anything is written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import InvalidArgument

Vectors = NDArray[np.float32]
Times = NDArray[np.float64]
NEVER = math.inf
_MAX_SQUARES = float(np.finfo(np.float32).max)
# Sums of squares between these are right under every metric.
_SHORT, _LONG = 1e-30, 1e37


@dataclass(frozen=True, slots=True, eq=False)
class DocumentBatch:
    """n documents, column by column.

    `vectors` is float32 (n, dimension), as the user gave them. `payloads` hold one JSON object
    each, encoded in UTF-8, or None. `expires_at` is float64 (n,), in seconds since 1970, infinity
    for a document that never expires; None when none of them does.
    """

    ids: Sequence[str]
    vectors: Vectors
    texts: Sequence[str | None]
    payloads: Sequence[bytes | None]
    expires_at: Times | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> "DocumentBatch":
        return DocumentBatch(
            ids=[self.ids[row] for row in rows],
            vectors=self.vectors[rows],
            texts=[self.texts[row] for row in rows],
            payloads=[self.payloads[row] for row in rows],
            expires_at=None if self.expires_at is None else self.expires_at[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class StoredDocument:
    """A document as a shard holds it. `version` is the sequence of the write that made it."""

    id: str
    version: int
    vector: Vectors | None = None
    text: str | None = None
    payload: bytes | None = None
    expires_at: float = NEVER


def check_vectors(vectors: Vectors, dimension: int, metric: Metric, field: str = "vector") -> None:
    """Refuse what no index can hold: a wrong width, NaN, infinity, zero length under cosine, or one
    that is so long that distances would overflow.

    `vectors` is float32 (n, d). Raises InvalidArgument that names the row.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InvalidArgument(field, f"must have {dimension} numbers, has {vectors.shape[-1]}")
    # One pass over the squares finds all three. No product of two vectors is above their larger
    # sum of squares, but the squared distance of opposite ones is up to four times as large.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.vecdot(vectors, vectors)
    most = _MAX_SQUARES / 8 if metric is Metric.L2 else _MAX_SQUARES
    fits = squares <= most
    if not fits.all():
        row = int(fits.argmin())
        raise InvalidArgument(field, _what_is_wrong(vectors[row]), row)
    if metric is Metric.COSINE and not squares.all():
        reason = "has length zero, so it has no direction for the cosine metric"
        raise InvalidArgument(field, reason, int((squares != 0).argmin()))


def check_vector(vector: Vectors, dimension: int, metric: Metric) -> None:
    """The same for the vector of a search, float32 (d,)."""
    if vector.shape == (dimension,):
        with np.errstate(over="ignore", invalid="ignore"):
            squares = vector.dot(vector)
        if _SHORT < squares < _LONG:
            return
    # It may be wrong: this says what is.
    try:
        check_vectors(vector[None, :], dimension, metric)
    except InvalidArgument as error:
        raise InvalidArgument("vector", error.fields["reason"]) from None


def _what_is_wrong(vector: Vectors) -> str:
    if np.isnan(vector).any():
        return f"has NaN at position {int(np.flatnonzero(np.isnan(vector))[0])}"
    if np.isinf(vector).any():
        return f"has infinity at position {int(np.flatnonzero(np.isinf(vector))[0])}"
    return "is too long: the sum of its squares, or a distance to it, overflows float32"
