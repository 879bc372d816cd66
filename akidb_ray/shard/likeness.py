"""More like this: the documents nearest to one that is there."""

from dataclasses import replace

from akidb_ray.domain.document import Vectors
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.query import Hit, VectorQuery
from akidb_ray.domain.query_rules import check_query
from akidb_ray.shard.ranging import reaches
from akidb_ray.shard.view import View


def vector_of(view: View, document_id: str, visible: RowFilter) -> Vectors | None:
    """The vector of a document as searches compare it, float32 (dimension,): under cosine of length
    1. None when the document is not there or not visible.
    """
    for place in view.find_visible([document_id], visible):
        vector: Vectors = place.segment.vectors[place.row]
        return vector
    return None


def like(view: View, document_id: str, query: VectorQuery, visible: RowFilter) -> list[Hit]:
    """The documents nearest to this one, without it, best first, ties by id.

    The query's own vector is not looked at. Raises NotFound for a document that is not there or not
    visible, and InvalidArgument that names what is wrong with the query.
    """
    check_query(query)
    vector = vector_of(view, document_id, visible)
    if vector is None:
        raise NotFound("document", document_id)
    wanted = query.offset + query.limit
    asked = replace(query, vector=vector, limit=wanted + 1, offset=0)
    ranked = [found for found in view.ranked(asked, visible) if found.id != document_id]
    shown = ranked[query.offset : wanted]
    if query.score_threshold is not None:
        least = query.score_threshold
        shown = [found for found in shown if reaches(view.metric, found.order, least)]
    return view.hits(shown, query)
