"""Many searches in one segment in one pass, by several threads of the index library."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from akidb_ray.index.flat import FlatIndex
from akidb_ray.index.vector_index import Scored
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.cost import Way, exact_ns, graph_ns
from akidb_ray.segment.search import Found, Wanted, exactly, from_graph, search_segment
from akidb_ray.segment.view import SegmentView

# Products of matrices round more: a few more rows are compared again.
_SPARE = 16


def search_segment_for_many(
    view: SegmentView,
    allowed: RowMask | None,
    count: int,
    wanted: Sequence[Wanted],
    threads: int,
) -> list[Found]:
    """What `search_segment` finds for each; they differ in nothing but their vectors."""
    first = wanted[0]
    limit = min(first.limit, count)
    if len(wanted) == 1 or limit == 0:
        return [search_segment(view, allowed, count, each) for each in wanted]
    vectors = np.stack([each.vector for each in wanted])
    breadth = max(first.ef, limit)
    scan_ns = exact_ns(view.rows, count, vectors.shape[1])
    if view.graph is None or first.exact or graph_ns(breadth, vectors.shape[1]) >= scan_ns:
        rows = FlatIndex(first.metric, view.vectors).search_many(
            vectors, limit + _SPARE, 0, threads, allowed
        )
        return [
            exactly(view, allowed, count, limit, each, found)
            for each, found in zip(wanted, rows, strict=True)
        ]
    if allowed is None:
        scored = view.graph.search_scored(vectors, limit + 1, breadth, threads)
        return [
            _or_alone(view, count, each, found, limit, breadth)
            for each, found in zip(wanted, scored, strict=True)
        ]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda each: search_segment(view, allowed, count, each), wanted))


def _or_alone(
    view: SegmentView, count: int, wanted: Wanted, scored: Scored, limit: int, breadth: int
) -> Found:
    found = from_graph(view, wanted, scored, limit, Way.OVERFETCH, breadth)
    return found or search_segment(view, None, count, wanted)
