import threading
from pathlib import Path

import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import Corrupt, Exhausted, StorageFailed, StorageFull
from akidb_ray.index.distance import Floats
from akidb_ray.index.hnswlib_graph import HnswBuild, HnswlibGraph
from tests.contract.graphs import DIMENSION, clustered, recall
from tests.unit.index.graphs import built, saved

ROWS, K = 4_000, 10


@pytest.fixture
def small() -> HnswBuild:
    return built(Metric.L2, clustered(10, 1, Metric.L2), m=8, ef_construction=50)


def _graph(folder: Path, vectors: Floats, m: int, ef_construction: int) -> HnswlibGraph:
    build = built(Metric.L2, vectors, m, ef_construction, threads=1)
    return saved(build, Metric.L2, DIMENSION, folder / "graph")


@pytest.mark.parametrize("metric", Metric)
def test_graph_finds_nearly_all_neighbours_in_clusters(metric: Metric, tmp_path: Path) -> None:
    vectors, queries = clustered(ROWS, 1, metric), clustered(100, 2, metric)
    build = built(metric, vectors, m=16, ef_construction=200)
    graph = saved(build, metric, DIMENSION, tmp_path / "graph")
    assert (graph.rows, graph.metric, graph.dimension) == (ROWS, metric, DIMENSION)
    assert recall(graph, metric, vectors, queries, K, ef=128) >= 0.99


def test_graph_that_does_not_reach_so_many_rows_gives_none(tmp_path: Path) -> None:
    vectors = clustered(ROWS, 1, Metric.L2)
    graph = _graph(tmp_path, vectors, m=4, ef_construction=8)
    assert len(graph.search(vectors[0], ROWS, ef=ROWS)) == 0
    assert len(graph.search(vectors[0], K, ef=100)) == K


def test_searches_of_different_breadth_run_side_by_side(tmp_path: Path) -> None:
    vectors, queries = clustered(ROWS, 1, Metric.L2), clustered(40, 2, Metric.L2)
    graph = _graph(tmp_path, vectors, m=8, ef_construction=50)
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


def test_rows_that_are_not_allowed_are_dropped_from_what_is_found(tmp_path: Path) -> None:
    vectors = clustered(ROWS, 1, Metric.L2)
    graph = _graph(tmp_path, vectors, m=8, ef_construction=50)
    allowed = np.arange(ROWS) % 2 == 0
    found = graph.search(vectors[0], 100, ef=100)
    kept = [row for row in found.tolist() if row % 2 == 0]
    assert graph.search(vectors[0], 100, 100, allowed).tolist() == kept
    assert graph.search(vectors[0], K, 100, allowed).tolist() == kept[:K]


def test_graph_that_cannot_be_saved_is_an_error_of_ours(small: HnswBuild, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed):
        small.save(str(tmp_path / "missing" / "graph"))


def test_graph_that_found_no_room_is_not_taken_for_whole(small: HnswBuild, tmp_path: Path) -> None:
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
        HnswlibGraph.load(Metric.L2, DIMENSION, str(path))


def test_lack_of_memory_is_no_corruption() -> None:
    with pytest.raises(Exhausted, match="memory"):
        HnswBuild.start(Metric.L2, 4096, capacity=2**45, m=16, ef_construction=50, scale=1.0)
