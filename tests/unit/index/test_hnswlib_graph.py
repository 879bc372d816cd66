import threading
from pathlib import Path

import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import Corrupt, Exhausted, StorageFailed, StorageFull
from akidb_ray.index.hnsw import HnswBuild, HnswGraph
from tests.contract.graphs import DIMENSION, clustered, recall

ROWS, K = 4_000, 10


@pytest.fixture
def small() -> HnswGraph:
    return HnswGraph.build(
        Metric.L2, clustered(10, 1, Metric.L2), m=8, ef_construction=50, threads=1
    )


@pytest.mark.parametrize("metric", Metric)
def test_graph_finds_nearly_all_neighbours_in_clusters(metric: Metric) -> None:
    vectors, queries = clustered(ROWS, 1, metric), clustered(100, 2, metric)
    graph = HnswGraph.build(metric, vectors, m=16, ef_construction=200, threads=2)
    assert recall(graph, metric, vectors, queries, K, ef=128) >= 0.99


def test_wider_search_finds_no_less() -> None:
    vectors, queries = clustered(ROWS, 1, Metric.L2), clustered(50, 2, Metric.L2)
    graph = HnswGraph.build(Metric.L2, vectors, m=4, ef_construction=16, threads=2)
    found = [recall(graph, Metric.L2, vectors, queries, K, ef) for ef in (10, 40, 400)]
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_graph_that_does_not_reach_so_many_rows_gives_none() -> None:
    vectors = clustered(ROWS, 1, Metric.L2)
    graph = HnswGraph.build(Metric.L2, vectors, m=4, ef_construction=8, threads=1)
    assert len(graph.search(vectors[0], ROWS, ef=ROWS)) == 0
    assert len(graph.search(vectors[0], K, ef=100)) == K


def test_searches_of_different_breadth_run_side_by_side() -> None:
    vectors, queries = clustered(ROWS, 1, Metric.L2), clustered(40, 2, Metric.L2)
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


def test_graph_that_cannot_be_saved_is_an_error_of_ours(small: HnswGraph, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed):
        small.save(str(tmp_path / "missing" / "graph"))


def test_graph_that_found_no_room_is_not_taken_for_whole(small: HnswGraph, tmp_path: Path) -> None:
    # hnswlib does not look whether its writes succeed; /dev/full refuses them all.
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "graph").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        small.save(str(tmp_path / "graph"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_what_is_no_graph_is_not_loaded(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "graph"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Corrupt, match=str(path)):
        HnswGraph.load(Metric.L2, DIMENSION, str(path))


def test_lack_of_memory_is_no_corruption() -> None:
    with pytest.raises(Exhausted, match="memory"):
        HnswBuild.start(Metric.L2, 4096, capacity=2**45, m=16, ef_construction=50, scale=1.0)
