"""Routes that read documents: one, many, page by page; and their number."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.gateway.rest.answers import json_response
from akidb_ray.gateway.rest.conditions import ETAG, etag
from akidb_ray.gateway.rest.context import COLLECTION_PATH, Caller, InCollection, Use
from akidb_ray.gateway.rest.document_answers import document_json
from akidb_ray.gateway.rest.document_bodies import Count, Fetch, OneRead, Scroll
from akidb_ray.gateway.rest.document_schemas import (
    CountAnswer,
    DocumentAnswer,
    DocumentsAnswer,
    ScrollAnswer,
)
from akidb_ray.gateway.rest.document_writes import check_count
from akidb_ray.gateway.rest.leaving import reads_only
from akidb_ray.gateway.rest.refusals import may_refuse

router = APIRouter(prefix=COLLECTION_PATH, tags=["documents"], responses=may_refuse(409))


@router.get(
    "/documents/{document_id:path}",
    summary="Get a document",
    response_model=DocumentAnswer,
    responses={200: ETAG},
)
async def get_document(
    services: Use,
    caller: Caller,
    ref: InCollection,
    document_id: str,
    query: Annotated[OneRead, Query()],
) -> Response:
    document = await services.documents.get(
        caller, ref, document_id, query.with_vector, query.min_version, query.timeout_ms
    )
    shown = document_json(document, query.encoding_format)
    return json_response(shown, headers=etag(document.version))


@router.post("/documents/get", summary="Get documents by their ids", response_model=DocumentsAnswer)
@reads_only
async def get_many(services: Use, caller: Caller, ref: InCollection, body: Fetch) -> Response:
    check_count("ids", len(body.ids), services.max_batch_documents)
    documents = await services.documents.get_many(
        caller, ref, body.ids, body.with_vector, body.min_version, body.timeout_ms
    )
    return json_response({"documents": [document_json(d, body.encoding_format) for d in documents]})


@router.post(
    "/documents/scroll",
    summary="Read the documents that pass a filter, page by page",
    response_model=ScrollAnswer,
)
@reads_only
async def scroll(services: Use, caller: Caller, ref: InCollection, body: Scroll) -> Response:
    page = await services.documents.scroll(
        caller,
        ref,
        parse_filter(body.filter),
        body.limit,
        body.cursor,
        body.with_payload,
        body.with_vector,
        body.min_version,
        body.timeout_ms,
    )
    documents = [document_json(document, body.encoding_format) for document in page.documents]
    return json_response({"documents": documents, "next_cursor": page.next_cursor})


@router.post(
    "/count",
    summary="Count the documents that pass a filter, exactly",
    response_model=CountAnswer,
)
@reads_only
async def count(services: Use, caller: Caller, ref: InCollection, body: Count) -> Response:
    counted = await services.documents.count(
        caller, ref, parse_filter(body.filter), body.min_version, body.timeout_ms
    )
    return json_response({"count": counted})
