import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import distances, nearest
from akidb_ray.index.flat import FlatIndex

ROWS, DIMENSION = 500, 32
RNG = np.random.default_rng(1)
VECTORS = RNG.normal(size=(ROWS, DIMENSION)).astype(np.float32)


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("limit", [1, 10, 99, 100, 101, ROWS])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
def test_nearest_rows_are_found_in_their_order(metric: Metric, limit: int, share: float) -> None:
    allowed = RNG.random(ROWS) < share
    rows = np.flatnonzero(allowed)
    index = FlatIndex(metric, VECTORS)
    for query in RNG.normal(size=(5, DIMENSION)).astype(np.float32):
        expected = rows[nearest(distances(metric, VECTORS[rows], query), limit)]
        np.testing.assert_array_equal(index.search(query, limit, 0, allowed), expected)


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("count", [19, 20, 5_000])
@pytest.mark.parametrize("masked", [False, True])
def test_many_queries_far_from_zero_are_answered_exactly(
    metric: Metric, count: int, masked: bool
) -> None:
    """From some number on faiss takes l2 distances from squares and products, which have no digits
    left there.
    """
    vectors = VECTORS + np.float32(1_000)
    queries = np.resize(vectors[::7], (count, DIMENSION)) + np.float32(0.25)
    allowed = np.arange(ROWS) % 3 != 0 if masked else None
    index = FlatIndex(metric, vectors)
    found = index.search_many(queries, 5, 0, 2, allowed)
    assert len(found) == count
    for query, rows in list(zip(queries, found, strict=True))[:: max(1, count // 50)]:
        if metric is Metric.L2:
            assert rows.tolist() == index.search(query, 5, 0, allowed).tolist()
        else:
            best = -distances(metric, vectors[rows], query)
            alone = -distances(metric, vectors[index.search(query, 5, 0, allowed)], query)
            np.testing.assert_allclose(best, alone, rtol=1e-6)


@pytest.mark.parametrize("limit", [1, 10, 100, 300])
@pytest.mark.parametrize("metric", Metric)
def test_first_of_equal_rows_win(metric: Metric, limit: int) -> None:
    index = FlatIndex(metric, np.ones((ROWS, DIMENSION), np.float32))
    query = np.ones(DIMENSION, np.float32)
    assert sorted(index.search(query, limit).tolist()) == list(range(limit))


def test_rows_are_compared_where_they_lie() -> None:
    vectors = VECTORS.copy()
    index = FlatIndex(Metric.L2, vectors)
    assert index.search(VECTORS[3], 1).tolist() == [3]
    vectors[3], vectors[4] = VECTORS[4], VECTORS[3]
    assert index.search(VECTORS[3], 1).tolist() == [4]


def test_no_rows_have_no_nearest() -> None:
    index = FlatIndex(Metric.L2, VECTORS[:0])
    assert index.rows == 0
    assert index.search(VECTORS[0], 5).tolist() == []
    assert [rows.tolist() for rows in index.search_many(VECTORS[:2], 5, 0, 1)] == [[], []]
