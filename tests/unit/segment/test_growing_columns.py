"""Blocks of growing rows: when they are made, and what readers see while rows are appended."""

import threading
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.filter import Filter, HasId, Match, Range
from akidb_ray.domain.flattening import Flat, flatten
from akidb_ray.segment import growing_columns
from akidb_ray.segment.columns import MAX_PATHS
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.growing_columns import GrowingColumns
from tests.unit.segment.rows_of_documents import DIMENSION, growing_with, rows_with

LOW = Filter((Range("n", lt=3),))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_columns, "BLOCK_ROWS", 8)


def _flats(count: int, **more: Any) -> list[Flat]:
    return [flatten({"n": number % 10, **more}) for number in range(count)]


def _mask(columns: GrowingColumns, rows: int, key: str = "n") -> list[bool]:
    return columns.mask(Range(key, lt=3), np.ones(rows, np.bool_)).tolist()


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 16, 50, 200])
def test_rows_in_blocks_and_behind_them_are_filtered_alike(rows: int) -> None:
    columns = GrowingColumns(_flats(rows))
    expected = [row % 10 < 3 for row in range(rows)]
    for _ in range(4):
        assert _mask(columns, rows) == expected


def test_blocks_are_made_by_the_first_reader_and_a_few_at_a_time() -> None:
    columns = GrowingColumns(_flats(60))
    assert columns.size_bytes == 0
    sizes = []
    for _ in range(4):
        _mask(columns, 60)
        sizes.append(columns.size_bytes)
    assert 0 < sizes[0] < sizes[1] == sizes[2] == sizes[3]


def test_eight_equal_blocks_become_one_with_what_is_in_all_of_them() -> None:
    columns = GrowingColumns([flatten({"n": n, f"only {n}": [n, "x"]}) for n in range(72)])
    sizes = []
    for _ in range(3):
        _mask(columns, 72)
        sizes.append([block.row_count for block in columns._blocks])
    assert sizes == [[8] * 4, [64], [64, 8]]
    for row in (0, 9, 63, 64, 71):
        found = columns.mask(Match(f"only {row}", ("x",)), np.ones(72, np.bool_))
        assert np.flatnonzero(found).tolist() == [row]


def test_blocks_with_too_many_paths_together_stay_apart() -> None:
    each = MAX_PATHS // 8
    flats = [flatten({f"p{n // 8} {path}": 1 for path in range(each + 1)}) for n in range(64)]
    columns = GrowingColumns(flats)
    for _ in range(3):
        assert _mask(columns, 64, "p3 0") == [24 <= row < 32 for row in range(64)]
    assert [block.row_count for block in columns._blocks] == [8] * 8


def test_blocks_count_as_memory_of_the_segment() -> None:
    segment = growing_with([{"n": number} for number in range(40)])
    before = segment.size_bytes
    segment.filter_mask(LOW, 40)
    assert segment.size_bytes > before


def test_view_of_fewer_rows_than_there_are_blocks_sees_only_its_own() -> None:
    columns = GrowingColumns(_flats(80))
    for _ in range(2):
        _mask(columns, 80)
    for rows in (0, 3, 8, 13, 64, 79):
        assert _mask(columns, rows) == [row % 10 < 3 for row in range(rows)]
        counts = columns.value_counts("n", np.ones(rows, np.bool_))
        assert sum(counts.values()) == rows


def test_path_that_a_block_has_no_room_for_is_read_from_its_rows() -> None:
    wide = {f"path{number}": 1 for number in range(MAX_PATHS + 5)}
    columns = GrowingColumns(_flats(20, **wide, late=2))
    assert _mask(columns, 20, "late") == [True] * 20
    assert _mask(columns, 20) == [row % 10 < 3 for row in range(20)]
    assert columns.value_counts("late", np.arange(20) < 9) == {("number", 2): 9}


def test_newest_row_of_an_id_is_found_by_it() -> None:
    segment = GrowingSegment(DIMENSION)
    for version in (1, 2):
        segment.append(rows_with([{"n": version}] * 3), version)
    wanted = Filter((HasId(("doc-1", "doc-9")), Match("n", (1, 2))))
    assert np.flatnonzero(segment.filter_mask(wanted, 6)).tolist() == [4]
    assert np.flatnonzero(segment.filter_mask(wanted, 3)).tolist() == [1]


def test_reader_does_not_wait_for_one_that_makes_a_block() -> None:
    columns = GrowingColumns(_flats(30))
    with columns._making:
        assert _mask(columns, 30) == [row % 10 < 3 for row in range(30)]
        assert columns.size_bytes == 0


def test_readers_see_the_rows_of_their_view_while_others_are_appended() -> None:
    segment, rounds, wrong = GrowingSegment(DIMENSION), 300, []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            rows = len(segment)
            mask = segment.filter_mask(LOW, rows)
            counts = segment.value_counts("n", np.ones(rows, np.bool_))
            expected = [number % 10 < 3 for number in range(rows)]
            if mask.tolist() != expected:
                wrong.append(f"mask of {rows}")
            if sum(counts.values()) != rows or counts.get(("number", 0), 0) != (rows + 9) // 10:
                wrong.append(f"counts of {rows}")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(rounds):
        first = 5 * number
        payloads = [{"n": row % 10} for row in range(first, first + 5)]
        segment.append(rows_with(payloads, f"batch {number}"), version=number + 1)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
