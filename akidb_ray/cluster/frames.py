"""How calls travel over a stream: a header, then a pickled value.

Header, little-endian: length of the value (4 bytes), number of the call (4), kind (1). Pickle is
what Ray itself moves these values with; a stream is read only after its other end has proved that
it knows a secret which Ray alone hands out (`handshake`), so nobody gets to run code here who could
not before.
"""

import asyncio
import pickle
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from akidb_ray.domain.errors import Internal, TooLarge

_HEADER = struct.Struct("<IIB")
_PROTOCOL = 5
MAX_FRAME_BYTES = 2**32 - 1
# Of a stream's reader: a batch of usual size comes in at one go.
BUFFER_BYTES = 4 * 1024**2


class Kind(IntEnum):
    """REQUEST carries (method, items), ANSWER what it answers, FAILURE one of our errors for all
    of the call. CANCEL is empty: nobody waits for the answer any more.
    """

    REQUEST = 1
    ANSWER = 2
    FAILURE = 3
    CANCEL = 4


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    number: int
    raw: bytes

    def value(self) -> Any:
        """Raises Internal when this process can't make sense of it: the other may be of another
        version.
        """
        try:
            return pickle.loads(self.raw)  # noqa: S301 (see above)
        except Exception as error:
            raise Internal(f"a value of the stream can't be read: {error}") from error


def encode(kind: Kind, number: int, value: Any = None) -> bytes:
    """Raises TooLarge for what no header can describe."""
    raw = b"" if value is None else pickle.dumps(value, _PROTOCOL)
    if len(raw) > MAX_FRAME_BYTES:
        raise TooLarge("batch", MAX_FRAME_BYTES, "bytes between gateway and shard host")
    return _HEADER.pack(len(raw), number, kind) + raw


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Raises IncompleteReadError at the end of the stream, OSError when it breaks, and ValueError
    for what is no frame.
    """
    length, number, kind = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    return Frame(Kind(kind), number, await reader.readexactly(length) if length else b"")
