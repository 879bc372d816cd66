"""Ways through a segment: that enough is found, and the right rows."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from numpy.typing import NDArray

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.distance import Floats, RowNumbers
from akidb_ray.index.graph_files import load_graph, write_graph
from akidb_ray.index.vector_index import Scored, VectorIndex
from akidb_ray.segment.batch import search_segment_for_many
from akidb_ray.segment.cost import Way
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.search import Found, Wanted, search_segment
from akidb_ray.segment.view import SegmentView, view_of
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import rows_with

ROWS = 6_000
QUERY = np.random.default_rng(5).normal(size=16).astype(np.float32)
WANTED = Wanted(QUERY, Metric.L2, limit=10, ef=64)
Mask = NDArray[np.bool_]


class CountingGraph:
    """A graph that counts its searches and reaches only the first rows of its answer."""

    def __init__(self, inner: VectorIndex, reach: float = 1.0) -> None:
        self._inner, self._reach = inner, reach
        self.takes_mask, self.rows, self.memory_bytes = inner.takes_mask, inner.rows, 0
        self.reaches_all = inner.reaches_all
        self.breadths: list[int] = []
        self.masked = 0

    def search(self, query: Floats, limit: int, ef: int, allowed: Mask | None = None) -> RowNumbers:
        self.breadths.append(ef)
        self.masked += allowed is not None
        found = self._inner.search(query, limit, ef, allowed)
        return found[: int(len(found) * self._reach)]

    def search_many(
        self, queries: Floats, limit: int, ef: int, threads: int, allowed: Mask | None = None
    ) -> list[RowNumbers]:
        return [self.search(query, limit, ef, allowed) for query in queries]

    def search_scored(self, queries: Floats, limit: int, ef: int, threads: int) -> list[Scored]:
        found = self.search_many(queries, limit, ef, threads)
        return [Scored(rows.tolist(), None) for rows in found]


@pytest.fixture(scope="module")
def segment() -> GrowingSegment:
    segment = GrowingSegment(16)
    segment.append(rows_with([None] * ROWS), version=1)
    return segment


@pytest.fixture(scope="module", params=list(HnswEngine))
def graph(
    request: pytest.FixtureRequest,
    segment: GrowingSegment,
    tmp_path_factory: pytest.TempPathFactory,
) -> VectorIndex:
    folder = tmp_path_factory.mktemp("graph")
    return _built(folder, Metric.L2, segment.vectors[:ROWS], request.param)


def _built(folder: Path, metric: Metric, vectors: Floats, engine: HnswEngine) -> VectorIndex:
    path = folder / "vectors.f32"
    path.write_bytes(vectors.tobytes())
    job = GraphJob(metric, 16, len(vectors), str(path), 16, 100, threads=4, engine=engine)
    fs, name = OsFileSystem(folder), PurePosixPath("graph")
    checksum = write_graph(fs, name, job, ThreadGraphBuilder(), lambda: False)
    return load_graph(fs, name, checksum, vectors)


@pytest.fixture
def graphs_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """In segments as small as these, comparing would be cheaper."""
    monkeypatch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)


def _view(segment: GrowingSegment, graph: VectorIndex | None) -> SegmentView:
    return view_of(segment, np.ones(ROWS, np.bool_), graph)


def _allowed(share: float) -> Mask:
    return np.random.default_rng(7).random(ROWS) < share


def _search(view: SegmentView, allowed: Mask, wanted: Wanted) -> Found:
    count = int(np.count_nonzero(allowed))
    return search_segment(view, None if count == view.rows else allowed, count, wanted)


def _exactly(view: SegmentView, allowed: Mask, limit: int) -> list[int]:
    differences = view.vectors.astype(np.float64) - QUERY
    found = (differences * differences).sum(axis=1)
    found[~allowed] = np.inf
    return np.argsort(found, kind="stable")[: min(limit, int(allowed.sum()))].tolist()


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("limit", [1, 10, 100, 5_999, 6_000, 10_000])
@pytest.mark.parametrize("exact", [True, False])
def test_never_fewer_than_k_while_k_rows_are_allowed(
    segment: GrowingSegment, graph: VectorIndex, share: float, limit: int, exact: bool
) -> None:
    view, allowed = _view(segment, graph), _allowed(share)
    found = _search(view, allowed, WANTED._replace(limit=limit, exact=exact))
    assert len(found.rows) == len(found.distances) == min(limit, int(allowed.sum()))
    assert np.all(allowed[found.rows])
    assert len(set(found.rows)) == len(found.rows)
    assert found.distances == sorted(found.distances)
    expected = _exactly(view, allowed, limit)
    if exact:
        assert found.rows == expected
    elif limit <= 100 and expected:
        assert len(set(found.rows) & set(expected)) >= 0.9 * len(expected)


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 1.0])
def test_segment_without_a_graph_is_searched_exactly(segment: GrowingSegment, share: float) -> None:
    view, allowed = _view(segment, None), _allowed(share)
    found = _search(view, allowed, WANTED)
    assert (found.rows, found.way) == (_exactly(view, allowed, 10), Way.EXACT)


@pytest.mark.usefixtures("graphs_are_cheap")
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_filtered_search_by_a_graph_finds_the_nearest_allowed_rows(
    segment: GrowingSegment, graph: VectorIndex, share: float
) -> None:
    counting = CountingGraph(graph)
    view, allowed = _view(segment, counting), _allowed(share)
    found = _search(view, allowed, WANTED)
    assert counting.breadths
    assert len(set(found.rows) & set(_exactly(view, allowed, 10))) >= 9
    if share == 0.1 and graph.takes_mask:
        assert (found.way, counting.masked) == (Way.MASK, 1)
        assert counting.breadths[-1] > WANTED.ef


@pytest.mark.usefixtures("graphs_are_cheap")
@pytest.mark.parametrize("reach", [0.0, 0.01, 0.1])
def test_graph_that_gives_too_few_is_asked_for_more_and_then_left(
    segment: GrowingSegment, graph: VectorIndex, reach: float
) -> None:
    counting = CountingGraph(graph, reach)
    view, allowed = _view(segment, counting), _allowed(0.6)
    found = _search(view, allowed, WANTED._replace(limit=40))
    assert 1 <= len(counting.breadths) <= 3
    assert counting.breadths == sorted(counting.breadths)
    if reach == 0.0:
        assert (found.rows, found.way) == (_exactly(view, allowed, 40), Way.EXACT)
    assert len(found.rows) == 40


@pytest.mark.usefixtures("graphs_are_cheap")
@pytest.mark.parametrize("near", [500, 2_500, 5_500])
def test_filter_that_goes_against_the_query_misleads_no_graph(
    segment: GrowingSegment, graph: VectorIndex, near: int
) -> None:
    view = _view(segment, CountingGraph(graph))
    allowed = np.ones(ROWS, np.bool_)
    allowed[_exactly(view, allowed, near)] = False
    found = _search(view, allowed, WANTED)
    assert len(set(found.rows) & set(_exactly(view, allowed, 10))) >= 9


@pytest.mark.usefixtures("graphs_are_cheap")
@pytest.mark.parametrize("growth", [1.0, 3.0])
def test_graph_that_does_not_reach_short_rows_is_not_asked_for_filtered_ones(
    tmp_path: Path, growth: float
) -> None:
    vectors = np.random.default_rng(1).normal(size=(2_000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors *= np.linspace(1, growth, 2_000, dtype=np.float32)[:, None]
    rows = rows_with([None] * 2_000, metric=Metric.DOT)
    segment = GrowingSegment(16)
    segment.append(replace(rows, vectors=vectors), version=1)
    graph = _built(tmp_path, Metric.DOT, vectors, HnswEngine.FAISS)
    view, allowed = view_of(segment, np.ones(2_000, np.bool_), graph), _allowed(0.3)[:2_000]
    found = _search(view, allowed, Wanted(QUERY, Metric.DOT, limit=10, ef=64))
    assert graph.reaches_all == (growth == 1.0)
    assert (found.way is Way.EXACT) == (growth > 1.0)


def test_exact_search_does_not_ask_the_graph(segment: GrowingSegment, graph: VectorIndex) -> None:
    counting = CountingGraph(graph)
    _search(_view(segment, counting), _allowed(1.0), WANTED._replace(exact=True))
    assert counting.breadths == []


@pytest.mark.usefixtures("graphs_are_cheap")
def test_scores_do_not_depend_on_the_way_that_was_taken(
    segment: GrowingSegment, graph: VectorIndex
) -> None:
    view, everything = _view(segment, graph), _allowed(1.0)
    ways = [
        _search(view, everything, WANTED._replace(ef=256)),
        _search(view, everything, WANTED._replace(exact=True)),
        *search_segment_for_many(view, None, ROWS, [WANTED._replace(ef=256)] * 3, threads=2),
        *search_segment_for_many(view, None, ROWS, [WANTED._replace(exact=True)] * 30, threads=2),
    ]
    assert {way.way for way in ways} == {Way.EXACT, Way.OVERFETCH}
    for way in ways[1:]:
        assert (way.rows, way.distances) == (ways[0].rows, ways[0].distances)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_many_searches_find_what_each_would_alone(
    segment: GrowingSegment, graph: VectorIndex, exact: bool, share: float, count: int
) -> None:
    view, allowed = _view(segment, graph), _allowed(share)
    vectors = np.random.default_rng(3).normal(size=(count, 16)).astype(np.float32)
    wanted = [WANTED._replace(vector=vector, exact=exact) for vector in vectors]
    passing = int(np.count_nonzero(allowed))
    mask = None if passing == ROWS else allowed
    together = search_segment_for_many(view, mask, passing, wanted, threads=2)
    alone = [search_segment(view, mask, passing, each) for each in wanted]
    assert [found.rows for found in together] == [found.rows for found in alone]
    assert [found.distances for found in together] == [found.distances for found in alone]


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_rows_as_near_as_the_last_are_all_found(metric: Metric, share: float) -> None:
    rows = rows_with([None] * 3_000, metric=metric)
    rows.vectors[1::7] = rows.vectors[1]
    segment = GrowingSegment(16)
    segment.append(rows, version=1)
    view, allowed = view_of(segment, np.ones(3_000, np.bool_)), _allowed(share)[:3_000]
    wanted = Wanted(rows.vectors[1].copy(), metric, limit=5, ef=64)
    found = _search(view, allowed, wanted)
    if metric is not Metric.DOT:
        assert found.rows == [row for row in range(1, 3_000, 7) if allowed[row]]
    ties = set(found.distances[4:])
    assert len(ties) == 1
