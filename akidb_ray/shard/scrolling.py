"""Scrolling: all documents in the order of their ids, page by page.

A page goes on behind the last id of the one before, whatever happened in between: a document that
is there all the time comes exactly once, since ids do not move. Ids are in order by code point,
which is how Python compares strings and also the order of their UTF-8 bytes.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from akidb_ray.domain.bounds import check_whole
from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.query import MAX_LIMIT, ScrollQuery
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.view import SegmentView
from akidb_ray.shard.view import View

_FIRST_BLOCK_ROWS = 256
_WIDENING = 4


def scroll(view: View, query: ScrollQuery, visible: RowFilter) -> list[StoredDocument]:
    """The next `query.limit` documents that pass, behind `query.after`, which need not be there.

    Raises InvalidArgument that names `limit`.
    """
    check_whole("limit", query.limit, 1, MAX_LIMIT)
    filters = (query.filter, visible.visible)
    ids = heapq.merge(
        *(
            _ids_behind(query.after, segment, segment.allowed(filters, view.now))
            for segment in view.segments
        )
    )
    found = view.get(list(islice(ids, query.limit)), visible, query.with_vector)
    if query.with_payload:
        return found
    return [replace(document, payload=None, text=None) for document in found]


def _ids_behind(after: str | None, view: SegmentView, allowed: RowMask) -> Iterator[str]:
    """The ids of the allowed rows behind `after`, in their order."""
    segment, order = view.segment, view.segment.id_order(view.rows)
    start, length = 0, _FIRST_BLOCK_ROWS
    if after is not None:
        start = bisect_right(order, after, key=lambda row: segment.id(int(row)))
    while start < len(order):
        rows = order[start : start + length]
        # As few rows are looked at as a page needs, and many at once where few are allowed.
        start, length = start + length, length * _WIDENING
        yield from map(segment.id, rows[allowed[rows]].tolist())
