"""Routes of documents: write, read, delete, count, search."""

import time

from fastapi import APIRouter, Response

from akidb_ray.domain.errors import InvalidArgument, TooLarge
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.query import DEFAULT_EF
from akidb_ray.gateway.rest.answers import document_json, hit_json, json_response
from akidb_ray.gateway.rest.bodies import Count, Deletion, SearchBody, Upsert
from akidb_ray.gateway.rest.context import Caller, InCollection, Use
from akidb_ray.service.incoming import IncomingDocument
from akidb_ray.service.search import SearchRequest

router = APIRouter(
    prefix="/v2/tenants/{tenant}/databases/{database}/collections/{collection}",
    tags=["documents"],
)


@router.put("/documents", summary="Insert or replace documents; acknowledged means on disk")
async def upsert(services: Use, caller: Caller, ref: InCollection, body: Upsert) -> Response:
    limit = services.max_batch_documents
    if len(body.documents) > limit:
        raise TooLarge("documents", limit, "documents; send smaller batches")
    if not body.documents:
        raise InvalidArgument("documents", "is empty")
    documents = [IncomingDocument(d.id, d.vector, d.text, d.payload) for d in body.documents]
    written = await services.documents.upsert(caller, ref, documents)
    answer = {"acknowledged": written.affected, "version": written.version}
    if written.truncated:
        answer["truncated_ids"] = written.truncated
    return json_response(answer)


@router.get("/documents/{document_id:path}", summary="Get a document")
async def get_document(
    services: Use, caller: Caller, ref: InCollection, document_id: str, with_vector: bool = False
) -> Response:
    document = await services.documents.get(caller, ref, document_id, with_vector)
    return json_response(document_json(document))


@router.post("/documents/delete", summary="Delete documents by ids or by filter")
async def delete(services: Use, caller: Caller, ref: InCollection, body: Deletion) -> Response:
    if (body.ids is None) == (body.filter is None):
        raise InvalidArgument("ids", "give exactly one of 'ids' and 'filter'")
    if body.ids is not None:
        deleted = await services.documents.delete_ids(caller, ref, body.ids)
    else:
        filter = parse_filter(body.filter)
        if filter.is_everything:
            raise InvalidArgument("filter", "is empty, which would delete every document")
        deleted = await services.documents.delete_matching(caller, ref, filter)
    return json_response({"deleted": deleted.affected, "version": deleted.version})


@router.post("/count", summary="Count the documents that pass a filter, exactly")
async def count(services: Use, caller: Caller, ref: InCollection, body: Count) -> Response:
    counted = await services.documents.count(caller, ref, parse_filter(body.filter))
    return json_response({"count": counted})


@router.post("/search", summary="Find the nearest documents to a vector or a text")
async def search(services: Use, caller: Caller, ref: InCollection, body: SearchBody) -> Response:
    started = time.perf_counter()
    request = SearchRequest(
        vector=body.vector,
        text=body.text,
        filter=parse_filter(body.filter),
        limit=body.limit,
        ef=body.params.ef if body.params.ef is not None else DEFAULT_EF,
        exact=body.params.exact,
        with_payload=body.with_payload,
        with_vector=body.with_vector,
    )
    hits = await services.search.search(caller, ref, request)
    took_ms = round((time.perf_counter() - started) * 1000, 3)
    return json_response({"results": [hit_json(hit) for hit in hits], "took_ms": took_ms})
