"""Routes that write documents: upsert, replace, patch, delete."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response

from akidb_ray.domain.errors import InvalidArgument, NotFound, TooLarge
from akidb_ray.domain.filter import EVERYTHING, Filter
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.write import WriteOptions
from akidb_ray.gateway.rest.answers import json_response
from akidb_ray.gateway.rest.arrow_stream import arrow_body
from akidb_ray.gateway.rest.conditions import MatchedVersion, one_condition
from akidb_ray.gateway.rest.context import COLLECTION_PATH, Caller, InCollection, Use
from akidb_ray.gateway.rest.document_bodies import (
    ConditionalBody,
    Deletion,
    DocumentPatch,
    DocumentsPatch,
    IdempotencyKey,
    Replacement,
    Selection,
    Upsert,
    WriteBody,
)
from akidb_ray.gateway.rest.document_schemas import (
    DeletedAnswer,
    PatchedAnswer,
    UpsertedAnswer,
)
from akidb_ray.gateway.rest.leaving import writes_documents
from akidb_ray.gateway.rest.refusals import may_refuse
from akidb_ray.service.documents import Written
from akidb_ray.service.incoming import IncomingDocument

router = APIRouter(
    prefix=COLLECTION_PATH, tags=["documents"], responses=may_refuse(409, 412, 429, 507)
)

_UPSERT: dict[str, Any] = {
    "response_model": UpsertedAnswer,
    "openapi_extra": arrow_body("id, vector, text, payload (JSON, or struct) and expires_at"),
}


def check_count(field: str, count: int, limit: int) -> None:
    """Raises InvalidArgument for an empty list, TooLarge for one that is too long."""
    if not count:
        raise InvalidArgument(field, "is empty")
    if count > limit:
        raise TooLarge(field, limit, f"{field}; send smaller batches")


def options_of(
    body: WriteBody,
    key: str | None,
    if_versions: Mapping[str, int] | None = None,
    only_if: Filter = EVERYTHING,
) -> WriteOptions:
    return WriteOptions(body.durability, key, if_versions or {}, only_if)


def conditional_options_of(body: ConditionalBody, key: str | None) -> WriteOptions:
    return options_of(body, key, body.if_versions, body.condition())


def written_response(what: str, written: Written) -> Response:
    """`what` names the number of documents that were changed."""
    answer: dict[str, Any] = {
        what: written.affected,
        "skipped": written.skipped,
        "version": written.version,
    }
    if written.truncated:
        answer["truncated_ids"] = written.truncated
    return json_response(answer)


@router.post("/documents", name="upsert_by_post", summary="The same as PUT", **_UPSERT)
@router.put(
    "/documents", summary="Insert or replace documents; acknowledged means on disk", **_UPSERT
)
@writes_documents
async def upsert(
    services: Use, caller: Caller, ref: InCollection, body: Upsert, key: IdempotencyKey = None
) -> Response:
    check_count("documents", len(body.documents), services.max_batch_documents)
    documents = [
        IncomingDocument(d.id, d.vector, d.text, d.payload, d.expires_at) for d in body.documents
    ]
    options = conditional_options_of(body, key)
    written = await services.documents.upsert(caller, ref, documents, body.mode, options)
    return written_response("acknowledged", written)


@router.post(
    "/documents/patch",
    summary="Change payloads of documents, by ids or by filter",
    response_model=PatchedAnswer,
)
@writes_documents
async def patch_many(
    services: Use,
    caller: Caller,
    ref: InCollection,
    body: DocumentsPatch,
    key: IdempotencyKey = None,
) -> Response:
    documents, options = services.documents, conditional_options_of(body, key)
    chosen = _chosen(body, services.max_batch_documents, "change")
    if isinstance(chosen, Filter):
        written = await documents.patch_matching(caller, ref, body.patch(), chosen, options)
    else:
        written = await documents.patch_ids(caller, ref, body.patch(), chosen, options)
    return written_response("patched", written)


@router.post(
    "/documents/delete",
    summary="Delete documents, by ids or by filter",
    response_model=DeletedAnswer,
)
@writes_documents
async def delete_many(
    services: Use, caller: Caller, ref: InCollection, body: Deletion, key: IdempotencyKey = None
) -> Response:
    options = conditional_options_of(body, key)
    chosen = _chosen(body, services.max_batch_documents, "delete")
    if isinstance(chosen, Filter):
        written = await services.documents.delete_matching(caller, ref, chosen, options)
    else:
        written = await services.documents.delete_ids(caller, ref, chosen, options)
    return written_response("deleted", written)


@router.put(
    "/documents/{document_id:path}",
    summary="Insert or replace one document",
    response_model=UpsertedAnswer,
)
@writes_documents
async def replace(
    services: Use,
    caller: Caller,
    ref: InCollection,
    document_id: str,
    body: Replacement,
    matched: MatchedVersion,
    key: IdempotencyKey = None,
) -> Response:
    document = IncomingDocument(document_id, body.vector, body.text, body.payload, body.expires_at)
    options = options_of(body, key, _version_of(document_id, matched, body.if_version))
    try:
        written = await services.documents.upsert(caller, ref, [document], options=options)
    except InvalidArgument as error:
        field = error.fields["field"].removeprefix("documents[0]").removeprefix(".")
        raise InvalidArgument(field or "body", error.fields["reason"]) from None
    return written_response("acknowledged", written)


@router.patch(
    "/documents/{document_id:path}",
    summary="Change the payload of one document",
    response_model=PatchedAnswer,
)
@writes_documents
async def patch_one(
    services: Use,
    caller: Caller,
    ref: InCollection,
    document_id: str,
    body: DocumentPatch,
    matched: MatchedVersion,
    key: IdempotencyKey = None,
) -> Response:
    options = options_of(body, key, _version_of(document_id, matched, body.if_version))
    written = await services.documents.patch_ids(caller, ref, body.patch(), [document_id], options)
    if not written.affected:
        raise NotFound("document", document_id)
    return written_response("patched", written)


@router.delete(
    "/documents/{document_id:path}", summary="Delete one document", response_model=DeletedAnswer
)
@writes_documents
async def delete_one(
    services: Use,
    caller: Caller,
    ref: InCollection,
    document_id: str,
    matched: MatchedVersion,
    key: IdempotencyKey = None,
) -> Response:
    if_versions = _version_of(document_id, matched, None)
    options = WriteOptions(idempotency_key=key, if_versions=if_versions)
    written = await services.documents.delete_ids(caller, ref, [document_id], options)
    if not written.affected:
        raise NotFound("document", document_id)
    return written_response("deleted", written)


def _version_of(document_id: str, matched: int | None, given: int | None) -> Mapping[str, int]:
    version = one_condition(matched, given)
    return {} if version is None else {document_id: version}


def _chosen(body: Selection, max_ids: int, verb: str) -> Sequence[str] | Filter:
    if (body.ids is None) == (body.filter is None):
        raise InvalidArgument("ids", "give exactly one of 'ids' and 'filter'")
    if body.ids is not None:
        check_count("ids", len(body.ids), max_ids)
        return body.ids
    filter = parse_filter(body.filter)
    if filter.is_everything:
        raise InvalidArgument("filter", f"is empty, which would {verb} every document")
    return filter
