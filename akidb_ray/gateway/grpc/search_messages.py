"""Searches: messages as values, and values as messages."""

from collections.abc import Iterable, Sequence

from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.query import Explanation, Facet, Fusion, FusionMethod, Group, Hit
from akidb_ray.gateway.grpc.document_messages import contents, json_text
from akidb_ray.gateway.grpc.fields import check_format, choice, filter_of, given, vector_of
from akidb_ray.gateway.grpc.status import status_of
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.service.search_request import SearchAnswer, SearchMode, SearchRequest

DEFAULT_LIMIT = 10
DEFAULT_GROUP_SIZE = 3
DEFAULT_FACETS = 10
# By their numbers in the messages.
_MODES = (SearchMode.VECTOR, SearchMode.KEYWORD, SearchMode.HYBRID)
_METHODS = (FusionMethod.RRF, FusionMethod.WEIGHTED)


def search_of(request: pb.SearchRequest, timeout_ms: int | None) -> SearchRequest:
    """Raises InvalidArgument for a field that can't be read; the search itself checks the rest."""
    check_format(request.vector_format)
    return SearchRequest(
        vector=vector_of(request.vector) if request.HasField("vector") else None,
        text=given(request, "text", None),
        id=given(request, "id", None),
        mode=choice(request.mode, _MODES, "mode"),
        fusion=_fusion_of(request.fusion),
        filter=filter_of(request.filter),
        limit=given(request, "limit", DEFAULT_LIMIT),
        offset=request.offset,
        score_threshold=given(request, "score_threshold", None),
        with_payload=given(request, "with_payload", True),
        with_vector=request.with_vector,
        ef=given(request.params, "ef", None),
        exact=request.params.exact,
        explain=request.explain,
        min_version=given(request, "min_version", None),
        partial_results=request.partial_results,
        timeout_ms=timeout_ms,
    )


def searches_of(
    searches: Sequence[pb.SearchRequest], timeout_ms: int | None
) -> list[SearchRequest]:
    """Of a batch. Raises InvalidArgument that names row and field."""
    requests = []
    for row, search in enumerate(searches):
        try:
            _check_no_address(search)
            requests.append(search_of(search, timeout_ms))
        except InvalidArgument as error:
            raise error.inside(f"searches[{row}].", row) from None
    return requests


def _check_no_address(search: pb.SearchRequest) -> None:
    for name in ("tenant", "database", "collection"):
        if getattr(search, name):
            raise InvalidArgument(name, "is given once, by the batch")


def _fusion_of(fusion: pb.Fusion) -> Fusion:
    weights = fusion.weights
    return Fusion(
        choice(fusion.method, _METHODS, "fusion.method"),
        given(fusion, "k", Fusion().k),
        given(weights, "vector", None),
        given(weights, "text", None),
    )


def grouped_search_of(request: pb.SearchGroupsRequest, timeout_ms: int | None) -> SearchRequest:
    """What is searched for groups. Raises as `search_of`."""
    check_format(request.vector_format)
    return SearchRequest(
        vector=vector_of(request.vector) if request.HasField("vector") else None,
        text=given(request, "text", None),
        id=given(request, "id", None),
        mode=choice(request.mode, _MODES, "mode"),
        filter=filter_of(request.filter),
        with_payload=given(request, "with_payload", True),
        with_vector=request.with_vector,
        ef=given(request.params, "ef", None),
        exact=request.params.exact,
        min_version=given(request, "min_version", None),
        partial_results=request.partial_results,
        timeout_ms=timeout_ms,
    )


def hit_messages(hits: Iterable[Hit], form: int) -> list[pb.Hit]:
    return [
        pb.Hit(
            id=hit.id,
            score=hit.score,
            version=hit.version,
            **contents(hit.payload, hit.text, hit.vector, form),
        )
        for hit in hits
    ]


def found_message(answer: SearchAnswer, form: int, took_ms: float) -> pb.SearchResponse:
    return pb.SearchResponse(
        results=hit_messages(answer.hits, form),
        missing_shards=answer.missing_shards,
        explanation=[_explained(number, how) for number, how in answer.explanation or ()],
        took_ms=took_ms,
    )


def result_message(
    answer: SearchAnswer | AkiDBError, form: int, request_id: str
) -> pb.BatchSearchResult:
    """One of a batch: what it found, or why it failed."""
    if isinstance(answer, AkiDBError):
        return pb.BatchSearchResult(error=status_of(answer, request_id))
    return pb.BatchSearchResult(found=found_message(answer, form, took_ms=0.0))


def _explained(number: int, how: Explanation) -> pb.ShardExplanation:
    plans = [
        pb.SegmentPlan(
            rows=plan.rows,
            allowed=plan.allowed,
            way=plan.way,
            candidates=plan.candidates,
            widened=plan.widened,
            took_ms=plan.took_ms,
        )
        for plan in how.segments
    ]
    return pb.ShardExplanation(shard=number, took_ms=dict(how.took_ms), segments=plans)


def group_message(group: Group, form: int) -> pb.Group:
    return pb.Group(value=json_text(group.value), results=hit_messages(group.hits, form))


def facet_message(facet: Facet) -> pb.Facet:
    return pb.Facet(value=json_text(facet.value), count=facet.count)
