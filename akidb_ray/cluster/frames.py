"""How calls travel over a stream: a header, then a pickled value.

Header, little-endian: length of the value (4 bytes), kind (1). A connection carries one call at a
time, so an answer needs no number. Pickle is what Ray itself moves these values with; a stream is
read only after its other end has proved that it knows a secret which Ray alone hands out
(`handshake`), so nobody gets to run code here who could not before.
"""

import pickle
import struct
from dataclasses import dataclass
from enum import IntEnum
from io import BufferedReader
from typing import Any

from akidb_ray.domain.errors import Internal, TooLarge

_HEADER = struct.Struct("<IB")
_PROTOCOL = 5
MAX_FRAME_BYTES = 2**32 - 1


class Kind(IntEnum):
    """REQUEST carries (method, items), ANSWER what it answers, FAILURE one of our errors for all
    of the call.
    """

    REQUEST = 1
    ANSWER = 2
    FAILURE = 3


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    raw: bytes | memoryview

    def value(self) -> Any:
        """Raises Internal when this process can't make sense of it: the other may be of another
        version.
        """
        try:
            return pickle.loads(self.raw)  # noqa: S301 (see above)
        except Exception as error:
            raise Internal(f"a value of the stream can't be read: {error}") from error


def encode(kind: Kind, value: Any) -> bytes:
    """Raises TooLarge for what no header can describe."""
    raw = pickle.dumps(value, _PROTOCOL)
    if len(raw) > MAX_FRAME_BYTES:
        raise TooLarge("batch", MAX_FRAME_BYTES, "bytes between gateway and shard host")
    return _HEADER.pack(len(raw), kind) + raw


def read_frame(stream: BufferedReader) -> Frame | None:
    """The next frame; None where the stream ends. Raises OSError when it breaks, and ValueError for
    what is no frame.
    """
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length, kind = _HEADER.unpack(header)
    raw = stream.read(length)
    return Frame(Kind(kind), raw) if len(raw) == length else None


class Assembler:
    """Makes frames of the pieces in which they come in."""

    def __init__(self) -> None:
        self._pieces = bytearray()

    def add(self, piece: bytes) -> Frame | None:
        """The frame that this piece completes. Raises ValueError for what is no frame."""
        if self._pieces:
            self._pieces += piece
            whole = self._whole(self._pieces)
        else:
            # Most come in one piece, and are read where they are.
            whole = self._whole(piece)
            if whole is None:
                self._pieces += piece
        if whole is not None:
            self._pieces = bytearray()
        return whole

    def _whole(self, pieces: bytes | bytearray) -> Frame | None:
        if len(pieces) < _HEADER.size:
            return None
        length, kind = _HEADER.unpack_from(pieces)
        missing = _HEADER.size + length - len(pieces)
        if missing < 0:
            raise ValueError("more came than was asked for")
        return None if missing else Frame(Kind(kind), memoryview(pieces)[_HEADER.size :])
