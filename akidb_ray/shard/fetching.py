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
    hits: list[Hit] = []
    # Rows of one segment are read together.
    for _, group in groupby(range(len(found)), lambda place: id(found[place].segment)):
        places = list(group)
        view, rows = found[places[0]].segment, [found[place].row for place in places]
        versions, payloads, texts = view.segment.contents_of(rows, query.with_payload)
        ids, own = [found[place].id for place in places], [scores[place] for place in places]
        vectors = (
            [original_vector(view, row) for row in rows] if query.with_vector else repeat(None)
        )
        hits += map(Hit, ids, own, versions, payloads, texts, vectors)
    return hits


def original_vector(view: SegmentView, row: int) -> Vectors:
    """The vector as it came in: cosine vectors get their length back."""
    vector: Vectors = view.vectors[row] * np.float32(view.segment.row(row).length)
    return vector
