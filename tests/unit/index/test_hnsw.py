import threading
from pathlib import Path

import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import StorageFailed, StorageFull
from akidb_ray.index.distance import distances, nearest
from akidb_ray.index.hnsw import HnswGraph

ROWS, DIMENSION, K = 4_000, 32, 10


def _clustered(rows: int, seed: int, metric: Metric, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, DIMENSION)) * 3
    vectors = centres[rng.integers(0, 40, rows)] + rng.normal(size=(rows, DIMENSION))
    if metric is Metric.COSINE:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors * scale).astype(np.float32)


def _recall(graph: HnswGraph, metric: Metric, vectors: np.ndarray, queries: np.ndarray) -> float:
    hits = 0
    for query in queries:
        rows = graph.search(query, K, ef=128)
        hits += len(set(rows.tolist()) & set(nearest(distances(metric, vectors, query), K)))
    return hits / (K * len(queries))


@pytest.mark.parametrize("metric", Metric)
def test_graph_finds_nearly_all_neighbours_in_clusters(metric: Metric) -> None:
    vectors, queries = _clustered(ROWS, 1, metric), _clustered(100, 2, metric)
    graph = HnswGraph.build(metric, vectors, m=16, ef_construction=200, threads=2)
    assert _recall(graph, metric, vectors, queries) >= 0.99


@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e4])
def test_graph_finds_dot_products_of_any_magnitude(scale: float) -> None:
    vectors = _clustered(ROWS, 1, Metric.DOT, scale)
    queries = _clustered(50, 2, Metric.DOT, scale)
    graph = HnswGraph.build(Metric.DOT, vectors, m=16, ef_construction=200, threads=2)
    assert _recall(graph, Metric.DOT, vectors, queries) >= 0.99


@pytest.mark.parametrize("metric", Metric)
def test_rows_come_nearest_first(metric: Metric) -> None:
    vectors = _clustered(500, 1, metric)
    graph = HnswGraph.build(metric, vectors, m=16, ef_construction=100, threads=1)
    for query in _clustered(20, 2, metric):
        rows = graph.search(query, K, ef=64)
        assert rows.dtype == np.int64
        assert np.all(np.diff(distances(metric, vectors[rows], query)) >= -1e-5)


def test_saved_graph_answers_as_before(tmp_path: Path) -> None:
    vectors, queries = _clustered(1000, 1, Metric.L2), _clustered(20, 2, Metric.L2)
    graph = HnswGraph.build(Metric.L2, vectors, m=16, ef_construction=100, threads=1)
    graph.save(str(tmp_path / "graph"))
    loaded = HnswGraph.load(Metric.L2, DIMENSION, str(tmp_path / "graph"))
    for query in queries:
        np.testing.assert_array_equal(graph.search(query, K, 64), loaded.search(query, K, 64))


def test_wider_search_finds_no_less() -> None:
    vectors, queries = _clustered(ROWS, 1, Metric.L2), _clustered(50, 2, Metric.L2)
    graph = HnswGraph.build(Metric.L2, vectors, m=4, ef_construction=16, threads=2)
    exact = [set(nearest(distances(Metric.L2, vectors, q), K)) for q in queries]
    found = [
        sum(len(set(graph.search(q, K, ef)) & e) for q, e in zip(queries, exact, strict=True))
        for ef in (10, 40, 400)
    ]
    assert found == sorted(found)
    assert found[-1] > found[0]


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_small_graph_gives_all_it_has(rows: int) -> None:
    vectors = _clustered(rows, 1, Metric.L2)
    graph = HnswGraph.build(Metric.L2, vectors, m=16, ef_construction=100, threads=1)
    found = graph.search(vectors[0], 50, ef=64)
    assert sorted(found.tolist()) == list(range(rows))
    assert found[0] == 0


def test_graph_of_equal_vectors_never_fails() -> None:
    vectors = np.ones((2000, DIMENSION), np.float32)
    graph = HnswGraph.build(Metric.L2, vectors, m=4, ef_construction=16, threads=1)
    rows = graph.search(vectors[0], 1500, ef=1500)
    assert len(rows) == len(set(rows.tolist()))


def test_searches_of_different_breadth_run_side_by_side() -> None:
    vectors, queries = _clustered(ROWS, 1, Metric.L2), _clustered(40, 2, Metric.L2)
    graph = HnswGraph.build(Metric.L2, vectors, m=8, ef_construction=50, threads=2)
    alone = {ef: [graph.search(q, K, ef).tolist() for q in queries] for ef in (10, 300)}
    together: dict[int, list[list[int]]] = {}

    def search(ef: int) -> None:
        together[ef] = [graph.search(q, K, ef).tolist() for q in queries]

    threads = [threading.Thread(target=search, args=(ef,)) for ef in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_graph_that_cannot_be_saved_is_an_error_of_ours(tmp_path: Path) -> None:
    graph = HnswGraph.build(
        Metric.L2, _clustered(10, 1, Metric.L2), m=8, ef_construction=50, threads=1
    )
    with pytest.raises(StorageFailed):
        graph.save(str(tmp_path / "missing" / "graph"))


def test_graph_that_found_no_room_is_not_taken_for_whole(tmp_path: Path) -> None:
    # hnswlib does not look whether its writes succeed; /dev/full refuses them all.
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    graph = HnswGraph.build(
        Metric.L2, _clustered(10, 1, Metric.L2), m=8, ef_construction=50, threads=1
    )
    (tmp_path / "graph").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        graph.save(str(tmp_path / "graph"))
