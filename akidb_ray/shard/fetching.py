"""What is shown of the documents that a search found."""

from collections.abc import Sequence
from itertools import groupby, repeat

import numpy as np

from akidb_ray.domain.document import Vectors
from akidb_ray.domain.query import Hit, Query, RangeQuery
from akidb_ray.segment.view import SegmentView
from akidb_ray.shard.vector_search import Candidate


def hits_of(
    found: Sequence[Candidate], scores: Sequence[float], query: Query | RangeQuery
) -> list[Hit]:
    """The documents with their scores, in their order, with what the query asks for."""
    if not found:
        return []
    _, ids, segments, rows = map(list, zip(*found, strict=True))
    if all(segment is segments[0] for segment in segments):
        return _hits_of_one(segments[0], ids, rows, scores, query)
    hits: list[Hit] = []
    # Rows of one segment are read together.
    for _, group in groupby(range(len(found)), lambda place: id(segments[place])):
        places = list(group)
        part = slice(places[0], places[-1] + 1)
        hits += _hits_of_one(segments[part.start], ids[part], rows[part], scores[part], query)
    return hits


def _hits_of_one(
    view: SegmentView,
    ids: Sequence[str],
    rows: Sequence[int],
    scores: Sequence[float],
    query: Query | RangeQuery,
) -> list[Hit]:
    """Of documents in one segment."""
    versions, payloads, texts = view.segment.contents_of(rows, query.with_payload)
    vectors = [original_vector(view, row) for row in rows] if query.with_vector else repeat(None)
    return list(map(Hit, ids, scores, versions, payloads, texts, vectors))


def original_vector(view: SegmentView, row: int) -> Vectors:
    """The vector as it came in: cosine vectors get their length back."""
    vector: Vectors = view.vectors[row] * np.float32(view.segment.row(row).length)
    return vector
