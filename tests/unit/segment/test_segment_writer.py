"""Sealed segments as they are written: from growing ones, from sealed ones, with dead rows."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.document import NEVER
from akidb_ray.domain.filter import Filter, Match
from akidb_ray.segment.columns import MAX_PATHS
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import hashes_of
from akidb_ray.segment.sealed import COLUMNS, IDS, POSTINGS, VECTORS, SealedSegment
from akidb_ray.segment.segment_writer import Source
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import (
    DIMENSION,
    PATH,
    Payloads,
    all_of,
    growing_with,
    rows_with,
    sealed_of,
)

ONE, TWO, MERGED = (PurePosixPath("segments") / name for name in ("one", "two", "merged"))
MIXED: list[dict[str, Any] | None] = [
    {"n": 1, "s": "a", "b": True, "l": [1, 2.5, "x", False]},
    None,
    {"n": 1.0, "s": "ä", "big": 2**64 - 1},
    {},
    {"n": "1", "s": ["日本", "a", "\U0001f600"], "deep": {"a": [{"b": 1}, {"b": None}]}},
    {"n": -0.0, "s": "", "b": [False, True]},
    {"n": 0, "s": "a"},
    {"n": None, "l": []},
]


def _bytes_of(fs: OsFileSystem, path: PurePosixPath) -> dict[str, bytes]:
    return {name: fs.read(path / name) for name in (VECTORS, IDS, COLUMNS, POSTINGS)}


def _assert_same(fs: OsFileSystem, left: PurePosixPath, right: PurePosixPath) -> None:
    assert _bytes_of(fs, left) == _bytes_of(fs, right)


def _two(payloads: Payloads) -> tuple[GrowingSegment, GrowingSegment, GrowingSegment]:
    """Two segments, and a third with the rows of both."""
    one, two = growing_with(payloads, "one"), GrowingSegment(DIMENSION)
    expiring = rows_with(payloads[::-1], "two", expires_at=[NEVER, 5.0] * (len(payloads) // 2))
    two.append(expiring, version=9)
    both = growing_with(payloads, "one")
    both.append(expiring, version=9)
    return one, two, both


WIDE = [{f"path{number}": number} for number in range(MAX_PATHS // 2 + 10)]
TOO_WIDE = [{f"path{number}": number} for number in range(MAX_PATHS + 10)]


@pytest.mark.parametrize("payloads", [MIXED, MIXED * 50, WIDE, TOO_WIDE], ids=range(4))
def test_merged_segment_is_what_its_rows_would_be_written_at_once(
    fs: OsFileSystem, payloads: Payloads
) -> None:
    one, two, both = _two(payloads)
    parts = [sealed_of(fs, all_of(one), path=ONE), sealed_of(fs, all_of(two), path=TWO)]
    merged = sealed_of(fs, *map(all_of, parts), path=MERGED)
    written = sealed_of(fs, all_of(both))
    assert merged.documents().equals(written.documents())
    _assert_same(fs, MERGED, PATH)
    np.testing.assert_array_equal(merged.expires_at, written.expires_at)


@pytest.mark.parametrize("payloads", [MIXED, MIXED * 50], ids=range(2))
def test_merge_of_some_rows_is_what_those_would_be_written_at_once(
    fs: OsFileSystem, payloads: Payloads
) -> None:
    one, two, both = _two(payloads)
    rows = [np.arange(0, len(one), 2), np.arange(1, len(two), 3)]
    parts = [sealed_of(fs, all_of(one), path=ONE), sealed_of(fs, all_of(two), path=TWO)]
    merged = sealed_of(fs, *map(Source, parts, rows), path=MERGED)
    written = sealed_of(fs, Source(both, np.concatenate([rows[0], len(one) + rows[1]])))
    assert merged.documents().equals(written.documents())
    _assert_same(fs, MERGED, PATH)


def _alive(count: int) -> np.ndarray:
    return np.arange(count) % 3 != 1


@pytest.mark.parametrize("kind", ["growing", "sealed", "growing and sealed"])
def test_of_a_dead_row_only_the_vector_is_carried_on(fs: OsFileSystem, kind: str) -> None:
    one, two, both = _two(MIXED)
    sources: list[GrowingSegment | SealedSegment] = [both] if kind == "growing" else [one, two]
    if kind != "growing":
        sources[-1] = sealed_of(fs, all_of(two), path=TWO)
    if kind == "sealed":
        sources[0] = sealed_of(fs, all_of(one), path=ONE)
    alive = _alive(len(both))
    starts = np.cumsum([0, *map(len, sources)])
    segment = sealed_of(
        fs,
        *(
            Source(source, np.arange(len(source)), alive[start : start + len(source)])
            for source, start in zip(sources, starts, strict=False)
        ),
        path=MERGED,
    )
    assert segment.born_dead is not None
    assert segment.born_dead.tolist() == (~alive).tolist()
    np.testing.assert_array_equal(segment.vectors, both.vectors[: len(both)])
    for row in range(len(both)):
        document_id = both.id(row)
        if alive[row]:
            assert segment.find(document_id, len(both)) == row
            assert segment.row(row) == both.row(row)
        else:
            assert segment.find(document_id, len(both)) == -1
            assert list(segment.find_many([document_id], hashes_of([document_id]))) == []
            stored = segment.row(row)
            assert (stored.id, stored.version, stored.length) == ("", 0, 1.0)
            assert (stored.text, stored.payload, stored.expires_at) == (None, None, NEVER)
    for key, value in (("n", 1), ("s", "a"), ("s", "日本"), ("b", True), ("deep.a[].b", 1)):
        filter = Filter((Match(key, (value,)),))
        mask = both.filter_mask(filter, len(both)) & alive
        found = segment.filter_mask(filter, len(both))
        assert found.tolist() == mask.tolist(), key
    assert segment.find("", len(both)) == -1


def test_dead_rows_are_carried_on_again_and_may_be_left_behind(fs: OsFileSystem) -> None:
    growing = growing_with(MIXED)
    alive = _alive(len(growing))
    first = sealed_of(fs, Source(growing, np.arange(len(growing)), alive), path=ONE)
    again = sealed_of(fs, Source(first, np.arange(len(growing)), alive), path=TWO)
    assert again.documents().equals(first.documents())
    _assert_same(fs, ONE, TWO)
    left = sealed_of(fs, Source(again, np.flatnonzero(alive)), path=MERGED)
    written = sealed_of(fs, Source(growing, np.flatnonzero(alive)))
    assert left.born_dead is None
    assert left.documents().equals(written.documents())
    _assert_same(fs, MERGED, PATH)


def test_segment_without_dead_rows_says_so(fs: OsFileSystem) -> None:
    assert sealed_of(fs, all_of(growing_with(MIXED))).born_dead is None


def test_rows_of_an_attached_segment_have_its_version_and_keep_it(fs: OsFileSystem) -> None:
    attached = sealed_of(fs, all_of(growing_with(MIXED)), path=ONE, attached_at=99)
    assert {attached.row(row).version for row in range(len(attached))} == {99}
    merged = sealed_of(fs, all_of(attached), all_of(growing_with(MIXED, "other")), path=TWO)
    versions = [merged.row(row).version for row in range(len(merged))]
    assert versions == [99] * len(MIXED) + [7] * len(MIXED)


def test_dead_row_of_an_attached_segment_stays_blank_in_a_merge(fs: OsFileSystem) -> None:
    alive = np.arange(len(MIXED)) != 2
    source = Source(growing_with(MIXED), np.arange(len(MIXED)), alive)
    attached = sealed_of(fs, source, path=ONE, attached_at=99)
    merged = sealed_of(fs, Source(attached, np.arange(len(MIXED)), alive), path=TWO)
    assert (merged.row(1).version, merged.row(2).version) == (99, 0)
    assert merged.ids.null_count == 1


def test_chosen_rows_of_all_sources_are_kept_in_order(fs: OsFileSystem) -> None:
    one, two = growing_with([None] * 20), growing_with([None] * 5, "other")
    chosen = [Source(segment, np.arange(1, len(segment), 2)) for segment in (one, two)]
    sealed = sealed_of(fs, *chosen)
    ids = [f"doc-{row}" for row in range(1, 20, 2)] + ["other-1", "other-3"]
    assert [sealed.id(row) for row in range(len(sealed))] == ids
    np.testing.assert_array_equal(sealed.vectors[10], two.vectors[1])


def test_large_segment_is_written_in_several_blocks(fs: OsFileSystem) -> None:
    growing, count = GrowingSegment(4096), 600
    growing.append(rows_with([None] * count, dimension=4096), version=1)
    sealed = sealed_of(fs, all_of(growing), dimension=4096)
    np.testing.assert_array_equal(sealed.vectors, growing.vectors[:count])
    assert sealed.find("doc-599", count) == 599


@pytest.mark.parametrize("counts", [[0], [0, 0], [0, 3], [3, 0, 2]])
def test_sources_without_rows_do_no_harm(fs: OsFileSystem, counts: Sequence[int]) -> None:
    empty = np.empty(0, np.int64)
    growing = [growing_with([{"n": 1}] * 4, f"part {number}") for number in range(len(counts))]
    sealed = [
        sealed_of(fs, all_of(segment), path=PATH.with_name(str(number)))
        for number, segment in enumerate(growing)
    ]
    for sources in (growing, sealed):
        chosen = [
            Source(segment, np.arange(count) if count else empty)
            for segment, count in zip(sources, counts, strict=True)
        ]
        segment = sealed_of(fs, *chosen)
        assert len(segment) == sum(counts)
        mask = segment.filter_mask(Filter((Match("n", (1,)),)), len(segment))
        assert mask.tolist() == [True] * sum(counts)


def test_segment_of_dead_rows_only_holds_no_document(fs: OsFileSystem) -> None:
    growing = growing_with(MIXED)
    sealed = sealed_of(fs, Source(growing, np.arange(8), np.zeros(8, np.bool_)))
    assert sealed.born_dead is not None
    assert sealed.born_dead.all()
    assert sealed.find("doc-0", 8) == -1
    np.testing.assert_array_equal(sealed.vectors, growing.vectors[:8])
    ids = ["doc-0", "doc-1"]
    assert list(sealed.find_many(ids, hashes_of(ids))) == []
