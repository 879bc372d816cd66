"""Vectors on their way to and from the server: base64 of little-endian float32.

numpy arrays are taken, and given when numpy is installed; without it, lists of floats.
"""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

np: Any
try:
    import numpy

    np = numpy
except ImportError:
    np = None

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector: TypeAlias = "Sequence[float] | NDArray[Any]"
    Vectors: TypeAlias = "Iterable[Vector] | NDArray[Any]"


def encode_vector(vector: Vector) -> str:
    """The base64 text of a vector, of shape (dimension,) and any type of real numbers.

    Raises TypeError or ValueError for what is no vector. Whether its numbers are finite, and as
    many as the collection wants, is for the server to say.
    """
    if np is not None and isinstance(vector, np.ndarray):
        if vector.ndim != 1:
            raise ValueError(f"a vector has one dimension, this has the shape {vector.shape}")
        raw = vector.astype("<f4", copy=False).tobytes()
    else:
        try:
            numbers = array("f", vector)
        except TypeError as error:
            raise TypeError(f"a vector is a sequence of numbers: {error}") from None
        if sys.byteorder == "big":
            numbers.byteswap()
        raw = numbers.tobytes()
    return base64.b64encode(raw).decode("ascii")


def decode_vector(value: str | list[float]) -> Any:
    """A vector of an answer, be it base64 or numbers: float32 of shape (dimension,), or a list."""
    if np is not None:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value), "<f4").astype(np.float32)
        return np.asarray(value, np.float32)
    if not isinstance(value, str):
        return value
    numbers = array("f", base64.b64decode(value))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def rows_of(vectors: Vectors) -> Iterator[Vector]:
    """The vectors one by one. Raises ValueError when an array is not of shape (rows, dimension)."""
    if np is not None and isinstance(vectors, np.ndarray) and vectors.ndim != 2:
        raise ValueError(f"vectors have the shape (rows, dimension), these {vectors.shape}")
    return iter(vectors)
