"""Vector search over all segments of a view."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import repeat
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.cost import segment_breadth
from akidb_ray.segment.search import Found, Wanted, search_segment
from akidb_ray.segment.view import SegmentView
from akidb_ray.shard.explaining import Trace


class Candidate(NamedTuple):
    """A found document. `order` sorts: the smaller, the better."""

    order: float
    id: str
    segment: SegmentView
    row: int


_BEST_FIRST = itemgetter(0, 1)


def search_vectors(
    segments: Sequence[SegmentView], masks: Sequence[RowMask], wanted: Wanted, trace: Trace
) -> list[Candidate]:
    """The nearest `wanted.limit` documents among those that `masks` allow, nearest first, ties by
    id.
    """
    found = []
    rows = sum(view.rows for view in segments)
    for view, mask in zip(segments, masks, strict=True):
        count = count_of(view, mask)
        own = wanted
        if view.rows < rows:
            own = wanted._replace(ef=segment_breadth(wanted.ef, view.rows / rows))
        result = search_segment(view, None if count == view.rows else mask, count, own)
        trace.segment(view.rows, count, result.way, result.candidates, result.widened)
        found.append((view, result))
    return nearest_of(found, wanted.limit)


def count_of(view: SegmentView, mask: RowMask) -> int:
    """How many rows a mask of this view allows."""
    return view.live_count if mask is view.live else int(np.count_nonzero(mask))


def nearest_of(found: Sequence[tuple[SegmentView, Found]], limit: int) -> list[Candidate]:
    """The best of several segments. Ids are only read of those that may be among them."""
    border = math.inf
    if len(found) > 1:
        every = sorted(distance for _, result in found for distance in result.distances)
        border = every[limit - 1] if limit < len(every) else math.inf
    candidates: list[Candidate] = []
    for view, result in found:
        rows = result.rows[: bisect_right(result.distances, border)]
        ids = view.segment.ids_of(rows)
        candidates += map(Candidate._make, zip(result.distances, ids, repeat(view), rows))
    candidates.sort(key=_BEST_FIRST)
    return candidates[:limit]
