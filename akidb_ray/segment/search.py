"""Search in one segment: which way is cheapest, and never too few results.

Three ways: *exact* compares the query with every allowed row; *graph* asks the graph for the
nearest rows; *overfetch* asks it for more than are wanted, because rows that are dead or filtered
out must be dropped again. When an overfetch leaves too few, it is widened twice, and then the exact
way is taken: a search never returns fewer than k while k rows are allowed.
"""

import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats, RowNumbers, distances, nearest
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.view import SegmentView

# Measured at 384 dimensions on one core: a row compared in place, a row gathered first, and a
# candidate visited by the graph. Only their ratios matter.
_SCAN_US_PER_ROW = 0.03
_GATHER_US_PER_ROW = 0.15
_GRAPH_US_PER_CANDIDATE = 2.5
_MEASURED_DIMENSION = 384
# More than the expected number of candidates, since allowed rows are not spread evenly.
_OVERFETCH = 1.5
_WIDENINGS = 3


def search_segment(
    view: SegmentView,
    allowed: RowMask,
    query: Floats,
    metric: Metric,
    limit: int,
    ef: int,
    exact: bool,
) -> tuple[RowNumbers, Floats]:
    """The nearest `limit` allowed rows (all of them when there are fewer) and their distances.

    `query` is float32 (d,), of unit length under cosine.
    """
    count = int(np.count_nonzero(allowed))
    limit = min(limit, count)
    if limit == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    if view.graph is not None and not exact:
        fetch = max(ef, limit if count == view.rows else _fetch(limit, count, view.rows))
        if _graph_is_cheaper(fetch, count, view.rows, len(query)):
            rows = _search_graph(view.graph, allowed, count, query, limit, fetch)
            if rows is not None:
                # Scores must not depend on the way that was taken.
                found = distances(metric, view.vectors[rows], query)
                best = nearest(found, limit)
                return rows[best], found[best]
    return _search_exactly(view.vectors, allowed, count, query, metric, limit)


def _fetch(limit: int, count: int, rows: int) -> int:
    return int(_OVERFETCH * limit * rows / count) + 1


def _graph_is_cheaper(fetch: int, count: int, rows: int, dimension: int) -> bool:
    scan = (
        min(rows * _SCAN_US_PER_ROW, count * _GATHER_US_PER_ROW) * dimension / _MEASURED_DIMENSION
    )
    return fetch * _GRAPH_US_PER_CANDIDATE < scan


def _search_graph(
    graph: VectorIndex, allowed: RowMask, count: int, query: Floats, limit: int, fetch: int
) -> RowNumbers | None:
    """The nearest allowed rows, or None when the graph does not give enough of them."""
    for _ in range(_WIDENINGS):
        rows = graph.search(query, min(fetch, len(allowed)), fetch)
        if count < len(allowed):
            rows = rows[allowed[rows]]
        if len(rows) >= limit:
            return rows[:limit]
        fetch *= 4
    return None


def _search_exactly(
    vectors: Floats, allowed: RowMask, count: int, query: Floats, metric: Metric, limit: int
) -> tuple[RowNumbers, Floats]:
    if count * _GATHER_US_PER_ROW < len(allowed) * _SCAN_US_PER_ROW:
        rows = np.flatnonzero(allowed)
        found = distances(metric, vectors[rows], query)
    else:
        found = distances(metric, vectors, query)
        rows = np.arange(len(allowed))
        if count < len(allowed):
            rows, found = np.flatnonzero(allowed), found[allowed]
    best = nearest(found, limit)
    return rows[best], found[best]
