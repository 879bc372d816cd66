"""What a query may ask for, and what its parts mean."""

from akidb_ray.domain.bounds import check_finite, check_whole
from akidb_ray.domain.fusion import check_fusion
from akidb_ray.domain.query import (
    MAX_EF,
    MAX_LIMIT,
    HybridQuery,
    Query,
    TextQuery,
    VectorQuery,
)


def check_query(query: Query) -> None:
    """Raises InvalidArgument that names the field. The vector is looked at where it is used."""
    check_whole("limit", query.limit, 1, MAX_LIMIT)
    check_whole("offset", query.offset, 0, MAX_LIMIT)
    if query.score_threshold is not None:
        check_finite("score_threshold", query.score_threshold)
    if not isinstance(query, TextQuery):
        check_whole("params.ef", query.ef, 1, MAX_EF)
    if isinstance(query, HybridQuery):
        check_whole("candidates", query.candidates, 1, MAX_LIMIT)
        check_fusion(query.fusion)


def legs_of(query: HybridQuery) -> tuple[VectorQuery, TextQuery]:
    """The two searches that a hybrid query is made of. Each finds at least as many documents as
    are wanted in the end.
    """
    limit = max(query.candidates, query.offset + query.limit)
    by_vector = VectorQuery(query.vector, limit, query.filter, query.ef, query.exact)
    return by_vector, TextQuery(query.text, limit, query.filter)
