"""The file of an hnswlib 0.8 index: its links read from it, and a file made of links and vectors.

A file is a header, then for each element its links of level 0, its vector and its label, then for
each element the size of its upper links, and these. Elements are in the order in which threads
came to add them; labels are our row numbers. All numbers are little-endian.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from akidb_ray.index.distance import Floats
from akidb_ray.index.links import FREE, Links, offsets_of

_HEADER = np.dtype(
    [
        ("offset_level_0", "<u8"),
        ("max_elements", "<u8"),
        ("count", "<u8"),
        ("element_bytes", "<u8"),
        ("label_offset", "<u8"),
        ("vector_offset", "<u8"),
        ("max_level", "<i4"),
        ("entry", "<u4"),
        ("max_m", "<u8"),
        ("max_m0", "<u8"),
        ("m", "<u8"),
        ("mult", "<f8"),
        ("ef_construction", "<u8"),
    ]
)
_BLOCK_ROWS = 8192


def read_links(path: str) -> Links:
    """The links of an index whose labels are the numbers from 0 on."""
    raw = np.memmap(path, np.uint8, "r").view(np.ndarray)
    header = raw[: _HEADER.itemsize].view(_HEADER)[0]
    count, m = int(header["count"]), int(header["m"])
    element = _element(m, (int(header["label_offset"]) - int(header["vector_offset"])) // 4)
    start = _HEADER.itemsize
    elements = raw[start : start + count * element.itemsize].view(element)
    rows = elements["label"].astype(np.int64)
    above = raw[start + count * element.itemsize :].view("<u4")
    places, sizes = _upper_links(above, count)
    levels = np.zeros(count, np.uint8)
    levels[rows[places]] = sizes // (m + 1)
    offsets = offsets_of(levels, m)
    slots = np.full(int(offsets[-1]), FREE, np.int32)
    for first in range(0, count, _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        into = offsets[rows[block], None] + np.arange(2 * m)
        slots[into] = _named(elements["links"][block], elements["count"][block], rows)
    _read_upper(above, places, sizes, rows, m, offsets, slots)
    return Links(m, int(rows[header["entry"]]), levels, slots)


def _element(m: int, dimension: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("count", "<u2"),
            ("flags", "<u2"),
            ("links", "<u4", (2 * m,)),
            ("vector", "<f4", (dimension,)),
            ("label", "<u8"),
        ]
    )


def _named(
    links: NDArray[np.uint32], counts: NDArray[np.uint16], rows: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Links between elements as links between rows; what is behind `counts` becomes free."""
    used = np.arange(links.shape[1]) < counts[:, None]
    return np.where(used, rows[np.where(used, links, 0)], FREE).astype(np.int32)


def _upper_links(above: NDArray[np.uint32], count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which elements have upper links, and how many words these take."""
    places, sizes = [], []
    marks = np.flatnonzero(above)
    place, position = 0, 0
    while True:
        # Elements without upper links have a zero each.
        found = int(np.searchsorted(marks, position))
        if found == len(marks):
            break
        place += int(marks[found]) - position
        position = int(marks[found])
        words = int(above[position]) // 4
        places.append(place)
        sizes.append(words)
        place, position = place + 1, position + 1 + words
    if place + len(above) - position != count:
        raise ValueError("has other upper links than elements")
    return np.array(places, np.int64), np.array(sizes, np.int64)


def _read_upper(
    above: NDArray[np.uint32],
    places: NDArray[np.int64],
    sizes: NDArray[np.int64],
    rows: NDArray[np.int64],
    m: int,
    offsets: NDArray[np.int64],
    slots: NDArray[np.int32],
) -> None:
    # Behind the zeros and sizes of all elements before, and behind their links.
    starts = places + 1 + np.cumsum(sizes) - sizes
    for place, start, words in zip(places.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        lists = above[start : start + words].reshape(-1, m + 1)
        counts = (lists[:, 0] & 0xFFFF).astype(np.uint16)
        into = int(offsets[rows[place]]) + 2 * m
        named = _named(lists[:, 1:], counts, rows)
        slots[into : into + named.size] = named.reshape(-1)


def write_file(
    path: str,
    links: Links,
    dimension: int,
    ef_construction: int,
    vectors: Callable[[slice], Floats],
) -> None:
    """A file of these links; `vectors` gives those of a slice of the rows, as the index is to have
    them.
    """
    m, count = links.m, len(links.levels)
    element = _element(m, dimension)
    header = np.zeros(1, _HEADER)
    header["max_elements"] = header["count"] = count
    header["element_bytes"] = element.itemsize
    header["label_offset"] = element.fields["label"][1] if element.fields else 0
    header["vector_offset"] = element.fields["vector"][1] if element.fields else 0
    header["max_level"] = int(links.levels[links.entry])
    header["entry"] = links.entry
    header["max_m"], header["max_m0"], header["m"] = m, 2 * m, m
    header["mult"] = 1 / np.log(m)
    # As hnswlib does for an index that it begins; of one that it reads it believes what is there.
    header["ef_construction"] = max(ef_construction, m)
    offsets = links.offsets
    with Path(path).open("wb") as file:
        file.write(header.data)
        for first in range(0, count, _BLOCK_ROWS):
            block = slice(first, min(first + _BLOCK_ROWS, count))
            elements = np.zeros(block.stop - first, element)
            slots = links.slots[offsets[block, None] + np.arange(2 * m)]
            elements["count"] = np.count_nonzero(slots != FREE, axis=1)
            elements["links"] = np.maximum(slots, 0)
            elements["vector"] = vectors(block)
            elements["label"] = np.arange(first, block.stop)
            file.write(elements.data)
        _write_upper(file, links, offsets)


def _write_upper(file: BinaryIO, links: Links, offsets: NDArray[np.int64]) -> None:
    m, written = links.m, 0
    for row in np.flatnonzero(links.levels).tolist():
        file.write(bytes(4 * (row - written)))
        above = links.slots[offsets[row] + 2 * m : offsets[row + 1]].reshape(-1, m)
        lists = np.empty((len(above), m + 1), "<u4")
        lists[:, 0] = np.count_nonzero(above != FREE, axis=1)
        lists[:, 1:] = np.maximum(above, 0)
        file.write(np.uint32(lists.nbytes).tobytes() + lists.tobytes())
        written = row + 1
    file.write(bytes(4 * (len(links.levels) - written)))
