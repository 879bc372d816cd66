"""CRC-32C, the checksum of every file and record here (several GB/s with hardware support)."""

import google_crc32c
import numpy as np

from akidb_ray.storage.filesystem import Bytes


def crc32c(*parts: Bytes, start: int = 0) -> int:
    """Checksum of the concatenation of `parts`, an unsigned 32-bit number.

    `start` is the checksum of what came before, to go on from.
    """
    checksum = start
    for part in parts:
        # The C function takes bytes and arrays but no memoryview; frombuffer copies nothing.
        readable = part if isinstance(part, bytes) else np.frombuffer(part, np.uint8)
        checksum = int(google_crc32c.extend(checksum, readable))
    return checksum
