"""Values of a mapped Arrow array of strings or bytes, without Arrow's objects.

A search reads a few ids and payloads of rows that lie apart. Arrow makes two objects for each,
which takes five times as long as the reading.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


class PackedStrings:
    """Over an array of large_string or large_binary, which is read where it is."""

    def __init__(self, array: pa.Array) -> None:
        validity, offsets, contents = array.buffers()
        # Of an empty array, there may be no buffers.
        starts = np.zeros(1, np.int64)
        if offsets is not None and offsets.size:
            starts = np.frombuffer(offsets, np.int64, len(array) + 1, 8 * array.offset)
        self._starts = memoryview(starts.data)
        self._contents = memoryview(b"" if contents is None else contents)
        self._validity = None
        if array.null_count and validity is not None:
            self._validity = memoryview(validity)
        self._first = array.offset

    def raw(self, rows: Sequence[int]) -> list[bytes | None]:
        """The bytes of these rows, None for those that have none."""
        starts, contents, validity = self._starts, self._contents, self._validity
        if validity is None:
            return [bytes(contents[starts[row] : starts[row + 1]]) for row in rows]
        return [
            bytes(contents[starts[row] : starts[row + 1]])
            if validity[(self._first + row) >> 3] >> ((self._first + row) & 7) & 1
            else None
            for row in rows
        ]

    def texts(self, rows: Sequence[int]) -> list[str | None]:
        """The same as strings."""
        return [None if raw is None else raw.decode() for raw in self.raw(rows)]
