"""Range search: all documents within a radius of a vector."""

from dataclasses import replace

from akidb_ray.domain.bounds import check_finite, check_whole
from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.query import MAX_LIMIT, Hit, RangeQuery, VectorQuery
from akidb_ray.domain.query_rules import check_query
from akidb_ray.index.distance import score_of
from akidb_ray.shard.view import View

_FIRST_LIMIT = 256
_WIDENING = 4


def in_range(view: View, query: RangeQuery, visible: RowFilter) -> list[Hit]:
    """The documents within the radius, best first, ties by id, up to `query.limit`.

    None is missing when the query is `exact`; else as few as the graph misses. Raises
    InvalidArgument that names `limit`, `radius`, or what else is wrong.
    """
    check_whole("limit", query.limit, 1, MAX_LIMIT)
    check_finite("radius", query.radius)
    if view.metric is Metric.L2 and query.radius < 0:
        raise InvalidArgument("radius", f"is a distance and must not be below 0: {query.radius!r}")
    # A search can't be told a radius: it is asked for more documents until one lies beyond.
    limit = min(query.limit, _FIRST_LIMIT)
    asked = VectorQuery(query.vector, limit, query.filter, query.ef, query.exact)
    check_query(asked)
    while True:
        ranked = view.ranked(asked, visible)
        within = [found for found in ranked if reaches(view.metric, found.order, query.radius)]
        if len(within) < asked.limit or asked.limit == query.limit:
            return view.hits(within, query)
        asked = replace(asked, limit=min(asked.limit * _WIDENING, query.limit))


def reaches(metric: Metric, distance: float, score: float) -> bool:
    """Whether what is found at this distance scores at least `score` (at most, under l2)."""
    found = score_of(metric, distance)
    return found >= score if metric.larger_is_better else found <= score
