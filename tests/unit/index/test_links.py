import numpy as np
import pytest

from akidb_ray.index.links import (
    FREE,
    REPEATED,
    Links,
    decode_links,
    encode_links,
    with_repeated,
    without_repeated,
)

M = 4


def _links(levels: list[int], entry: int, seed: int = 1) -> Links:
    """Links at random, the free slots of each list last."""
    rng = np.random.default_rng(seed)
    lists = []
    for level in levels:
        for size in (2 * M, *[M] * level):
            slots = np.full(size, FREE, np.int32)
            used = int(rng.integers(0, size + 1))
            slots[:used] = rng.integers(0, len(levels), used)
            lists.append(slots)
    return Links(M, entry, np.array(levels, np.uint8), np.concatenate(lists))


def _encoded(links: Links) -> bytes:
    return b"".join(bytes(part) for part in encode_links(links))


def _same(one: Links, other: Links) -> bool:
    return (
        (one.m, one.entry) == (other.m, other.entry)
        and np.array_equal(one.levels, other.levels)
        and np.array_equal(one.slots, other.slots)
    )


@pytest.mark.parametrize(
    "levels", [[0], [3], [0, 2, 0, 1], [0] * 63 + [1], [0] * 64 + [1], [1] * 64, [1, 0] * 100]
)
def test_links_come_back_as_they_went(levels: list[int]) -> None:
    links = _links(levels, int(np.argmax(levels)))
    read = decode_links(_encoded(links), len(levels), M, links.entry)
    assert _same(read, links)
    assert (read.levels.dtype, read.slots.dtype) == (np.uint8, np.int32)


def test_slots_of_a_row_lie_between_its_offsets() -> None:
    links = _links([0, 2, 0], entry=1)
    assert links.offsets.tolist() == [0, 2 * M, 6 * M, 8 * M]


def test_slots_are_read_where_they_lie() -> None:
    raw = _encoded(_links([0, 1], entry=1))
    start = np.frombuffer(raw, np.uint8).ctypes.data
    read = decode_links(raw, 2, M, 1)
    assert read.levels.ctypes.data == start
    assert read.slots.ctypes.data == start + 64


RAW = _encoded(_links([0, 1, 0], entry=1))


@pytest.mark.parametrize("size_bytes", [0, 2, 3, 63, 64, 65, len(RAW) - 4, len(RAW) - 1])
def test_cut_links_are_refused(size_bytes: int) -> None:
    with pytest.raises(ValueError, match=r"has|multiple"):
        decode_links(RAW[:size_bytes], 3, M, 1)


def test_longer_links_are_refused() -> None:
    with pytest.raises(ValueError, match="slots, which does not fit its levels"):
        decode_links(RAW + bytes(4), 3, M, 1)


@pytest.mark.parametrize("change", [{"rows": 2}, {"rows": 4}, {"m": M - 1}, {"m": M + 1}])
def test_links_of_another_shape_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="fit its levels"):
        decode_links(RAW, **({"rows": 3, "m": M, "entry": 1} | change))


@pytest.mark.parametrize("entry", [-1, 0, 2, 3])
def test_entry_that_is_not_there_or_too_low_is_refused(entry: int) -> None:
    with pytest.raises(ValueError, match="starts from a row"):
        decode_links(RAW, 3, M, entry)


@pytest.mark.parametrize("row", [-2, 3, 2**31 - 1])
def test_link_to_a_row_that_is_not_there_is_refused(row: int) -> None:
    links = _links([0, 1, 0], entry=1)
    links.slots[-1] = row
    with pytest.raises(ValueError, match="names rows that are not there"):
        decode_links(_encoded(links), 3, M, 1)


# Rows 0, 2, 3, 6 are distinct.
FIRSTS = np.array([0, 0, 2, 3, 2, 0, 6, 2])


def test_links_of_distinct_rows_become_those_of_all_and_back() -> None:
    distinct = _links([0, 1, 0, 2], entry=3)
    links = with_repeated(distinct, FIRSTS)
    repeated = [1, 4, 5, 7]
    assert links.entry == 6
    assert links.levels.tolist() == [0, REPEATED, 1, 0, REPEATED, REPEATED, 2, REPEATED]
    assert links.slots[links.offsets[repeated]].tolist() == [0, 2, 0, 2]
    assert np.diff(links.offsets)[repeated].tolist() == [1] * 4
    assert _same(without_repeated(links), distinct)
    assert _same(decode_links(_encoded(links), 8, M, 6), links)


def test_links_name_the_same_vectors_among_all_rows() -> None:
    distinct = _links([0, 1, 0, 2], entry=3)
    links = with_repeated(distinct, FIRSTS)
    rows = [0, 2, 3, 6]
    for number, row in enumerate(rows):
        before = distinct.slots[distinct.offsets[number] : distinct.offsets[number + 1]]
        after = links.slots[links.offsets[row] : links.offsets[row + 1]]
        assert after.tolist() == [rows[slot] if slot != FREE else FREE for slot in before]


def test_links_without_repeated_rows_stay_as_they_are() -> None:
    links = _links([0, 1, 0, 2], entry=3)
    assert _same(with_repeated(links, np.arange(4)), links)
    assert _same(without_repeated(links), links)


def test_search_does_not_start_from_a_repeated_row() -> None:
    links = with_repeated(_links([0, 1], entry=1), np.array([0, 1, 0]))
    with pytest.raises(ValueError, match="starts from a row"):
        decode_links(_encoded(links), 3, M, 2)
