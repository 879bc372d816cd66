from pathlib import Path

import hnswlib
import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.index import hnswlib_file
from akidb_ray.index.distance import Floats, distances
from akidb_ray.index.faiss_graph import FaissGraph
from akidb_ray.index.hnswlib_file import read_links, write_file
from akidb_ray.index.hnswlib_graph import HnswBuild, HnswlibGraph
from akidb_ray.index.links import FREE, Links
from tests.contract.graphs import DIMENSION, clustered
from tests.unit.index.graphs import built

ROWS, M, EF_CONSTRUCTION = 3_000, 4, 40
VECTORS, QUERIES = clustered(ROWS, 1, Metric.L2), clustered(50, 2, Metric.L2)


@pytest.fixture(params=[8192, 7], ids=["one block", "many blocks"], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hnswlib_file, "_BLOCK_ROWS", request.param)


@pytest.fixture(params=["one thread", "many threads", "shuffled"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Threads finish rows out of their order, and so elements have other numbers than rows."""
    path = str(tmp_path / "graph")
    if request.param == "shuffled":
        rows = np.random.default_rng(1).permutation(ROWS)
        index = hnswlib.Index("l2", DIMENSION)
        index.init_index(ROWS, M, EF_CONSTRUCTION)
        index.add_items(VECTORS[rows], rows)
        index.save_index(path)
    else:
        threads = 1 if request.param == "one thread" else 4
        built(Metric.L2, VECTORS, M, EF_CONSTRUCTION, threads).save(path)
    return path


@pytest.fixture
def extended(file: str, tmp_path: Path) -> str:
    build = HnswBuild.resume(Metric.L2, DIMENSION, file, ROWS + 500, 1.0)
    build.add(clustered(500, 3, Metric.L2), np.zeros(500, np.bool_), threads=4)
    path = str(tmp_path / "extended")
    build.save(path)
    return path


def _lists(links: Links, row: int) -> list[list[int]]:
    slots = links.slots[links.offsets[row] : links.offsets[row + 1]].tolist()
    ends = range(2 * links.m, len(slots) + 1, links.m)
    return [slots[end - links.m * (1 + (end == 2 * links.m)) : end] for end in ends]


def _write(path: str, links: Links, vectors: Floats = VECTORS) -> None:
    write_file(path, links, DIMENSION, EF_CONSTRUCTION, lambda rows: vectors[rows])


def test_links_have_several_levels_and_end_in_free_slots(file: str) -> None:
    links = read_links(file)
    assert links.m == M
    assert len(links.levels) == ROWS
    assert links.levels.max() == links.levels[links.entry] >= 3
    assert len(links.slots) == links.offsets[-1]
    for row in range(0, ROWS, 10):
        for number, slots in enumerate(_lists(links, row)):
            used = [slot for slot in slots if slot != FREE]
            assert slots == used + [FREE] * (len(slots) - len(used))
            assert row not in used
            assert len(set(used)) == len(used)
            # A link of some level leads to rows which have that level.
            assert all(links.levels[slot] >= number for slot in used)


def test_rows_are_linked_to_rows_near_them(file: str) -> None:
    links = read_links(file)
    for row in range(0, ROWS, 100):
        near = distances(Metric.L2, VECTORS, VECTORS[row])
        linked = [slot for slot in _lists(links, row)[0] if slot != FREE]
        assert np.median(near[linked]) < np.quantile(near, 0.05)


def test_file_of_links_read_is_a_graph_that_answers_as_before(file: str, tmp_path: Path) -> None:
    links, path = read_links(file), str(tmp_path / "again")
    _write(path, links)
    before = HnswlibGraph.load(Metric.L2, DIMENSION, file)
    after = HnswlibGraph.load(Metric.L2, DIMENSION, path)
    assert after.rows == ROWS
    for ef in (10, 100):
        for query in QUERIES:
            found = [graph.search(query, 10, ef).tolist() for graph in (before, after)]
            assert found[0] == found[1]


def test_links_come_back_from_the_file_that_is_made_of_them(file: str, tmp_path: Path) -> None:
    links, path = read_links(file), str(tmp_path / "again")
    _write(path, links)
    again = read_links(path)
    assert (again.m, again.entry) == (links.m, links.entry)
    np.testing.assert_array_equal(again.levels, links.levels)
    np.testing.assert_array_equal(again.slots, links.slots)


def test_written_file_is_the_one_that_hnswlib_writes(tmp_path: Path) -> None:
    """Read and saved by hnswlib, it is the same byte for byte, apart from what is behind links."""
    path, again = str(tmp_path / "made"), str(tmp_path / "again")
    built(Metric.L2, VECTORS, M, EF_CONSTRUCTION, threads=1).save(path)
    _write(again, read_links(path))
    ours, theirs = Path(again).read_bytes(), Path(path).read_bytes()
    assert len(ours) == len(theirs)
    assert ours[:96] == theirs[:96]
    HnswBuild.resume(Metric.L2, DIMENSION, again, 0, 1.0).save(str(tmp_path / "saved"))
    assert (tmp_path / "saved").read_bytes() == ours


def test_links_of_an_extended_graph_are_read(extended: str) -> None:
    links = read_links(extended)
    vectors = np.vstack([VECTORS, clustered(500, 3, Metric.L2)])
    by_faiss = FaissGraph(Metric.L2, vectors, links)
    by_hnswlib = HnswlibGraph.load(Metric.L2, DIMENSION, extended)
    assert by_hnswlib.rows == by_faiss.rows == ROWS + 500
    same = 0
    for query in QUERIES:
        found = [set(graph.search(query, 10, 100).tolist()) for graph in (by_hnswlib, by_faiss)]
        same += len(found[0] & found[1])
    assert same >= 0.98 * 10 * len(QUERIES)


def test_graph_of_one_row_has_no_links(tmp_path: Path) -> None:
    path = str(tmp_path / "one")
    built(Metric.L2, VECTORS[:1], M, EF_CONSTRUCTION).save(path)
    links = read_links(path)
    assert len(links.levels) == 1
    assert links.entry == 0
    assert set(links.slots.tolist()) == {FREE}
    _write(path, links)
    assert HnswlibGraph.load(Metric.L2, DIMENSION, path).search(QUERIES[0], 1, 1).tolist() == [0]


def test_breadth_of_construction_is_no_less_than_hnswlib_itself_would_take(tmp_path: Path) -> None:
    path, again = str(tmp_path / "made"), str(tmp_path / "again")
    built(Metric.L2, VECTORS[:50], m=16, ef_construction=8, threads=1).save(path)
    write_file(again, read_links(path), DIMENSION, 8, lambda rows: VECTORS[rows])
    assert Path(again).read_bytes()[:96] == Path(path).read_bytes()[:96]


@pytest.mark.parametrize("size_bytes", [4, 40, 400])
def test_cut_upper_links_are_refused(file: str, size_bytes: int) -> None:
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[:-size_bytes])
    with pytest.raises(ValueError, match="upper links"):
        read_links(file)
