"""The cache of masks: what it keeps, what it drops, what it must not mix up."""

import threading
from pathlib import PurePosixPath

import numpy as np
import pytest

from akidb_ray.domain.filter import Filter, HasId, Match, MatchText, Range
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.mask_cache import MaskCache
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.segment_writer import write_segment
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.unit.segment.rows_of_documents import DIMENSION, all_of, growing_with

SEGMENT, OTHER = object(), object()
ROWS = 10_000


def _filter(number: int) -> Filter:
    return Filter((Match("n", (number,)),))


class _Maker:
    """Makes masks, and counts them."""

    def __init__(self, rows: int = ROWS) -> None:
        self.rows = rows
        self.made = 0

    def __call__(self) -> RowMask:
        self.made += 1
        return np.arange(self.rows) % 7 == self.made % 7


def test_mask_is_made_once_and_cannot_be_written_into() -> None:
    cache, make = MaskCache(1_000_000), _Maker()
    first = cache.mask(SEGMENT, _filter(1), make)
    assert cache.mask(SEGMENT, Filter((Match("n", (1,)),)), make) is first
    assert make.made == 1
    with pytest.raises(ValueError, match="read-only"):
        first[0] = True


def test_masks_of_other_segments_and_filters_are_others() -> None:
    cache, make = MaskCache(1_000_000), _Maker()
    for segment in (SEGMENT, OTHER):
        for number in (1, 2):
            cache.mask(segment, _filter(number), make)
    assert (make.made, len(cache)) == (4, 4)


def test_equal_values_of_other_types_are_told_apart() -> None:
    cache, make = MaskCache(1_000_000), _Maker()
    one = Filter((Filter(should=(Match("n", (1,)), Match("n", ("x",)))),))
    true = Filter((Filter(should=(Match("n", (True,)), Match("n", ("x",)))),))
    assert one == true
    cache.mask(SEGMENT, one, make)
    cache.mask(SEGMENT, true, make)
    assert make.made == 2


def test_what_was_used_longest_ago_goes_first_and_the_budget_holds() -> None:
    cache, make = MaskCache(60_000), _Maker()
    for number in range(5):
        cache.mask(SEGMENT, _filter(number), make)
    cache.mask(SEGMENT, _filter(0), make)
    assert make.made == 5
    cache.mask(SEGMENT, _filter(5), make)
    assert (len(cache), make.made) == (5, 6)
    assert 50_000 < cache.size_bytes <= 60_000
    cache.mask(SEGMENT, _filter(0), make)
    assert make.made == 6
    cache.mask(SEGMENT, _filter(1), make)
    assert make.made == 7


def test_mask_above_a_quarter_of_the_budget_is_not_kept() -> None:
    cache, make = MaskCache(4 * ROWS), _Maker()
    for _ in range(2):
        cache.mask(SEGMENT, _filter(1), make)
    assert (make.made, len(cache), cache.size_bytes) == (2, 0, 0)
    small = _Maker(ROWS // 2)
    for _ in range(2):
        cache.mask(SEGMENT, _filter(1), small)
    assert (small.made, len(cache)) == (1, 1)


def test_values_of_the_filter_count_too() -> None:
    cache, make = MaskCache(1_000_000), _Maker(10)
    cache.mask(SEGMENT, Filter((Match("n", tuple(map(str, range(1_000)))),)), make)
    assert 50_000 < cache.size_bytes < 100_000
    cache.mask(SEGMENT, Filter((MatchText("n", ("x" * 300_000,)),)), make)
    assert len(cache) == 1


def test_without_a_budget_nothing_is_kept() -> None:
    cache, make = MaskCache(0), _Maker(0)
    for _ in range(2):
        cache.mask(SEGMENT, _filter(1), make)
    assert (make.made, len(cache)) == (2, 0)


def test_ids_alone_are_not_worth_a_place() -> None:
    cache, make = MaskCache(1_000_000), _Maker()
    ids = Filter((HasId(("a",)),), must_not=(Filter((HasId(("b",)),)),))
    cache.mask(SEGMENT, ids, make)
    assert len(cache) == 0
    cache.mask(SEGMENT, Filter((HasId(("a",)), Range("n", gt=1))), make)
    assert len(cache) == 1


def test_many_threads_share_a_cache() -> None:
    cache, wrong = MaskCache(50_000), []

    def work(seed: int) -> None:
        for step in range(400):
            number = (seed * 31 + step * 7) % 12
            mask = cache.mask(SEGMENT, _filter(number), lambda n=number: np.arange(ROWS) == n)
            if not (mask[number] and np.count_nonzero(mask) == 1):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 0 < cache.size_bytes <= 50_000
    assert len(cache) == cache.size_bytes // (cache.size_bytes // len(cache))


def test_segments_that_share_a_cache_have_their_own_masks() -> None:
    fs, cache = MemoryFileSystem(), MaskCache(1_000_000)
    segments = []
    for name, numbers in (("one", [1, 2]), ("two", [2, 1])):
        path = PurePosixPath("segments") / name
        growing = growing_with([{"n": number} for number in numbers])
        checksum = write_segment(fs, path, [all_of(growing)], DIMENSION)
        segments.append(SealedSegment.open(fs, path, checksum, masks=cache))
    for _ in range(2):
        masks = [segment.filter_mask(_filter(1), 2).tolist() for segment in segments]
        assert masks == [[True, False], [False, True]]
    assert len(cache) == 2
    assert segments[0].filter_mask(_filter(1), 2) is segments[0].filter_mask(_filter(1), 2)
    assert segments[0].filter_mask(Filter((Match("n", (True,)),)), 2).tolist() == [False, False]
