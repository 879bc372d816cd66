"""Queries and documents at the edge of what numbers can hold: enough is found, or it is said why
not.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import Vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import DIMENSION, SPEC, only, opened, upsert
from tests.unit.storage.watched_filesystem import WatchedFileSystem

EVERYONE = RowFilter()
QUERY = np.random.default_rng(3).normal(size=DIMENSION).astype(np.float32)


def test_queries_of_a_batch_keep_filters_apart_that_python_takes_for_equal(
    replica: Replica, settle: Callable[[Replica], None]
) -> None:
    upsert(replica, "one", payload={"n": 1})
    upsert(replica, "true", payload={"n": True})
    settle(replica)
    queries = [VectorQuery(QUERY, filter=only("n", value)) for value in (1, True, 1.0)]
    found = replica.view().search_many(queries, EVERYONE, threads=1)
    assert [[hit.id for hit in hits] for hits in found] == [["one"], ["true"], ["one"]]


@pytest.mark.parametrize("seed", range(5))
def test_equal_long_vectors_at_right_angles_to_the_query_are_all_found_in_the_order_of_their_ids(
    fs: WatchedFileSystem, seed: int
) -> None:
    """Products near 0 of long vectors consist of rounding, which differs from one way to compute
    them to another.
    """
    rng = np.random.default_rng(seed)
    across = rng.normal(size=DIMENSION)
    across -= across @ QUERY / (QUERY @ QUERY) * QUERY
    behind = -np.abs(rng.normal(size=(100, 1))) * QUERY
    order = rng.permutation(200)
    vectors = 1e4 * np.vstack([np.repeat(across[None, :], 100, 0), behind])[order]
    replica = opened(fs, spec=replace(SPEC, metric=Metric.DOT))
    upsert(replica, *(f"{i:04}" for i in order), vectors=vectors.astype(np.float32))
    view = replica.view()
    many = view.search_many([VectorQuery(QUERY, limit=7)] * 600, EVERYONE, threads=1)
    for hits in (view.search(VectorQuery(QUERY, limit=7), EVERYONE), many[0], many[-1]):
        assert [hit.id for hit in hits] == [f"{i:04}" for i in range(7)]
    replica.close()


@pytest.mark.parametrize(
    "vector",
    [
        QUERY[None, :],
        np.float32(1.0),
        QUERY[:8],
        np.full(DIMENSION, 1e100),
        np.full(DIMENSION, 1.7e19, np.float32),
        np.full(DIMENSION, np.nan),
    ],
    ids=["a row", "a number", "too narrow", "beyond float32", "too long", "NaN"],
)
def test_vector_that_cannot_be_compared_is_refused_by_name(
    replica: Replica, vector: Vectors
) -> None:
    upsert(replica, "a", "b")
    with pytest.raises(InvalidArgument, match="vector"):
        replica.view().search(VectorQuery(vector), EVERYONE)
    with pytest.raises(InvalidArgument, match="vector"):
        replica.view().search_many([VectorQuery(vector)] * 2, EVERYONE, threads=1)


@pytest.mark.parametrize("metric", Metric)
def test_the_longest_vectors_that_are_taken_are_found_from_the_opposite_side(
    fs: WatchedFileSystem, metric: Metric
) -> None:
    longest = np.full((3, DIMENSION), 1.6e18, np.float32)
    replica = opened(fs, spec=replace(SPEC, metric=metric))
    upsert(replica, "a", "b", "c", vectors=longest)
    hits = replica.view().search(VectorQuery(-longest[0]), EVERYONE)
    assert [hit.id for hit in hits] == ["a", "b", "c"]
    assert all(np.isfinite(hit.score) for hit in hits)
    replica.close()


def test_vectors_whose_distances_would_overflow_are_refused_under_l2(replica: Replica) -> None:
    with pytest.raises(InvalidArgument, match="overflows"):
        upsert(replica, "a", vectors=np.full((1, DIMENSION), 2e18, np.float32))
