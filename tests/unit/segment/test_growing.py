"""What is special about growing segments: old views of them, and the memory that they say."""

import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import NEVER, DocumentBatch
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import Rows, decode_rows, encode_rows, rows_of
from akidb_ray.segment.view import SegmentView, view_of
from tests.unit.segment.rows_of_documents import DIMENSION, growing_with, rows_with


def _view(segment: GrowingSegment) -> SegmentView:
    return view_of(segment, np.ones(len(segment), np.bool_))


def test_older_view_finds_its_own_rows() -> None:
    segment = GrowingSegment(DIMENSION)
    segment.append(rows_with([{"n": 1}] * 3), version=1)
    old = _view(segment)
    for version in range(2, 200):
        segment.append(rows_with([{"n": version}] * 3), version)
    assert len(segment) == 3 * 199
    assert old.find("doc-1", 0.0) == 1
    assert old.segment.row(1).version == 1
    assert segment.find("doc-1", len(segment)) == 3 * 198 + 1
    assert segment.find("doc-1", 7) == 4
    np.testing.assert_array_equal(old.vectors, rows_with([None] * 3).vectors)


def test_older_view_keeps_its_expiry() -> None:
    segment = GrowingSegment(DIMENSION)
    segment.append(rows_with([None] * 3), version=1)
    never = _view(segment)
    segment.append(rows_with([None] * 3, "b", expires_at=[50.0, NEVER, 60.0]), version=2)
    some = _view(segment)
    for version in range(3, 60):
        segment.append(rows_with([None] * 3, f"{version}", expires_at=[1.0, 2.0, 3.0]), version)
    assert never.expires_at is None
    assert never.alive_count(1e9) == 3
    assert some.expires_at is not None
    assert some.expires_at.tolist() == [NEVER, NEVER, NEVER, 50.0, NEVER, 60.0]
    assert some.first_expiry == 50.0
    assert some.alive(50.0).tolist() == [True, True, True, False, True, True]
    assert _view(segment).first_expiry == 1.0
    assert never.segment.row(0).expires_at == NEVER


def test_row_written_again_has_its_new_expiry_and_the_old_view_its_old_one() -> None:
    segment = GrowingSegment(DIMENSION)
    segment.append(rows_with([None], expires_at=[10.0]), version=1)
    old = _view(segment)
    segment.append(rows_with([None], expires_at=[NEVER]), version=2)
    new = view_of(segment, np.array([False, True]))
    assert (old.find("doc-0", 9.0), old.find("doc-0", 10.0)) == (0, -1)
    assert (new.find("doc-0", 9.0), new.find("doc-0", 10.0)) == (1, 1)


def test_readers_need_no_lock_while_the_writer_appends() -> None:
    segment, rounds, readers = GrowingSegment(DIMENSION), 400, 3
    views: list[SegmentView] = []
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for view in views[-1:]:
                number = view.rows // 3
                row = view.find("doc-1", 0.0)
                if row != view.rows - 2 or view.segment.row(row).version != number:
                    wrong.append(f"row {row} of {view.rows}")
                if view.alive_count(number - 1.0) != 3 or view.alive_count(float(number)) != 0:
                    wrong.append(f"alive of {view.rows}")
                if not (view.vectors[-3:] == number).all():
                    wrong.append(f"vectors of {view.rows}")

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for number in range(1, rounds + 1):
        rows = rows_with([{"n": number}] * 3, expires_at=[float(number)] * 3)
        rows.vectors[:] = number
        segment.append(rows, version=number)
        views.append(_view(segment))
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_batches_of_any_size_fit() -> None:
    segment, total = GrowingSegment(DIMENSION), 0
    for count in (0, 1, 15, 16, 17, 0, 100, 1):
        rows = rows_with([None] * count, f"batch {total}")
        segment.append(rows, version=1)
        np.testing.assert_array_equal(segment.vectors[total : total + count], rows.vectors)
        total += count
        assert len(segment) == total


def _held(make: Callable[[], Any]) -> tuple[Any, int]:
    """What `make` makes, and the memory that Python and numpy hold for it, in bytes."""
    make()
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        return made, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_segment_of_ten_rows_is_small() -> None:
    rows = rows_with([{"n": number, "genre": "jazz"} for number in range(10)], dimension=384)

    def make() -> GrowingSegment:
        segment = GrowingSegment(384)
        segment.append(rows, version=1)
        return segment

    assert _held(make)[1] < 100_000


PAYLOADS: dict[str, Callable[[int], dict[str, Any] | None]] = {
    "none": lambda n: None,
    "empty": lambda n: {},
    "one": lambda n: {"n": n + 1000},
    "three": lambda n: {"n": n + 1000, "genre": "classical", "year": 1950 + n % 70},
    "page": lambda n: {"url": f"https://example.org/{n}/index.html", "title": f"The title of {n}"},
    "chunk": lambda n: {"text": "x" * 1000, "document": f"document-{n // 10}", "page": n + 300},
    "tags": lambda n: {"tags": [f"tag {n + step}" for step in range(10)], "n": n + 1000},
    "nested": lambda n: {"meta": {"author": f"name {n}", "geo": {"lat": n / 9, "lon": n / 11}}},
    "wide": lambda n: {f"field_{number}": n + 1000 for number in range(20)},
}
TEXTS = [(None, False), ("a text of some length " * 20, True), ("日本語 " * 100, False)]


def _rows(kind: str, text: str | None, first: int, replayed: bool) -> Rows:
    numbers = range(first, first + 250)
    payloads = [PAYLOADS[kind](number) for number in numbers]
    batch = DocumentBatch(
        [f"document-{number:08d}" for number in numbers],
        np.ones((250, DIMENSION), np.float32),
        [None if text is None else f"{text} {number}" for number in numbers],
        [None if payload is None else orjson.dumps(payload) for payload in payloads],
    )
    rows = rows_of(batch, Metric.L2)
    return decode_rows(memoryview(b"".join(encode_rows(rows)))) if replayed else rows


@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize(("text", "replayed"), TEXTS)
def test_size_is_what_is_held_within_a_fifth(kind: str, text: str | None, replayed: bool) -> None:
    def make() -> GrowingSegment:
        segment = GrowingSegment(DIMENSION)
        for first in range(0, 1_000, 250):
            segment.append(_rows(kind, text, first, replayed), version=first)
        return segment

    segment, held_bytes = _held(make)
    assert segment.size_bytes == pytest.approx(held_bytes, rel=0.2)


def test_room_for_more_rows_counts() -> None:
    empty = GrowingSegment(1024)
    assert empty.size_bytes >= empty.vectors.nbytes > 0
    assert growing_with([None] * 17).vectors.nbytes >= 17 * 4 * DIMENSION
