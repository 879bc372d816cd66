"""The links of a graph, apart from the library that made them and from the vectors.

A file holds the levels of all rows (u8 each), zeros up to a multiple of 64 bytes, and the slots
(i32 each): row after row, 2m of level 0, then m of each level above. A free slot holds -1; free
slots come last. So the file is read where it is mapped.

Of rows with equal vectors the first alone is in the graph. The others have the level 255, and one
slot, which names the first: a search that has room for ef rows would come upon the equal ones, be
full of them, and not get past them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from akidb_ray.storage.filesystem import Bytes

FREE = -1
REPEATED = 255
_ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """`levels` uint8 (n,), `slots` int32, `entry` the row to start from, which has the highest
    level.
    """

    m: int
    entry: int
    levels: NDArray[np.uint8]
    slots: NDArray[np.int32]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the slots of each row begin, and where they all end: int64 (n + 1,)."""
        return offsets_of(self.levels, self.m)


def offsets_of(levels: NDArray[np.uint8], m: int) -> NDArray[np.int64]:
    offsets = np.zeros(len(levels) + 1, np.int64)
    np.cumsum(np.where(levels == REPEATED, 1, m * (levels.astype(np.int64) + 2)), out=offsets[1:])
    return offsets


def with_repeated(links: Links, firsts: NDArray[np.int64]) -> Links:
    """Links between the distinct of n rows, numbered in their order, as links of all rows.

    `firsts`, int64 (n,), names the first row that is equal to each.
    """
    repeated = firsts != np.arange(len(firsts))
    if not repeated.any():
        return links
    rows = np.flatnonzero(~repeated)
    levels = np.full(len(firsts), REPEATED, np.uint8)
    levels[rows] = links.levels
    offsets = offsets_of(levels, links.m)
    slots = np.empty(int(offsets[-1]), np.int32)
    names_first = _slots_of(offsets, repeated)
    slots[names_first] = firsts[repeated]
    slots[~names_first] = np.where(links.slots == FREE, FREE, rows[links.slots])
    return Links(links.m, int(rows[links.entry]), levels, slots)


def without_repeated(links: Links) -> Links:
    """The opposite."""
    repeated = links.levels == REPEATED
    if not repeated.any():
        return links
    numbers = np.cumsum(~repeated) - 1
    slots = links.slots[~_slots_of(links.offsets, repeated)]
    slots = np.where(slots == FREE, FREE, numbers[slots]).astype(np.int32)
    return Links(links.m, int(numbers[links.entry]), links.levels[~repeated], slots)


def _slots_of(offsets: NDArray[np.int64], repeated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    chosen = np.zeros(int(offsets[-1]), np.bool_)
    chosen[offsets[:-1][repeated]] = True
    return chosen


def encode_links(links: Links) -> Iterator[Bytes]:
    yield links.levels.data
    yield bytes(_padding_bytes(len(links.levels)))
    yield links.slots.data.cast("B")


def decode_links(data: Bytes, rows: int, m: int, entry: int) -> Links:
    """Links over mapped bytes. Raises ValueError for bytes that are no links of so many rows."""
    start = rows + _padding_bytes(rows)
    if len(data) < start:
        raise ValueError(f"has {len(data)} bytes for {rows} rows")
    levels = np.frombuffer(data, np.uint8, rows)
    slots = np.frombuffer(memoryview(data)[start:], np.int32)
    if len(slots) != offsets_of(levels, m)[-1]:
        raise ValueError(f"has {len(slots)} slots, which does not fit its levels")
    if not 0 <= entry < rows or levels[entry] != levels.max(initial=0, where=levels != REPEATED):
        raise ValueError("starts from a row that is not there or too low")
    if int(slots.min()) < FREE or int(slots.max()) >= rows:
        raise ValueError("names rows that are not there")
    return Links(m, entry, levels, slots)


def _padding_bytes(rows: int) -> int:
    return -rows % _ALIGNMENT_BYTES
