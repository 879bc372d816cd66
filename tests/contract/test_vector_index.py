"""What every graph does for a search, however it was made."""

from pathlib import Path

import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats, distances
from akidb_ray.index.hnsw import HnswGraph
from tests.contract.graphs import DIMENSION, GraphFolder, Make, clustered, exactly, recall

ROWS, K, EF = 3_000, 10, 100


@pytest.fixture
def folder(tmp_path: Path) -> GraphFolder:
    return GraphFolder(tmp_path)


@pytest.fixture(params=["fresh", "extended"])
def make(request: pytest.FixtureRequest, folder: GraphFolder) -> Make:
    return folder.fresh if request.param == "fresh" else folder.extended


@pytest.fixture(params=list(Metric))
def metric(request: pytest.FixtureRequest) -> Metric:
    return Metric(request.param)


def test_nearly_all_neighbours_are_found_in_clusters(make: Make, metric: Metric) -> None:
    vectors, queries = clustered(ROWS, 1, metric), clustered(100, 2, metric)
    graph = make(metric, vectors)
    assert (graph.rows, graph.metric, graph.dimension) == (ROWS, metric, DIMENSION)
    assert recall(graph, metric, vectors, queries, K, EF) >= 0.95


def test_rows_come_nearest_first(make: Make, metric: Metric) -> None:
    vectors = clustered(500, 1, metric)
    graph = make(metric, vectors)
    for query in clustered(20, 2, metric):
        rows = graph.search(query, K, EF)
        assert rows.dtype == np.int64
        assert np.all(np.diff(distances(metric, vectors[rows], query)) >= -1e-4)


@pytest.mark.parametrize("rows", [1, 2, 9, 40])
@pytest.mark.parametrize("limit", [1, 40, 1000])
def test_small_index_gives_all_that_is_asked_for(
    make: Make, metric: Metric, rows: int, limit: int
) -> None:
    vectors = clustered(rows, 1, metric)
    found = make(metric, vectors).search(vectors[0], limit, EF)
    assert len(found) == len(set(found.tolist())) == min(limit, rows)
    assert set(found.tolist()) <= set(range(rows))
    assert found[0] == exactly(metric, vectors, vectors[0], 1)[0]


def test_limit_above_the_breadth_widens_the_search(make: Make, metric: Metric) -> None:
    vectors = clustered(500, 1, metric)
    graph = make(metric, vectors)
    assert len(graph.search(vectors[0], 300, ef=10)) == 300


@pytest.mark.parametrize(
    "equal",
    [slice(0, None, 10), slice(0, None, 2), slice(0, ROWS // 3), slice(ROWS // 2, None)],
    ids=["a tenth", "a half", "the first third", "the last half"],
)
def test_equal_vectors_do_not_hide_the_others(make: Make, metric: Metric, equal: slice) -> None:
    vectors, queries = clustered(ROWS, 1, metric), clustered(50, 2, metric)
    vectors[equal] = vectors[0]
    graph = make(metric, vectors)
    assert recall(graph, metric, vectors, queries, K, EF) >= 0.95
    assert recall(graph, metric, vectors, vectors[:2], K, EF) >= 0.95


def test_zeros_do_not_hide_the_others(make: Make) -> None:
    vectors, queries = clustered(ROWS, 1, Metric.L2), clustered(50, 2, Metric.L2)
    vectors[::3] = 0
    queries[0] = 0
    assert recall(make(Metric.L2, vectors), Metric.L2, vectors, queries, K, EF) >= 0.95


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_vectors_alone_are_all_found(make: Make, value: float) -> None:
    vectors = np.full((1_000, DIMENSION), value, np.float32)
    graph = make(Metric.L2, vectors)
    for limit in (1, 10, 100):
        assert len(set(graph.search(vectors[0], limit, EF).tolist())) == limit


def test_saved_index_answers_as_before(make: Make, metric: Metric, tmp_path: Path) -> None:
    graph = make(metric, clustered(1_000, 1, metric))
    graph.save(str(tmp_path / "saved"))
    loaded = HnswGraph.load(metric, DIMENSION, str(tmp_path / "saved"))
    assert (loaded.rows, loaded.memory_bytes) == (graph.rows, graph.memory_bytes)
    for query in clustered(20, 2, metric):
        np.testing.assert_array_equal(graph.search(query, K, EF), loaded.search(query, K, EF))


def test_index_holds_its_vectors_and_links_in_memory(make: Make) -> None:
    vectors = clustered(ROWS, 1, Metric.L2)
    links_bytes = ROWS * 32 * 4
    assert make(Metric.L2, vectors).memory_bytes > vectors.nbytes + links_bytes


@pytest.mark.parametrize("base_rows", [1, 300, 2_700, ROWS])
def test_extended_graph_finds_what_a_fresh_one_finds(
    folder: GraphFolder, metric: Metric, base_rows: int
) -> None:
    vectors, queries = clustered(ROWS, 1, metric), clustered(100, 2, metric)
    fresh = folder.fresh(metric, vectors)
    extended = folder.extended(metric, vectors, base_rows)
    found = [recall(graph, metric, vectors, queries, K, EF) for graph in (fresh, extended)]
    assert found[1] >= max(0.95, found[0] - 0.02)


def test_graph_is_extended_to_a_part_of_space_that_its_base_does_not_know(
    folder: GraphFolder,
) -> None:
    new = clustered(ROWS // 2, 3, Metric.L2) + np.float32(30)
    vectors = np.concatenate([clustered(ROWS // 2, 1, Metric.L2), new])
    graph = folder.extended(Metric.L2, vectors)
    for queries in (clustered(50, 2, Metric.L2), clustered(50, 4, Metric.L2) + np.float32(30)):
        assert recall(graph, Metric.L2, vectors, queries, K, EF) >= 0.95


@pytest.mark.parametrize("magnitude", [1e-6, 1e4])
def test_dot_products_of_any_magnitude_are_compared(make: Make, magnitude: float) -> None:
    def scaled(rows: int, seed: int) -> Floats:
        return clustered(rows, seed, Metric.DOT) * np.float32(magnitude)

    vectors = scaled(ROWS, 1)
    assert recall(make(Metric.DOT, vectors), Metric.DOT, vectors, scaled(50, 2), K, EF) >= 0.95


@pytest.mark.parametrize("growth", [1e-3, 1e3, 1e25])
def test_dot_graph_is_extended_by_vectors_of_another_length(
    folder: GraphFolder, growth: float
) -> None:
    vectors, queries = clustered(ROWS, 1, Metric.DOT), clustered(50, 2, Metric.DOT)
    vectors[ROWS // 2 :] *= np.float32(growth)
    graph = folder.extended(Metric.DOT, vectors)
    assert recall(graph, Metric.DOT, vectors, queries, K, EF) >= 0.95


def test_dot_graph_of_zeros_is_extended(folder: GraphFolder) -> None:
    vectors, queries = clustered(ROWS, 1, Metric.DOT), clustered(50, 2, Metric.DOT)
    vectors[: ROWS // 2] = 0
    graph = folder.extended(Metric.DOT, vectors)
    assert recall(graph, Metric.DOT, vectors, queries, K, EF) >= 0.95
