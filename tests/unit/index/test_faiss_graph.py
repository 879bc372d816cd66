from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats, distances
from akidb_ray.index.faiss_graph import FaissGraph
from akidb_ray.index.flat import compare_rows
from akidb_ray.index.graph_files import load_graph
from akidb_ray.index.hnswlib_file import read_links
from akidb_ray.index.links import FREE, Links, offsets_of, with_repeated
from tests.contract.graphs import IndexFolder, clustered, exactly, job_over, recall
from tests.unit.index.graphs import built

ROWS, M = 3_000, 8
VECTORS, QUERIES = clustered(ROWS, 1, Metric.L2), clustered(50, 2, Metric.L2)


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Links:
    path = str(tmp_path_factory.mktemp("links") / "graph")
    built(Metric.L2, VECTORS, M, 50).save(path)
    return read_links(path)


def _with_levels(links: Links, row: int, level: int) -> Links:
    """The same, but `row` has so many empty levels, and searches start from it."""
    levels = links.levels.copy()
    levels[row] = level
    before, after = links.offsets, offsets_of(levels, links.m)
    slots = np.full(int(after[-1]), FREE, np.int32)
    for number in range(len(levels)):
        size = min(before[number + 1] - before[number], after[number + 1] - after[number])
        start = before[number]
        slots[after[number] : after[number] + size] = links.slots[start : start + size]
    return Links(links.m, row, levels, slots)


@pytest.mark.parametrize("level", [9, 12, 40])
def test_levels_above_those_that_faiss_expects_are_searched(links: Links, level: int) -> None:
    """faiss would read slots from beyond its memory."""
    graph = FaissGraph(Metric.L2, VECTORS, _with_levels(links, int(links.entry), level))
    assert recall(graph, Metric.L2, VECTORS, QUERIES, 10, 100) >= 0.9


def test_graph_keeps_alive_what_it_looks_at(links: Links) -> None:
    expected = FaissGraph(Metric.L2, VECTORS, links).search_many(QUERIES, 10, 100, 1)
    graph = FaissGraph(
        Metric.L2, VECTORS.copy(), Links(links.m, links.entry, links.levels, links.slots.copy())
    )
    rubbish = [np.full_like(VECTORS, np.nan) for _ in range(10)]
    found = graph.search_many(QUERIES, 10, 100, 1)
    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in expected]
    assert len(rubbish) == 10


def test_vectors_that_do_not_lie_together_are_refused(links: Links) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        FaissGraph(Metric.L2, np.repeat(VECTORS, 2, axis=0)[::2], links)


def test_files_may_be_removed_while_they_are_searched(tmp_path: Path) -> None:
    folder = IndexFolder(tmp_path)
    job = job_over(tmp_path, Metric.L2, VECTORS)
    path, checksum = folder.write(job)
    mapped = np.memmap(job.vectors_path, np.float32, "r", shape=VECTORS.shape).view(np.ndarray)
    graph = load_graph(folder.fs, path, checksum, mapped)
    before = [rows.tolist() for rows in graph.search_many(QUERIES, 10, 100, 1)]
    folder.fs.remove_tree(PurePosixPath("indexes"))
    Path(job.vectors_path).unlink()
    del mapped
    assert [rows.tolist() for rows in graph.search_many(QUERIES, 10, 100, 1)] == before


@pytest.fixture(scope="module")
def with_equal(links: Links) -> tuple[Floats, FaissGraph]:
    """Rows that follow the first `ROWS` repeat 20 of them, five times each."""
    firsts = np.concatenate([np.arange(ROWS), np.tile(np.arange(0, 200, 10), 5)])
    vectors = VECTORS[firsts]
    return vectors, FaissGraph(Metric.L2, vectors, with_repeated(links, firsts))


def test_row_is_followed_by_those_that_are_equal_to_it(
    with_equal: tuple[Floats, FaissGraph],
) -> None:
    vectors, graph = with_equal
    equal = [10, 3001, 3021, 3041, 3061, 3081]
    assert graph.search(vectors[10], 6, 50).tolist() == equal
    assert graph.search(vectors[10], 3, 50).tolist() == equal[:3]
    found = graph.search(vectors[10], 30, 50)
    assert len(found) == 30
    assert found[:6].tolist() == equal
    assert np.all(np.diff(distances(Metric.L2, vectors[found], vectors[10])) >= 0)


@pytest.mark.parametrize("dead", [[10], [10, 3001], [3021], [3001, 3021, 3041, 3061, 3081]])
def test_equal_rows_are_found_whichever_of_them_are_allowed(
    with_equal: tuple[Floats, FaissGraph], dead: list[int]
) -> None:
    vectors, graph = with_equal
    allowed = np.ones(len(vectors), np.bool_)
    allowed[dead] = False
    equal = [row for row in (10, 3001, 3021, 3041, 3061, 3081) if row not in dead]
    assert graph.search(vectors[10], len(equal), 50, allowed).tolist() == equal
    assert not set(graph.search(vectors[10], 100, 100, allowed).tolist()) & set(dead)
    alone = np.zeros(len(vectors), np.bool_)
    alone[equal[-1]] = True
    assert graph.search(vectors[10], 10, 50, alone).tolist() == equal[-1:]


@pytest.mark.parametrize("limit", [1, 3, 6, 30])
def test_equal_rows_are_scored_alike(with_equal: tuple[Floats, FaissGraph], limit: int) -> None:
    vectors, graph = with_equal
    queries = vectors[[10, 11, 200, 2_000]]
    for query, found in zip(queries, graph.search_scored(queries, limit, 50, 1), strict=True):
        assert found.rows == graph.search(query, limit, 50).tolist()
        compared = compare_rows(Metric.L2, vectors, np.array(found.rows), query).tolist()
        assert found.distances is None or found.distances == compared


def test_places_that_stay_free_are_left_out(links: Links) -> None:
    """No link leads anywhere, so a search finds the row that it starts from."""
    nowhere = Links(links.m, links.entry, links.levels, np.full_like(links.slots, FREE))
    graph = FaissGraph(Metric.L2, VECTORS, nowhere)
    start = int(links.entry)
    assert graph.search(QUERIES[0], 10, 50).tolist() == [start]
    for query, found in zip(QUERIES, graph.search_scored(QUERIES, 10, 50, 2), strict=True):
        assert found.rows == [start]
        compared = compare_rows(Metric.L2, VECTORS, np.array([start]), query).tolist()
        assert found.distances is None or found.distances == compared


def test_mask_is_not_changed_by_a_search(with_equal: tuple[Floats, FaissGraph]) -> None:
    vectors, graph = with_equal
    allowed = np.arange(len(vectors)) >= ROWS
    before = allowed.copy()
    found = graph.search(vectors[10], 10, 100, allowed)
    np.testing.assert_array_equal(allowed, before)
    assert found[:5].tolist() == [3001, 3021, 3041, 3061, 3081]
    assert exactly(Metric.L2, vectors[ROWS:], vectors[10], 1)[0] == 3001 - ROWS
