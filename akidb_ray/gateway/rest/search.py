"""Routes that search: one query, many, groups, and the most frequent values."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response

from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.query import FacetQuery
from akidb_ray.gateway.rest.answers import Stopwatch, json_response
from akidb_ray.gateway.rest.arrow_results import ARROW_ANSWER, results_stream, wants_arrow
from akidb_ray.gateway.rest.arrow_stream import arrow_body, arrow_response
from akidb_ray.gateway.rest.batch_limits import check_batch_of_searches
from akidb_ray.gateway.rest.context import COLLECTION_PATH, Call, Caller, InCollection, Use
from akidb_ray.gateway.rest.document_answers import facet_json, found_json, group_json
from akidb_ray.gateway.rest.document_schemas import (
    BatchAnswer,
    FacetsAnswer,
    GroupsAnswer,
    SearchedAnswer,
)
from akidb_ray.gateway.rest.leaving import reads_only
from akidb_ray.gateway.rest.problems import problem_of
from akidb_ray.gateway.rest.refusals import may_refuse
from akidb_ray.gateway.rest.search_bodies import BatchBody, FacetsBody, GroupsBody, SearchBody
from akidb_ray.gateway.rest.vectors import EncodingFormat
from akidb_ray.service.search import SearchAnswer

router = APIRouter(prefix=COLLECTION_PATH, tags=["search"], responses=may_refuse(409))


@router.post(
    "/search",
    summary="Find the documents nearest to a vector, a text or another document",
    response_model=SearchedAnswer,
    responses=ARROW_ANSWER,
)
@reads_only
async def search(
    services: Use, caller: Caller, ref: InCollection, body: SearchBody, call: Call
) -> Response:
    watch = Stopwatch()
    answer = await services.search.search(caller, ref, body.request())
    if wants_arrow(call):
        return arrow_response(results_stream([answer], watch.took_ms))
    found = found_json(answer, body.encoding_format)
    return json_response({**found, "took_ms": watch.took_ms})


@router.post(
    "/search/batch",
    summary="Carry out many searches together",
    response_model=BatchAnswer,
    responses=ARROW_ANSWER,
    openapi_extra=arrow_body("vector, text and id, one of them in each row"),
)
@reads_only
async def search_batch(
    services: Use, caller: Caller, ref: InCollection, body: BatchBody, call: Call
) -> Response:
    watch = Stopwatch()
    check_batch_of_searches([(search.limit, search.offset) for search in body.searches])
    requests = []
    for row, search in enumerate(body.searches):
        try:
            requests.append(search.request())
        except InvalidArgument as error:
            raise error.inside(f"searches[{row}].", row) from None
    answers = await services.search.batch(caller, ref, requests)
    refuse_bad_values(answers)
    if wants_arrow(call):
        return arrow_response(results_stream(all_found(answers), watch.took_ms))
    encodings = [search.encoding_format for search in body.searches]
    return batch_response(answers, encodings, call.request_id, watch)


@router.post(
    "/search/groups",
    summary="Find the best documents of each value at a payload path",
    response_model=GroupsAnswer,
)
@reads_only
async def search_groups(
    services: Use, caller: Caller, ref: InCollection, body: GroupsBody
) -> Response:
    watch = Stopwatch()
    answer = await services.search.groups(
        caller, ref, body.request(), body.key, body.limit, body.size
    )
    shown: dict[str, Any] = {
        "groups": [group_json(group, body.encoding_format) for group in answer.groups],
        "took_ms": watch.took_ms,
    }
    if answer.missing_shards:
        shown["missing_shards"] = answer.missing_shards
    return json_response(shown)


@router.post(
    "/facets",
    summary="Count the most frequent values at a payload path",
    response_model=FacetsAnswer,
)
@reads_only
async def facets(services: Use, caller: Caller, ref: InCollection, body: FacetsBody) -> Response:
    watch = Stopwatch()
    query = FacetQuery(body.key, body.limit, parse_filter(body.filter))
    answer = await services.search.facets(caller, ref, query, body.min_version, body.timeout_ms)
    shown = [facet_json(facet) for facet in answer.facets]
    return json_response({"facets": shown, "exact": answer.exact, "took_ms": watch.took_ms})


def refuse_bad_values(answers: Sequence[SearchAnswer | AkiDBError]) -> None:
    """A batch with a query that is wrong is refused whole, as any request that is wrong."""
    for row, answer in enumerate(answers):
        if isinstance(answer, InvalidArgument):
            raise answer.inside(f"searches[{row}].", row)


def all_found(answers: Sequence[SearchAnswer | AkiDBError]) -> list[SearchAnswer]:
    """The answers, for who has no place for an error among them."""
    found = []
    for answer in answers:
        if isinstance(answer, AkiDBError):
            raise answer
        found.append(answer)
    return found


def batch_response(
    answers: Sequence[SearchAnswer | AkiDBError],
    encodings: Sequence[EncodingFormat],
    request_id: str,
    watch: Stopwatch,
) -> Response:
    shown = [
        problem_of(answer, request_id)
        if isinstance(answer, AkiDBError)
        else found_json(answer, encoding)
        for answer, encoding in zip(answers, encodings, strict=True)
    ]
    return json_response({"results": shown, "took_ms": watch.took_ms})
