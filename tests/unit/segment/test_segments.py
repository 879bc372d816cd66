"""What growing and sealed segments have in common, and how one becomes the other."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.errors import Corrupt
from akidb_ray.domain.filter import Condition, Match, Range
from akidb_ray.segment.columns import MAX_PATHS
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import hashes_of
from akidb_ray.segment.sealed import SealedSegment, Source, write_segment
from akidb_ray.segment.view import Segment, view_of
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import DIMENSION, growing_with, rows_with

PATH = PurePosixPath("segments/s")
PAYLOADS: list[dict[str, Any] | None] = [
    {"n": number, "tags": ["a", str(number % 3)]} if number % 4 else None for number in range(20)
]
FILES = ["segment.json", "vectors.f32", "documents.arrow", "ids.idx", "columns.arrow"]


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path)


def _sealed(fs: OsFileSystem, *growing: GrowingSegment, keep: slice = slice(None)) -> SealedSegment:
    sources = [Source(segment, np.arange(len(segment))[keep]) for segment in growing]
    checksum = write_segment(fs, PATH, sources, DIMENSION)
    return SealedSegment.open(fs, PATH, checksum)


@pytest.fixture(params=["growing", "sealed"])
def make(request: pytest.FixtureRequest, fs: OsFileSystem) -> Callable[..., Segment]:
    def make(payloads: list[dict[str, Any] | None]) -> Segment:
        growing = growing_with(payloads)
        return growing if request.param == "growing" else _sealed(fs, growing)

    return make


def test_every_row_is_found_by_its_id(make: Callable[..., Segment]) -> None:
    segment = make(PAYLOADS)
    for row in range(20):
        assert segment.id(row) == f"doc-{row}"
        assert segment.find(f"doc-{row}", 20) == row
    assert segment.find("doc-20", 20) == -1
    assert segment.find("", 20) == -1


def test_many_ids_are_found_at_once(make: Callable[..., Segment]) -> None:
    segment = make(PAYLOADS)
    ids = ["doc-3", "missing", "doc-0", "doc-19", "zzz"]
    assert list(segment.find_many(ids, hashes_of(ids))) == [(0, 3), (2, 0), (3, 19)]
    assert list(segment.find_many([], hashes_of([]))) == []


def test_row_holds_what_was_written(make: Callable[..., Segment]) -> None:
    segment, rows = make(PAYLOADS), rows_with(PAYLOADS)
    for row in range(20):
        stored = segment.row(row)
        assert stored.id == f"doc-{row}"
        assert stored.version == 7
        assert stored.length == 1.0
        assert stored.text == rows.texts[row]
        assert stored.payload == rows.payloads[row]
    np.testing.assert_array_equal(segment.vectors[:20], rows.vectors)


@pytest.mark.parametrize(
    "condition",
    [Match("tags", ("a",)), Match("tags", ("1", "2")), Range("n", gt=5), Match("x", (1,))],
)
def test_condition_means_the_same(make: Callable[..., Segment], condition: Condition) -> None:
    expected = growing_with(PAYLOADS).condition_mask(condition, 20)
    np.testing.assert_array_equal(make(PAYLOADS).condition_mask(condition, 20), expected)


def test_paths_without_a_column_are_read_from_the_rows(fs: OsFileSystem) -> None:
    payloads = [{f"path{number}": number} for number in range(MAX_PATHS + 20)]
    growing = growing_with(payloads)
    sealed = _sealed(fs, growing)
    for number in (0, MAX_PATHS - 1, MAX_PATHS, MAX_PATHS + 19, MAX_PATHS + 20):
        condition = Match(f"path{number}", (number,))
        mask = sealed.condition_mask(condition, len(payloads))
        assert np.flatnonzero(mask).tolist() == [number][: number < len(payloads)]


def test_sealing_keeps_the_chosen_rows_of_all_sources(fs: OsFileSystem) -> None:
    one, two = growing_with(PAYLOADS), GrowingSegment(DIMENSION)
    two.append(rows_with(PAYLOADS[:5], prefix="other"), version=9)
    sealed = _sealed(fs, one, two, keep=slice(1, None, 2))
    ids = [f"doc-{row}" for row in range(1, 20, 2)] + ["other-1", "other-3"]
    assert [sealed.id(row) for row in range(len(sealed))] == ids
    assert sealed.row(10).version == 9
    np.testing.assert_array_equal(sealed.vectors[10], two.vectors[1])


def test_large_segment_is_written_in_several_blocks(fs: OsFileSystem) -> None:
    growing = growing_with([None] * 9000)
    sealed = _sealed(fs, growing)
    np.testing.assert_array_equal(sealed.vectors, growing.vectors[:9000])
    assert sealed.find("doc-8999", 9000) == 8999


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_is_found_and_the_file_named(fs: OsFileSystem, name: str) -> None:
    growing = growing_with([{"n": 1, "s": "x"}, {"n": 2.5, "b": True}])
    checksum = write_segment(fs, PATH, [Source(growing, np.arange(2))], DIMENSION)
    file = fs.root / PATH / name
    content = file.read_bytes()
    for offset in range(len(content)):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << offset % 8
        file.write_bytes(damaged)
        with pytest.raises(Corrupt) as stopped:
            SealedSegment.open(fs, PATH, checksum)
        assert stopped.value.fields["file"] == str(PATH / name)
    file.write_bytes(content)
    assert len(SealedSegment.open(fs, PATH, checksum)) == 2


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["missing", "empty", "cut", "longer"])
def test_file_of_another_size_is_corrupt(fs: OsFileSystem, name: str, change: str) -> None:
    checksum = write_segment(fs, PATH, [Source(growing_with(PAYLOADS), np.arange(20))], DIMENSION)
    file = fs.root / PATH / name
    content = file.read_bytes()
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": content[:-1], "longer": content + b"\0"}[change])
    with pytest.raises(Corrupt) as stopped:
        SealedSegment.open(fs, PATH, checksum)
    assert stopped.value.fields["file"] == str(PATH / name)


def test_missing_segment_is_corrupt(fs: OsFileSystem) -> None:
    with pytest.raises(Corrupt):
        SealedSegment.open(fs, PATH, 17)


def test_older_view_of_a_growing_segment_finds_its_own_rows() -> None:
    segment = GrowingSegment(DIMENSION)
    segment.append(rows_with([{"n": 1}] * 3), version=1)
    old = view_of(segment, np.ones(3, np.bool_))
    for version in range(2, 200):
        segment.append(rows_with([{"n": version}] * 3), version)
    assert len(segment) == 3 * 199
    assert old.find("doc-1") == 1
    assert old.segment.row(1).version == 1
    assert segment.find("doc-1", len(segment)) == 3 * 198 + 1
    assert segment.find("doc-1", 7) == 4
    np.testing.assert_array_equal(old.vectors, rows_with([None] * 3).vectors)


def test_dead_row_is_not_found_in_a_view() -> None:
    live = np.ones(3, np.bool_)
    live[1] = False
    view = view_of(growing_with([None] * 3), live)
    assert (view.find("doc-0"), view.find("doc-1"), view.find("missing")) == (0, -1, -1)
    assert (view.rows, view.live_count) == (3, 2)


def test_size_grows_with_text_payload_and_vectors() -> None:
    small, large = growing_with([None] * 10), growing_with([{"s": "x" * 1000}] * 10)
    assert small.size_bytes >= 10 * DIMENSION * 4
    assert large.size_bytes >= small.size_bytes + 10_000
