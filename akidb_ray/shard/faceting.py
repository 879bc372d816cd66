"""Facets: the most frequent values at a payload path, counted exactly."""

import heapq
from collections import Counter

from akidb_ray.domain.bounds import check_whole
from akidb_ray.domain.filter import RowFilter, Scalar
from akidb_ray.domain.filter_operands import parse_key
from akidb_ray.domain.query import Facet, FacetQuery
from akidb_ray.domain.scalars import ScalarKey, scalar_key
from akidb_ray.shard.view import View

MAX_FACETS = 10_000


def facets(view: View, query: FacetQuery, visible: RowFilter) -> list[Facet]:
    """The values that most documents have, most frequent first, ties as `scalar_key` orders them.

    A document with an array at the path counts once for each of its values. 1 and 1.0 are one
    value, and True is another. Raises InvalidArgument that names `key` or `limit`.
    """
    key = parse_key(query.key, "key")
    check_whole("limit", query.limit, 1, MAX_FACETS)
    counts: Counter[tuple[str, Scalar]] = Counter()
    for segment in view.segments:
        allowed = segment.allowed((query.filter, visible.visible), view.now)
        counts.update(segment.value_counts(key, allowed))
    found = [Facet(value, count) for (_, value), count in counts.items() if count]
    return heapq.nsmallest(query.limit, found, key=_order)


def _order(facet: Facet) -> tuple[int, ScalarKey]:
    return -facet.count, scalar_key(facet.value)
