import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import distances, nearest, score_of


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def _slowly(metric: Metric, vectors: np.ndarray, query: np.ndarray) -> list[float]:
    wide, asked = vectors.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        return [float(((row - asked) ** 2).sum()) for row in wide]
    return [float(-(row * asked).sum()) for row in wide]


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("rows", [0, 1, 5, 1023, 1024, 1025, 3000])
def test_distances_are_those_of_the_definition(metric: Metric, rows: int) -> None:
    rng = np.random.default_rng(rows)
    vectors = rng.normal(size=(rows, 24)).astype(np.float32)
    query = rng.normal(size=24).astype(np.float32)
    if metric is Metric.COSINE:
        vectors, query = _unit(vectors), _unit(query)
    found = distances(metric, vectors, query)
    assert found.dtype == np.float32
    assert found.shape == (rows,)
    np.testing.assert_allclose(found, _slowly(metric, vectors, query), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", Metric)
def test_smaller_is_nearer(metric: Metric) -> None:
    query = _unit(np.arange(1, 17))
    far = _unit(np.array([*range(2, 17), 0]))
    found = distances(metric, np.stack([far, query, -query]).astype(np.float32), query)
    assert np.argsort(found).tolist() == [1, 0, 2]


def test_scores_are_cosine_dot_product_and_unsquared_distance() -> None:
    a, b = np.zeros(16, np.float32), np.zeros(16, np.float32)
    a[:2], b[:2] = (3, 0), (0, 4)
    near, far = distances(Metric.L2, np.stack([a, b]), a)
    assert score_of(Metric.L2, near) == 0.0
    assert score_of(Metric.L2, far) == pytest.approx(5.0)
    assert score_of(Metric.DOT, distances(Metric.DOT, b[None], b)[0]) == pytest.approx(16.0)
    unit = b / np.float32(4)
    assert score_of(Metric.COSINE, distances(Metric.COSINE, unit[None], unit)[0]) == 1.0


def test_rounding_below_zero_is_no_error() -> None:
    assert score_of(Metric.L2, -1e-9) == 0.0


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 9, 10, 20])
def test_nearest_come_in_order_and_ties_by_position(limit: int) -> None:
    found = np.array([3, 1, 2, 1, 1, 5, 1, 2, 0], np.float32)
    by_hand = sorted(range(len(found)), key=lambda row: (found[row], row))
    assert nearest(found, limit).tolist() == by_hand[:limit]


def test_ties_do_not_depend_on_the_partition() -> None:
    assert nearest(np.zeros(10_000, np.float32), 3).tolist() == [0, 1, 2]
    assert nearest(np.empty(0, np.float32), 3).tolist() == []


def test_infinite_distances_come_last() -> None:
    found = np.array([np.inf, 1, np.inf, -np.inf], np.float32)
    assert nearest(found, 3).tolist() == [3, 1, 0]
