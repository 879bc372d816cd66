"""What every kind of segment promises: growing, sealed, and merged of sealed ones."""

import math
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import NEVER, DocumentBatch
from akidb_ray.domain.filter import (
    Clause,
    Exists,
    Filter,
    HasId,
    IsNull,
    Match,
    MatchExcept,
    Range,
)
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.flattening import flatten
from akidb_ray.domain.ids import MAX_DOCUMENT_ID_BYTES
from akidb_ray.segment.columns import MAX_PATHS
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import Rows, hashes_of, rows_of
from akidb_ray.segment.segment_writer import Source
from akidb_ray.segment.view import Segment, SegmentView, view_of
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.unit.segment.rows_of_documents import all_of, rows_with, sealed_of

Make = Callable[[Rows], Segment]
PAYLOADS: list[dict[str, Any] | None] = [
    {"n": number, "tags": ["a", str(number % 3)]} if number % 4 else None for number in range(20)
]


def _growing(rows: Rows) -> GrowingSegment:
    """Written by two records, number 7 and number 8."""
    segment, half = GrowingSegment(rows.vectors.shape[1]), len(rows) // 2
    segment.append(rows.take(range(half)), version=7)
    segment.append(rows.take(range(half, len(rows))), version=8)
    return segment


def _sealed(rows: Rows) -> Segment:
    return sealed_of(MemoryFileSystem(), all_of(_growing(rows)), dimension=rows.vectors.shape[1])


def _merged(rows: Rows) -> Segment:
    fs, dimension = MemoryFileSystem(), rows.vectors.shape[1]
    growing = _growing(rows)
    third = len(rows) // 3
    numbers = np.split(np.arange(len(rows)), [third, 2 * third])
    parts = []
    for name, chosen in zip("abc", numbers, strict=True):
        path = PurePosixPath("segments") / name
        parts.append(sealed_of(fs, Source(growing, chosen), path=path, dimension=dimension))
    return sealed_of(fs, *map(all_of, parts), dimension=dimension)


@pytest.fixture(params=[_growing, _sealed, _merged], ids=["growing", "sealed", "merged"])
def make(request: pytest.FixtureRequest) -> Make:
    make: Make = request.param
    return make


def _view(segment: Segment, rows: int, dead: Sequence[int] = ()) -> SegmentView:
    live = np.ones(rows, np.bool_)
    live[list(dead)] = False
    return view_of(segment, live)


def test_every_row_is_found_by_its_id(make: Make) -> None:
    segment = make(rows_with(PAYLOADS))
    for row in range(20):
        assert segment.id(row) == f"doc-{row}"
        assert segment.find(f"doc-{row}", 20) == row
    assert segment.find("doc-20", 20) == -1
    assert segment.find("", 20) == -1


def test_rows_are_listed_in_the_order_of_their_ids(make: Make) -> None:
    segment = make(rows_with(PAYLOADS))
    for rows in (20, 20):
        listed = segment.id_order(rows).tolist()
        assert [segment.id(row) for row in listed] == sorted(f"doc-{row}" for row in range(20))
    assert set(_growing(rows_with(PAYLOADS)).id_order(7).tolist()) == set(range(7))


def test_many_ids_are_found_at_once(make: Make) -> None:
    segment = make(rows_with(PAYLOADS))
    ids = ["doc-3", "missing", "doc-0", "doc-19", "zzz"]
    assert list(segment.find_many(ids, hashes_of(ids))) == [(0, 3), (2, 0), (3, 19)]
    assert list(segment.find_many([], hashes_of([]))) == []
    assert list(segment.find_many(["no"], hashes_of(["no"]))) == []


def test_row_holds_what_was_written(make: Make) -> None:
    rows = rows_with(PAYLOADS, metric=Metric.COSINE)
    segment = make(rows)
    for row in range(20):
        stored = segment.row(row)
        assert stored.id == f"doc-{row}"
        assert stored.version == (7 if row < 10 else 8)
        assert stored.length == rows.lengths[row]
        assert stored.text == rows.texts[row]
        assert stored.payload == rows.payloads[row]
        assert stored.expires_at == NEVER
        assert [type(v) for v in (stored.version, stored.length, stored.expires_at)] == [
            int, float, float,
        ]  # fmt: skip
    np.testing.assert_array_equal(segment.vectors[:20], rows.vectors)
    assert segment.vectors.dtype == np.float32
    assert segment.expires_at is None


def _mask(segment: Segment, clause: Clause, rows: int) -> list[bool]:
    mask = segment.filter_mask(Filter((clause,)), rows)
    assert mask.dtype == np.bool_
    return mask.tolist()


@pytest.mark.parametrize(
    "clause",
    [
        Match("tags", ("a",)),
        Match("tags", ("1", "2")),
        MatchExcept("tags", ("a", "2")),
        Range("n", gt=5),
        Match("x", (1,)),
        Exists("x", wanted=False),
        IsNull("n"),
        HasId(("doc-3", "doc-19", "missing")),
        HasId(()),
        Filter(),
        Filter((Exists("n"),), (Match("tags", ("1",)), HasId(("doc-2",))), (Range("n", gt=9),)),
        Filter(must_not=(Filter(should=(Match("n", (3,)), Match("n", (5,)))),)),
    ],
)
def test_filter_means_what_it_means_for_one_document(make: Make, clause: Clause) -> None:
    filter = Filter((clause,))
    flats = [flatten(payload or {}) for payload in PAYLOADS]
    expected = [passes(filter, flat, f"doc-{row}") for row, flat in enumerate(flats)]
    assert _mask(make(rows_with(PAYLOADS)), clause, 20) == expected


def test_values_are_counted_once_for_each_allowed_row(make: Make) -> None:
    payloads = [
        {"v": [1, 1.0, 1]}, {"v": 1}, {"v": True}, {"v": ["a", "a", 2.5]}, {"v": ["a", None, []]},
        {"v": {"in": 7}}, None, {"v": "gone"},
    ]  # fmt: skip
    view = _view(make(rows_with(payloads)), 8, dead=[7])
    expected = {
        ("number", 1): 2, ("bool", True): 1, ("string", "a"): 2, ("number", 2.5): 1,
    }  # fmt: skip
    assert view.value_counts("v", view.live) == expected
    assert view.value_counts("v.in", view.live) == {("number", 7): 1}
    assert view.value_counts("v", np.arange(8) == 0) == {("number", 1): 1}
    assert view.value_counts("missing", view.live) == {}


def test_values_at_paths_above_the_limit_of_columns_are_counted(make: Make) -> None:
    count = MAX_PATHS + 20
    segment = make(rows_with([{f"path{number}": [number, "x"]} for number in range(count)]))
    for number in (0, MAX_PATHS - 1, MAX_PATHS, count - 1):
        counts = segment.value_counts(f"path{number}", np.ones(count, np.bool_))
        assert counts == {("number", number): 1, ("string", "x"): 1}


def test_paths_above_the_limit_of_columns_still_filter(make: Make) -> None:
    count = MAX_PATHS + 20
    segment = make(rows_with([{f"path{number}": number} for number in range(count)]))
    for number in (0, MAX_PATHS - 1, MAX_PATHS, count - 1, count):
        mask = _mask(segment, Match(f"path{number}", (number,)), count)
        assert np.flatnonzero(mask).tolist() == [number][: number < count]


def test_document_expires_at_its_tick(make: Make) -> None:
    times = [NEVER, 100.0, 50.0, NEVER, 100.0, 0.0]
    segment = make(rows_with([None] * 6, expires_at=times))
    assert [segment.row(row).expires_at for row in range(6)] == times
    view = _view(segment, 6)
    assert view.expires_at is not None
    assert view.expires_at.tolist() == times
    assert view.first_expiry == 0.0
    for now in (0.0, 49.9, 50.0, 99.9, math.nextafter(100.0, 0), 100.0, 1e12):
        alive = [at > now for at in times]
        assert view.alive(now).tolist() == alive
        assert view.alive_count(now) == sum(alive)
        assert [view.find(f"doc-{row}", now) >= 0 for row in range(6)] == alive
    assert view.find("doc-1", math.nextafter(100.0, 0)) == 1


def test_view_of_rows_that_do_not_expire_is_all_live_at_any_time(make: Make) -> None:
    view = _view(make(rows_with([None] * 6)), 6, dead=[2])
    assert view.expires_at is None
    assert view.first_expiry == NEVER
    for now in (0.0, 1e300, NEVER):
        assert view.alive(now) is view.live
        assert view.alive_count(now) == 5


def test_before_the_first_expiry_nothing_is_compared(make: Make) -> None:
    view = _view(make(rows_with([None] * 3, expires_at=[NEVER, 80.0, 90.0])), 3)
    assert view.alive(79.9) is view.live
    assert view.alive(80.0) is not view.live
    assert view.live.tolist() == [True] * 3


def test_filter_allows_only_what_is_alive(make: Make) -> None:
    rows = rows_with([{"n": number} for number in range(6)], expires_at=[NEVER, 10, 20] * 2)
    view = _view(make(rows), 6, dead=[3])
    some = Filter((Range("n", gte=1), Range("n", lt=5)))
    assert np.flatnonzero(view.allowed([some], 0.0)).tolist() == [1, 2, 4]
    assert np.flatnonzero(view.allowed([some, Filter()], 10.0)).tolist() == [2]
    assert np.flatnonzero(view.allowed([Filter(), Filter()], 10.0)).tolist() == [0, 2, 5]


def test_without_filters_nothing_is_compared(make: Make) -> None:
    view = _view(make(rows_with([{"n": 1}] * 3)), 3, dead=[1])
    assert view.allowed([], 0.0) is view.live
    assert view.allowed([Filter(), Filter()], 0.0) is view.live


def test_dead_row_is_not_found_in_a_view(make: Make) -> None:
    view = _view(make(rows_with([None] * 3)), 3, dead=[1])
    assert [view.find(name, 0.0) for name in ("doc-0", "doc-1", "missing")] == [0, -1, -1]
    assert (view.rows, view.live_count) == (3, 2)


def test_segment_without_rows_is_empty(make: Make) -> None:
    segment = make(rows_with([]))
    assert segment.find("doc-0", 0) == -1
    assert list(segment.find_many(["doc-0"], hashes_of(["doc-0"]))) == []
    assert _mask(segment, Match("n", (1,)), 0) == []
    assert segment.value_counts("n", np.ones(0, np.bool_)) == {}
    view = _view(segment, 0)
    assert (view.rows, view.alive_count(0.0), view.vectors.shape) == (0, 0, (0, 16))


def test_values_at_their_limits_come_back(make: Make) -> None:
    ids = ["a" * MAX_DOCUMENT_ID_BYTES, "ü" * (MAX_DOCUMENT_ID_BYTES // 2), "\0", "日本", " ", "-"]
    texts = [None, "", "\0", "x" * 100_000, "\U0001f600", "e\u0301"]
    payloads = [None, b"{}", b'{"n":null}', b'{"s":"\\u0000"}', b'{"":{"":[[]]}}', b' { "n": 1 } ']
    vectors = np.full((6, 4096), np.finfo(np.float32).tiny, np.float32)
    vectors[1], vectors[2] = np.finfo(np.float32).max, -0.0
    batch = DocumentBatch(ids, vectors, texts, payloads, np.array([0, 1e-300, 1e300, 1, 2, 3.5]))
    segment = make(rows_of(batch, Metric.DOT))
    for row, document_id in enumerate(ids):
        stored = segment.row(row)
        assert (stored.id, stored.text, stored.payload) == (document_id, texts[row], payloads[row])
        assert stored.expires_at == batch.expires_at[row]  # type: ignore[index]
        assert segment.find(document_id, 6) == row
    assert segment.vectors[:6].tobytes() == vectors.tobytes()
    assert np.flatnonzero(_mask(segment, Match("n", (1,)), 6)).tolist() == [5]


def test_payload_of_a_view_is_json_as_it_came(make: Make) -> None:
    payload = {"text": "日本", "list": [1, 2.5, None, True, {"deep": "x"}], "big": 2**64 - 1}
    stored = make(rows_with([payload])).row(0)
    assert stored.payload is not None
    assert orjson.loads(stored.payload) == payload
