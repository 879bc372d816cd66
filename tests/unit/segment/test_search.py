import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import RowNumbers, distances, nearest
from akidb_ray.index.hnsw import HnswGraph
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.search import search_segment
from akidb_ray.segment.view import SegmentView, view_of
from tests.unit.segment.rows_of_documents import rows_with

ROWS = 6_000
QUERY = np.random.default_rng(5).normal(size=16).astype(np.float32)


class CountingGraph:
    """A graph that counts its searches and reaches only the first `reach` rows of its answer."""

    def __init__(self, inner: HnswGraph, reach: float) -> None:
        self._inner, self._reach, self.fetched = inner, reach, list[int]()

    def search(self, query: np.ndarray, limit: int, ef: int) -> RowNumbers:
        self.fetched.append(limit)
        found = self._inner.search(query, limit, ef)
        return found[: int(len(found) * self._reach)]

    def save(self, path: str) -> None: ...


@pytest.fixture(scope="module")
def segment() -> GrowingSegment:
    segment = GrowingSegment(16)
    segment.append(rows_with([None] * ROWS), version=1)
    return segment


@pytest.fixture(scope="module")
def graph(segment: GrowingSegment) -> HnswGraph:
    return HnswGraph.build(Metric.L2, segment.vectors[:ROWS], 16, 100, threads=4)


def _view(segment: GrowingSegment, graph: HnswGraph | CountingGraph | None) -> SegmentView:
    return view_of(segment, np.ones(ROWS, np.bool_), graph)


def _exactly(view: SegmentView, allowed: np.ndarray, limit: int) -> list[int]:
    found = distances(Metric.L2, view.vectors, QUERY)
    found[~allowed] = np.inf
    return nearest(found, min(limit, int(allowed.sum()))).tolist()


def _allowed(share: float) -> np.ndarray:
    return np.random.default_rng(7).random(ROWS) < share


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("limit", [1, 10, 100, 5_999, 6_000, 10_000])
@pytest.mark.parametrize("exact", [True, False])
def test_never_fewer_than_k_while_k_rows_are_allowed(
    segment: GrowingSegment, graph: HnswGraph, share: float, limit: int, exact: bool
) -> None:
    view, allowed = _view(segment, graph), _allowed(share)
    rows, found = search_segment(view, allowed, QUERY, Metric.L2, limit, ef=64, exact=exact)
    assert len(rows) == len(found) == min(limit, int(allowed.sum()))
    assert np.all(allowed[rows])
    assert len(set(rows.tolist())) == len(rows)
    assert np.all(np.diff(found) >= 0)
    np.testing.assert_allclose(found, distances(Metric.L2, view.vectors[rows], QUERY), rtol=1e-5)
    expected = _exactly(view, allowed, limit)
    if exact:
        assert rows.tolist() == expected
    elif limit <= 100 and expected:
        assert len(set(rows.tolist()) & set(expected)) >= 0.9 * len(expected)


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 1.0])
def test_segment_without_a_graph_is_searched_exactly(segment: GrowingSegment, share: float) -> None:
    view, allowed = _view(segment, None), _allowed(share)
    rows, _ = search_segment(view, allowed, QUERY, Metric.L2, 20, ef=64, exact=False)
    assert rows.tolist() == _exactly(view, allowed, 20)


@pytest.mark.parametrize("reach", [0.0, 0.01, 0.3])
def test_graph_that_gives_too_few_is_asked_for_more_and_then_left(
    segment: GrowingSegment, graph: HnswGraph, reach: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Makes the graph look cheap in a segment as small as this one.
    monkeypatch.setattr("akidb_ray.segment.search._GRAPH_US_PER_CANDIDATE", 0.0)
    counting = CountingGraph(graph, reach)
    view, allowed = _view(segment, counting), _allowed(0.5)
    rows, _ = search_segment(view, allowed, QUERY, Metric.L2, 40, ef=64, exact=False)
    assert rows.tolist() == _exactly(view, allowed, 40)
    assert 1 <= len(counting.fetched) <= 3
    assert counting.fetched == sorted(counting.fetched)


def test_graph_whose_neighbours_are_all_filtered_out_is_left(
    segment: GrowingSegment, graph: HnswGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("akidb_ray.segment.search._GRAPH_US_PER_CANDIDATE", 0.0)
    counting = CountingGraph(graph, 1.0)
    view = _view(segment, counting)
    allowed = np.ones(ROWS, np.bool_)
    allowed[nearest(distances(Metric.L2, view.vectors, QUERY), 5_500)] = False
    rows, _ = search_segment(view, allowed, QUERY, Metric.L2, 10, ef=64, exact=False)
    assert rows.tolist() == _exactly(view, allowed, 10)
    assert len(counting.fetched) == 3


def test_exact_search_does_not_ask_the_graph(segment: GrowingSegment, graph: HnswGraph) -> None:
    counting = CountingGraph(graph, 1.0)
    view = _view(segment, counting)
    search_segment(view, _allowed(1.0), QUERY, Metric.L2, 10, ef=64, exact=True)
    assert counting.fetched == []


def test_scores_do_not_depend_on_the_way_that_was_taken(
    segment: GrowingSegment, graph: HnswGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("akidb_ray.segment.search._GRAPH_US_PER_CANDIDATE", 0.0)
    view, allowed = _view(segment, graph), _allowed(1.0)
    ways = [
        search_segment(view, allowed, QUERY, Metric.L2, 10, ef=256, exact=exact)
        for exact in (True, False)
    ]
    np.testing.assert_array_equal(ways[0][0], ways[1][0])
    np.testing.assert_allclose(ways[0][1], ways[1][1], rtol=1e-6)
