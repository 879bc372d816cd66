from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.membership import duplicate_ids, rows_with_ids_of
from akidb_ray.segment.rows import rows_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.segment_writer import Source
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import DIMENSION, all_of, sealed_of


def _growing(*batches: Sequence[str]) -> GrowingSegment:
    segment = GrowingSegment(DIMENSION)
    for ids in batches:
        count = len(ids)
        vectors = np.ones((count, DIMENSION), np.float32)
        batch = DocumentBatch(ids, vectors, [None] * count, [None] * count)
        segment.append(rows_of(batch, Metric.L2), version=1)
    return segment


def _sealed(fs: OsFileSystem, name: str, *batches: Sequence[str]) -> SealedSegment:
    return sealed_of(fs, all_of(_growing(*batches)), path=PurePosixPath(name))


def _named(numbers: Iterable[int]) -> list[str]:
    return [f"document {number}" for number in numbers]


@pytest.mark.parametrize("hashing", ["as it is", "colliding"])
def test_rows_with_ids_of_another_segment(
    fs: OsFileSystem, hashing: str, request: pytest.FixtureRequest
) -> None:
    if hashing == "colliding":
        request.getfixturevalue("same_hashes")
    ids = _named(range(100))
    other = _sealed(fs, "other", _named([*range(90, 200), 5, 7]))
    expected = [5, 7, *range(90, 100)]
    assert rows_with_ids_of(_growing(ids), other).tolist() == expected
    assert rows_with_ids_of(_sealed(fs, "s", ids), other).tolist() == expected


def test_rows_of_an_id_written_again_are_all_found(fs: OsFileSystem) -> None:
    segment = _growing(["a", "b"], ["a"], ["c", "a"])
    assert rows_with_ids_of(segment, _sealed(fs, "other", ["a", "x"])).tolist() == [0, 2, 4]


@pytest.mark.parametrize(("left", "right"), [([], ["a"]), (["a"], []), ([], []), (["a"], ["b"])])
def test_segments_that_share_no_id(fs: OsFileSystem, left: list[str], right: list[str]) -> None:
    other = _sealed(fs, "other", right)
    for segment in (_growing(left), _sealed(fs, "s", left)):
        rows = rows_with_ids_of(segment, other)
        assert (rows.dtype, rows.tolist()) == (np.int64, [])


def test_rows_born_dead_have_no_id(fs: OsFileSystem) -> None:
    growing = _growing(["a", "b", "c"])
    alive = np.array([True, False, True])
    some = sealed_of(fs, Source(growing, np.arange(3), alive), path=PurePosixPath("some"))
    whole = _sealed(fs, "whole", ["a", "b", "c"])
    assert rows_with_ids_of(some, whole).tolist() == [0, 2]
    assert rows_with_ids_of(whole, some).tolist() == [0, 2]
    assert rows_with_ids_of(growing, some).tolist() == [0, 2]


def test_large_growing_segment_is_looked_through_to_its_end(
    fs: OsFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("akidb_ray.segment.membership._BLOCK_ROWS", 7)
    rows = rows_with_ids_of(_growing(_named(range(50))), _sealed(fs, "o", _named([6, 7, 13, 49])))
    assert rows.tolist() == [6, 7, 13, 49]


def test_ids_that_are_there_twice_are_named(fs: OsFileSystem) -> None:
    assert duplicate_ids(_sealed(fs, "none", _named(range(100)))) == []
    assert duplicate_ids(_sealed(fs, "empty", [])) == []
    twice = _sealed(fs, "some", ["b", "a", "c"], ["a"], ["b", "a"])
    assert duplicate_ids(twice) == ["a", "b"]


@pytest.mark.usefixtures("same_hashes")
def test_ids_that_only_have_the_same_hash_are_not_there_twice(fs: OsFileSystem) -> None:
    assert duplicate_ids(_sealed(fs, "none", ["xa", "ya", "za", "b"])) == []
    # The two are not next to each other in the index.
    assert duplicate_ids(_sealed(fs, "some", ["xa", "ya"], ["za", "xa"])) == ["xa"]
