"""Search in one segment: the cheapest way that finds enough.

A search never returns fewer than k rows while k are allowed: a graph that gives too few is asked
again, more broadly, and then every allowed row is compared.

Filters that go against the query are the hard case: nearly all rows are allowed, but none of those
near the query. A graph that is steered by a mask then comes back with k rows that it met by chance.
So before it is trusted, the rows nearest to the query are looked at: when too few of them are
allowed, the graph is asked for the rows nearest of all instead, and these count only when enough of
them are allowed; else the exact way is taken.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats, RowNumbers
from akidb_ray.index.distance import distances as every_distance
from akidb_ray.index.flat import FlatIndex, compare_rows
from akidb_ray.index.vector_index import Scored, VectorIndex
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.cost import Way, exact_ns, graph_ns, mask_breadth, overfetch_breadth
from akidb_ray.segment.view import SegmentView

# Where a graph does not reach all rows, it is only used when all but some deleted ones are allowed.
_NEARLY_ALL = 0.9
# From this share of allowed rows on, fetching some more costs less than looking first.
_MOSTLY_ALLOWED = 0.5
# So many rows nearest to the query are looked at, and at least so many of them must be allowed.
_NEAR, _NEAR_ALLOWED = 32, 2
# Of what was fetched, only the nearer part is nearly complete.
_SURE = 0.6
_WIDENING = 4
_ATTEMPTS = 3
# Distances that differ by less, in parts of what they are computed from, are equal or nearly so.
_ROUNDING = 2e-6


class Wanted(NamedTuple):
    """What is searched: `vector` is float32 (d,), of unit length under cosine."""

    vector: Floats
    metric: Metric
    limit: int
    ef: int
    exact: bool = False


class Found(NamedTuple):
    """Rows, nearest first, with their distances; how they were found.

    More rows than were asked for are there when the last of them are equally near.
    """

    rows: list[int]
    distances: list[float]
    way: Way
    candidates: int
    widened: int = 0


def search_segment(view: SegmentView, allowed: RowMask | None, count: int, wanted: Wanted) -> Found:
    """The nearest `wanted.limit` allowed rows; all of them when there are fewer.

    `allowed` is bool (rows,), None when all are; `count` says how many.
    """
    limit = min(wanted.limit, count)
    if limit == 0:
        return Found([], [], Way.EXACT, 0)
    if view.graph is not None and not wanted.exact:
        if allowed is None:
            found = _search_all(view, view.graph, limit, wanted)
        else:
            found = _MaskedSearch(view, view.graph, allowed, count, limit, wanted).run()
        if found is not None:
            return found
    index = FlatIndex(wanted.metric, view.vectors)
    rows = index.search(wanted.vector, limit + 1, allowed=allowed)
    return exactly(view, allowed, count, limit, wanted, rows)


def _search_all(view: SegmentView, graph: VectorIndex, limit: int, wanted: Wanted) -> Found | None:
    """By the graph, where every row is allowed; None when comparing is cheaper."""
    breadth, dimension = max(wanted.ef, limit), len(wanted.vector)
    if graph_ns(breadth, dimension) >= exact_ns(view.rows, view.rows, dimension):
        return None
    (found,) = graph.search_scored(wanted.vector[None, :], limit + 1, breadth, 1)
    return from_graph(view, wanted, found, limit, Way.OVERFETCH, breadth)


class _MaskedSearch:
    """One search by a graph of which some rows are allowed; `run` gives None when comparing is
    cheaper or the graph gives too little.
    """

    def __init__(
        self,
        view: SegmentView,
        graph: VectorIndex,
        allowed: RowMask,
        count: int,
        limit: int,
        wanted: Wanted,
    ) -> None:
        self._view, self._graph, self._allowed = view, graph, allowed
        self._limit, self._wanted = limit, wanted
        self._ef = max(wanted.ef, limit)
        self._share = count / view.rows
        self._exact_ns = exact_ns(view.rows, count, len(wanted.vector))
        self._candidates = self._widened = 0

    def run(self) -> Found | None:
        allowed = self._allowed
        if self._share < _NEARLY_ALL and not self._graph.reaches_all:
            return None
        if self._share < _MOSTLY_ALLOWED and self._graph.takes_mask:
            if not self._is_cheap(mask_breadth(self._ef, self._share)):
                return None
            near = self._fetch(_NEAR, _NEAR, None)
            found = int(np.count_nonzero(allowed[near]))
            if found >= _NEAR_ALLOWED:
                # Where more are allowed nearby than elsewhere, that ends soon behind these few.
                breadth = mask_breadth(self._ef, min(found / _NEAR, self._share))
                return self._if_enough(self._fetch(self._limit + 1, breadth, allowed), Way.MASK)
        return self._overfetch(allowed)

    def _overfetch(self, allowed: RowMask) -> Found | None:
        breadth = overfetch_breadth(self._limit, self._ef, self._share)
        for attempt in range(_ATTEMPTS):
            self._widened = attempt
            rows = self._fetch(breadth, breadth, None)
            places = np.flatnonzero(allowed[rows])
            if len(places) >= self._limit and places[self._limit - 1] < _SURE * breadth:
                return self._if_enough(rows[places[: self._limit + 1]], Way.OVERFETCH)
            breadth *= _WIDENING
        return None

    def _fetch(self, limit: int, breadth: int, allowed: RowMask | None) -> RowNumbers:
        if not self._is_cheap(breadth):
            return np.empty(0, np.int64)
        self._candidates += breadth
        return self._graph.search(self._wanted.vector, limit, breadth, allowed)

    def _is_cheap(self, breadth: int) -> bool:
        return graph_ns(breadth, len(self._wanted.vector)) < self._exact_ns

    def _if_enough(self, rows: RowNumbers, way: Way) -> Found | None:
        found = Scored(rows.tolist(), None)
        return from_graph(
            self._view, self._wanted, found, self._limit, way, self._candidates, self._widened
        )


def from_graph(
    view: SegmentView,
    wanted: Wanted,
    found: Scored,
    limit: int,
    way: Way,
    candidates: int,
    widened: int = 0,
) -> Found | None:
    """What a graph found, None when that is not enough."""
    rows, distances = found
    if len(rows) < limit:
        return None
    if distances is None:
        distances = _compared(view, wanted, np.array(rows, np.int64))
    return _nearest(rows, distances, limit, way, candidates, widened)


def exactly(
    view: SegmentView,
    allowed: RowMask | None,
    count: int,
    limit: int,
    wanted: Wanted,
    rows: RowNumbers,
) -> Found:
    """What comparing with all allowed rows found: the nearest `limit` rows and at least one more,
    when there are so many, of which rounding may have chosen the last.
    """
    distances = _compared(view, wanted, rows)
    if len(rows) > limit:
        near = sorted(zip(distances, rows.tolist(), strict=True))
        (last, _), (first_out, row) = near[limit - 1 : limit + 1]
        rounding = _rounding(view, wanted, row, first_out)
        # Else rounding did not decide which row was left out.
        if first_out - last <= rounding:
            rows = np.union1d(_as_near_as(view, allowed, wanted, first_out + rounding), rows)
            distances = _compared(view, wanted, rows)
    return _nearest(rows.tolist(), distances, limit, Way.EXACT, count)


def _rounding(view: SegmentView, wanted: Wanted, row: int, distance: float) -> float:
    """How much the distances of rows may differ that are equal to this one, which has this."""
    if wanted.metric is Metric.L2:
        return _ROUNDING * distance
    # Of a product next to 0, too, the parts are as large as the two lengths make them.
    length = float(np.linalg.norm(view.vectors[row]))
    return _ROUNDING * length * float(np.linalg.norm(wanted.vector))


def _as_near_as(
    view: SegmentView, allowed: RowMask | None, wanted: Wanted, distance: float
) -> RowNumbers:
    """All allowed rows that are as near as this, as far as rounding tells."""
    near = every_distance(wanted.metric, view.vectors, wanted.vector) <= distance
    return np.flatnonzero(near if allowed is None else near & allowed)


def _compared(view: SegmentView, wanted: Wanted, rows: RowNumbers) -> list[float]:
    """Distances must depend neither on the way that was taken nor on where a row is stored."""
    found: list[float] = compare_rows(wanted.metric, view.vectors, rows, wanted.vector).tolist()
    return found


def _nearest(
    rows: Sequence[int],
    distances: Sequence[float],
    limit: int,
    way: Way,
    candidates: int,
    widened: int = 0,
) -> Found:
    """The nearest `limit` of these rows, and those that are as near as the last of them."""
    # These are few, and unlike numpy's sort this one does not let go of the interpreter, which is
    # then taken by another search.
    pairs = sorted(zip(distances, rows, strict=True))
    end = limit
    while 0 < end < len(pairs) and pairs[end][0] == pairs[limit - 1][0]:
        end += 1
    del pairs[end:]
    return Found([row for _, row in pairs], [near for near, _ in pairs], way, candidates, widened)
