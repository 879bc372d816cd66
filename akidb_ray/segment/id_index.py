"""The index of ids of a sealed segment: 64-bit hashes of the ids, sorted, with their rows.

It takes 12 bytes a row, and is searched where it is mapped. Different ids may have the same hash,
so whoever asks compares the ids of the rows that it gets.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from akidb_ray.segment.rows import hashes_of
from akidb_ray.storage.filesystem import Bytes

_HASH_BYTES, _ROW_BYTES = 8, 4


@dataclass(frozen=True, slots=True, eq=False)
class IdIndex:
    """`hashes` uint64 (m,) rise; `rows` uint32 (m,) are the rows that have them."""

    hashes: NDArray[np.uint64]
    rows: NDArray[np.uint32]

    def rows_of(self, hash: int) -> NDArray[np.uint32]:
        """The rows whose id has this hash."""
        wanted = np.uint64(hash)
        first = int(np.searchsorted(self.hashes, wanted))
        if first == len(self.hashes) or self.hashes[first] != wanted:
            return self.rows[:0]
        return self.rows[first : int(np.searchsorted(self.hashes, wanted, "right"))]

    def pairs(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(positions in `hashes`, rows) of all pairs with the same hash: two int64 (m,)."""
        first = np.searchsorted(self.hashes, hashes)
        found = np.flatnonzero(first < len(self.hashes))
        found = found[self.hashes[first[found]] == hashes[found]]
        first = first[found]
        counts = np.searchsorted(self.hashes, hashes[found], "right") - first
        # The n-th of the places that one hash has, for each of its pairs.
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self.rows[np.repeat(first, counts) + nth]
        return np.repeat(found, counts), rows.astype(np.int64)

    def rows_with_shared_hashes(self) -> NDArray[np.int64]:
        """Rows whose hash another row has too: int64 (m,)."""
        same = np.flatnonzero(self.hashes[1:] == self.hashes[:-1])
        return self.rows[np.union1d(same, same + 1)].astype(np.int64)


def encode_ids(ids: pa.Array) -> list[Bytes]:
    """Index the ids that are not null."""
    rows = np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))
    hashes = hashes_of(ids.drop_null().to_pylist())
    order = np.argsort(hashes, kind="stable")
    return [hashes[order].tobytes(), rows[order].astype(np.uint32).tobytes()]


def rows_by_id(ids: pa.Array) -> NDArray[np.uint32]:
    """The rows whose id is not null, in the order of their ids, by code point: uint32 (m,)."""
    # Arrow compares bytes of UTF-8, which have the order of the characters that they stand for.
    order = pc.array_sort_indices(ids, null_placement="at_end").to_numpy()
    rows: NDArray[np.uint32] = order[: len(ids) - ids.null_count].astype(np.uint32)
    return rows


def decode_ids(data: memoryview, ids: pa.Array) -> IdIndex:
    """The index over mapped bytes. Raises ValueError when it cannot be one of `ids`."""
    count = len(ids) - ids.null_count
    if len(data) != count * (_HASH_BYTES + _ROW_BYTES):
        raise ValueError(f"the index of ids has {len(data)} bytes for {count} ids")
    hashes = np.frombuffer(data[: _HASH_BYTES * count], np.uint64)
    rows = np.frombuffer(data[_HASH_BYTES * count :], np.uint32)
    if count and int(rows.max()) >= len(ids):
        raise ValueError("the index of ids names rows that are not there")
    if np.any(hashes[1:] < hashes[:-1]):
        raise ValueError("the index of ids is not sorted")
    return IdIndex(hashes, rows)
