"""More like this: the neighbours of a document, without itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.errors import InvalidArgument, NotFound
from akidb_ray.domain.filter import Filter, Range, RowFilter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.shard.likeness import like, vector_of
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import DIMENSION, INDEXED, delete, only, opened, seal, upsert
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Settle = Callable[[Replica], None]
ALL = RowFilter()
UNUSED = np.zeros(0, np.float32)


def neighbours(
    replica: Replica, document_id: str, visible: RowFilter = ALL, **options: Any
) -> list[str]:
    hits = like(replica.view(), document_id, VectorQuery(UNUSED, **options), visible)
    return [hit.id for hit in hits]


@pytest.fixture
def line(replica: Replica, settle: Settle) -> Replica:
    """Documents "00" to "39", a step of 1 apart."""
    vectors = np.zeros((40, DIMENSION), np.float32)
    vectors[:, 0] = np.arange(40)
    payloads = [{"n": number} for number in range(40)]
    upsert(replica, *[f"{n:02}" for n in range(40)], vectors=vectors, payloads=payloads)
    settle(replica)
    return replica


@pytest.mark.parametrize("exact", [True, False])
def test_the_neighbours_come_without_the_document_itself(line: Replica, exact: bool) -> None:
    assert neighbours(line, "00", limit=3, exact=exact) == ["01", "02", "03"]
    assert neighbours(line, "20", limit=4, exact=exact) == ["19", "21", "18", "22"]
    assert len(neighbours(line, "20", limit=100, exact=exact)) == 39


def test_offset_and_threshold_do_not_count_the_document_itself(line: Replica) -> None:
    assert neighbours(line, "00", limit=2, offset=2) == ["03", "04"]
    assert neighbours(line, "00", limit=10, score_threshold=2.0) == ["01", "02"]
    assert neighbours(line, "00", limit=10, offset=1, score_threshold=2.0) == ["02"]


def test_a_document_that_does_not_pass_has_neighbours_that_do(line: Replica) -> None:
    assert neighbours(line, "00", filter=Filter((Range("n", gte=5),)), limit=2) == ["05", "06"]


def test_documents_with_the_same_vector_are_neighbours(replica: Replica) -> None:
    same = np.ones((3, DIMENSION), np.float32)
    upsert(replica, "a", "b", "c", vectors=same)
    assert neighbours(replica, "b", limit=2) == ["a", "c"]


def test_a_longer_vector_is_no_reason_to_be_left_out_under_dot(fs: WatchedFileSystem) -> None:
    replica = opened(fs, INDEXED, CollectionSpec(DIMENSION, Metric.DOT))
    vectors = np.ones((3, DIMENSION), np.float32) * np.array([[1], [2], [3]], np.float32)
    upsert(replica, "a", "b", "c", vectors=vectors)
    assert neighbours(replica, "a", limit=1) == ["c"]
    assert neighbours(replica, "c", limit=5) == ["b", "a"]


def test_under_cosine_the_length_does_not_matter(fs: WatchedFileSystem) -> None:
    replica = opened(fs, INDEXED, CollectionSpec(DIMENSION, Metric.COSINE))
    vectors = np.eye(3, DIMENSION, dtype=np.float32) * 7
    vectors[1, 0] = 7
    upsert(replica, "a", "b", "c", vectors=vectors)
    seal(replica)
    (hit, _) = like(replica.view(), "a", VectorQuery(UNUSED), ALL)
    assert (hit.id, hit.score) == ("b", pytest.approx(0.5**0.5))
    found = vector_of(replica.view(), "b", ALL)
    assert found is not None
    np.testing.assert_allclose(found[:2], [0.5**0.5, 0.5**0.5], rtol=1e-6)


def test_what_is_not_there_or_not_visible_is_not_found(line: Replica) -> None:
    delete(line, "07")
    for missing in ("07", "nobody", ""):
        with pytest.raises(NotFound):
            neighbours(line, missing)
        assert vector_of(line.view(), missing, ALL) is None
    visible = RowFilter(only("n", 8))
    with pytest.raises(NotFound):
        neighbours(line, "09", visible)
    assert neighbours(line, "08", visible) == []


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": 10_001}),
        ("offset", {"offset": -1}),
        ("score_threshold", {"score_threshold": float("nan")}),
        ("params.ef", {"ef": 0}),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(
    replica: Replica, field: str, options: dict[str, Any]
) -> None:
    upsert(replica, "a")
    with pytest.raises(InvalidArgument) as caught:
        neighbours(replica, "a", **options)
    assert caught.value.fields["field"] == field
