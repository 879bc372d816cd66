"""Routes of bodies in Arrow: the same paths as those in JSON, told apart by the content type.

What else such a body says, options of an upsert or of all searches, is JSON in the query parameter
`body`.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from akidb_ray.domain.document import DocumentBatch, Vectors
from akidb_ray.domain.errors import InvalidArgument, Malformed
from akidb_ray.gateway.rest.answers import Stopwatch
from akidb_ray.gateway.rest.arrow_columns import (
    expiries_of,
    ids_of,
    payloads_of,
    strings_of,
    vectors_of,
)
from akidb_ray.gateway.rest.arrow_results import results_stream, wants_arrow
from akidb_ray.gateway.rest.arrow_stream import arrow_response, read_stream
from akidb_ray.gateway.rest.batch_limits import MAX_BATCH_SEARCHES, check_batch_of_searches
from akidb_ray.gateway.rest.complaints import complaint_of
from akidb_ray.gateway.rest.context import COLLECTION_PATH, Call, Caller, InCollection, Use
from akidb_ray.gateway.rest.document_bodies import IdempotencyKey, UpsertOptions
from akidb_ray.gateway.rest.document_writes import conditional_options_of, written_response
from akidb_ray.gateway.rest.json_body import decode_json
from akidb_ray.gateway.rest.leaving import reads_only, writes_documents
from akidb_ray.gateway.rest.search import all_found, batch_response, refuse_bad_values
from akidb_ray.gateway.rest.search_bodies import SearchFields
from akidb_ray.service.incoming import IncomingDocument

Given = TypeVar("Given", bound=BaseModel)
RestOfBody = Annotated[str, Query(alias="body")]

_DOCUMENT_COLUMNS = ("id", "vector", "text", "payload", "expires_at")
_QUERY_COLUMNS = ("vector", "text", "id")


class ArrowRoute(APIRoute):
    """Taken by requests whose body is an Arrow stream only."""


# Shown in OpenAPI by the routes of the same paths that take JSON.
router = APIRouter(prefix=COLLECTION_PATH, route_class=ArrowRoute, include_in_schema=False)


def _documents_of(services: Use, call: Call) -> DocumentBatch | list[IncomingDocument]:
    """A batch when all of them have vectors."""
    table = read_stream(call.raw_body, _DOCUMENT_COLUMNS, "documents", services.max_batch_documents)
    ids = ids_of(table)
    vectors, given = vectors_of(table)
    texts, payloads, expires_at = strings_of(table, "text"), payloads_of(table), expiries_of(table)
    if given.all():
        return DocumentBatch(ids, vectors, texts, payloads, expires_at)
    return [
        IncomingDocument(
            ids[row],
            vectors[row] if given[row] else None,
            texts[row],
            _decoded(payloads[row], row),
            None if expires_at is None else float(expires_at[row]),
        )
        for row in range(len(ids))
    ]


@dataclass(frozen=True, slots=True)
class _Queries:
    """What each search looks for: one of the three."""

    vectors: list[Vectors | None]
    texts: list[str | None]
    ids: list[str | None]


def _queries_of(call: Call) -> _Queries:
    table = read_stream(call.raw_body, _QUERY_COLUMNS, "searches", MAX_BATCH_SEARCHES)
    vectors, given = vectors_of(table)
    return _Queries(
        [vectors[row] if given[row] else None for row in range(len(given))],
        strings_of(table, "text"),
        strings_of(table, "id"),
    )


# Arguments, as bodies in JSON are: large ones are read in a thread.
SentDocuments = Annotated[DocumentBatch | list[IncomingDocument], Depends(_documents_of)]
SentQueries = Annotated[_Queries, Depends(_queries_of)]


@router.put("/documents")
@router.post("/documents")
@writes_documents
async def upsert(
    services: Use,
    caller: Caller,
    ref: InCollection,
    sent: SentDocuments,
    key: IdempotencyKey = None,
    rest: RestOfBody = "{}",
) -> Response:
    body = _rest_of_body(UpsertOptions, rest)
    options = conditional_options_of(body, key)
    if isinstance(sent, DocumentBatch):
        written = await services.documents.upsert_batch(caller, ref, sent, body.mode, options)
    else:
        written = await services.documents.upsert(caller, ref, sent, body.mode, options)
    return written_response("acknowledged", written)


@router.post("/search/batch")
@reads_only
async def search_batch(
    services: Use,
    caller: Caller,
    ref: InCollection,
    call: Call,
    sent: SentQueries,
    rest: RestOfBody = "{}",
) -> Response:
    watch = Stopwatch()
    body = _rest_of_body(SearchFields, rest)
    for column in _QUERY_COLUMNS:
        if getattr(body, column) is not None:
            raise InvalidArgument(f"body.{column}", "is a column of the stream")
    check_batch_of_searches([(body.limit, body.offset)] * len(sent.ids))
    common = body.request()
    requests = [
        replace(common, vector=vector, text=text, id=document_id)
        for vector, text, document_id in zip(sent.vectors, sent.texts, sent.ids, strict=True)
    ]
    answers = await services.search.batch(caller, ref, requests)
    refuse_bad_values(answers)
    if wants_arrow(call):
        return arrow_response(results_stream(all_found(answers), watch.took_ms))
    encodings = [body.encoding_format] * len(requests)
    return batch_response(answers, encodings, call.request_id, watch)


def _rest_of_body(kind: type[Given], raw: str) -> Given:
    """Complaints name fields as they do for a body in JSON."""
    try:
        return kind.model_validate(decode_json(raw.encode()))
    except ValidationError as error:
        raise complaint_of(error) from None
    except (Malformed, UnicodeEncodeError) as error:
        raise InvalidArgument("body", f"is not JSON: {error}") from None


def _decoded(payload: bytes | None, row: int) -> Any:
    try:
        return None if payload is None else decode_json(payload)
    except Malformed as error:
        raise InvalidArgument(f"documents[{row}].payload", f"is not JSON: {error}", row) from None
