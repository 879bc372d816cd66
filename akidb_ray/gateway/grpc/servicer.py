"""The data plane as gRPC sees it: the same use cases as REST, with messages for bodies.

A plain class. Its methods take messages and a Call, and raise our errors; `calls.CallFrame` makes
statuses of them.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.query import FacetQuery
from akidb_ray.domain.version_token import one_token
from akidb_ray.gateway.grpc.calls import Call
from akidb_ray.gateway.grpc.document_messages import (
    chosen,
    document_messages,
    mode_of,
    options_of,
    patch_of,
    values_of,
)
from akidb_ray.gateway.grpc.fields import (
    check_format,
    filter_of,
    given,
    ref_of,
    vector_message,
)
from akidb_ray.gateway.grpc.search_messages import (
    DEFAULT_FACETS,
    DEFAULT_GROUP_SIZE,
    DEFAULT_LIMIT,
    facet_message,
    found_message,
    group_message,
    grouped_search_of,
    result_message,
    search_of,
    searches_of,
)
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.rest.answers import Stopwatch
from akidb_ray.gateway.rest.batch_limits import check_batch_of_searches
from akidb_ray.gateway.rest.document_writes import check_count
from akidb_ray.gateway.rest.search import refuse_bad_values
from akidb_ray.gateway.services import Services
from akidb_ray.service.documents import Written

_DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class AkiDBServicer:
    """The methods of `akidb.v2.AkiDB`, by their names there."""

    services: Services

    async def Upsert(self, request: pb.UpsertRequest, call: Call) -> pb.UpsertResponse:  # noqa: N802
        return _upserted(await self._write(request, call))

    async def UpsertStream(  # noqa: N802
        self, requests: AsyncIterator[pb.UpsertRequest], call: Call
    ) -> pb.UpsertResponse:
        """Errors say in `message` which message failed, and in `acknowledged` how many documents
        of those before it were written.
        """
        total = pb.UpsertResponse()
        first: pb.UpsertRequest | None = None
        number = 0
        async for request in requests:
            first = first or request
            try:
                _add(total, await self._write(_like_first(request, first, call), call))
            except AkiDBError as error:
                error.fields.update(message=number, acknowledged=total.acknowledged)
                raise
            number += 1
        if first is None:
            raise InvalidArgument("documents", "is empty: the stream has no message")
        return total

    async def _write(self, request: pb.UpsertRequest, call: Call) -> Written:
        documents, services = request.documents, self.services
        ref, mode = ref_of(request, call), mode_of(request)
        options = options_of(request.options)
        check_count("documents", len(documents), services.max_batch_documents)
        written = await values_of(request)
        if isinstance(written, DocumentBatch):
            return await services.documents.upsert_batch(
                call.principal, ref, written, mode, options
            )
        return await services.documents.upsert(call.principal, ref, written, mode, options)

    async def Patch(self, request: pb.PatchRequest, call: Call) -> pb.PatchResponse:  # noqa: N802
        documents, ref = self.services.documents, ref_of(request, call)
        options = options_of(request.options)
        what = chosen(request, self.services.max_batch_documents, "change")
        patch = patch_of(request)
        if isinstance(what, Filter):
            written = await documents.patch_matching(call.principal, ref, patch, what, options)
        else:
            written = await documents.patch_ids(call.principal, ref, patch, what, options)
        return pb.PatchResponse(
            patched=written.affected, skipped=written.skipped, version=written.version
        )

    async def Delete(self, request: pb.DeleteRequest, call: Call) -> pb.DeleteResponse:  # noqa: N802
        documents, ref = self.services.documents, ref_of(request, call)
        options = options_of(request.options)
        what = chosen(request, self.services.max_batch_documents, "delete")
        if isinstance(what, Filter):
            written = await documents.delete_matching(call.principal, ref, what, options)
        else:
            written = await documents.delete_ids(call.principal, ref, what, options)
        return pb.DeleteResponse(
            deleted=written.affected, skipped=written.skipped, version=written.version
        )

    async def Get(self, request: pb.GetRequest, call: Call) -> pb.GetResponse:  # noqa: N802
        ref, form = ref_of(request, call), check_format(request.vector_format)
        check_count("ids", len(request.ids), self.services.max_batch_documents)
        documents = await self.services.documents.get_many(
            call.principal,
            ref,
            list(request.ids),
            request.with_vector,
            given(request, "min_version", None),
            call.timeout_ms(),
        )
        return pb.GetResponse(documents=document_messages(documents, form))

    async def Scroll(  # noqa: N802
        self, request: pb.ScrollRequest, call: Call
    ) -> AsyncIterator[pb.ScrollResponse]:
        ref, form = ref_of(request, call), check_format(request.vector_format)
        filter = filter_of(request.filter)
        cursor = given(request, "cursor", None)
        more = True
        while more:
            page = await self.services.documents.scroll(
                call.principal,
                ref,
                filter,
                given(request, "limit", _DEFAULT_PAGE),
                cursor,
                given(request, "with_payload", True),
                request.with_vector,
                given(request, "min_version", None),
                call.timeout_ms(),
            )
            cursor = page.next_cursor
            more = cursor is not None
            documents = document_messages(page.documents, form)
            yield pb.ScrollResponse(documents=documents, next_cursor=cursor)

    async def Count(self, request: pb.CountRequest, call: Call) -> pb.CountResponse:  # noqa: N802
        ref, filter = ref_of(request, call), filter_of(request.filter)
        least = given(request, "min_version", None)
        counted = await self.services.documents.count(
            call.principal, ref, filter, least, call.timeout_ms()
        )
        return pb.CountResponse(count=counted)

    async def Search(self, request: pb.SearchRequest, call: Call) -> pb.SearchResponse:  # noqa: N802
        watch = Stopwatch()
        ref, search = ref_of(request, call), search_of(request, call.timeout_ms())
        answer = await self.services.search.search(call.principal, ref, search)
        return found_message(answer, request.vector_format, watch.took_ms)

    async def BatchSearch(  # noqa: N802
        self, request: pb.BatchSearchRequest, call: Call
    ) -> pb.BatchSearchResponse:
        watch = Stopwatch()
        ref = ref_of(request, call)
        searches = searches_of(request.searches, call.timeout_ms())
        check_batch_of_searches([(search.limit, search.offset) for search in searches])
        answers = await self.services.search.batch(call.principal, ref, searches)
        refuse_bad_values(answers)
        results = [
            result_message(answer, search.vector_format, call.request_id)
            for answer, search in zip(answers, request.searches, strict=True)
        ]
        return pb.BatchSearchResponse(results=results, took_ms=watch.took_ms)

    async def SearchGroups(  # noqa: N802
        self, request: pb.SearchGroupsRequest, call: Call
    ) -> pb.SearchGroupsResponse:
        watch = Stopwatch()
        answer = await self.services.search.groups(
            call.principal,
            ref_of(request, call),
            grouped_search_of(request, call.timeout_ms()),
            request.key,
            given(request, "limit", DEFAULT_LIMIT),
            given(request, "size", DEFAULT_GROUP_SIZE),
        )
        return pb.SearchGroupsResponse(
            groups=[group_message(group, request.vector_format) for group in answer.groups],
            missing_shards=answer.missing_shards,
            took_ms=watch.took_ms,
        )

    async def Facets(self, request: pb.FacetsRequest, call: Call) -> pb.FacetsResponse:  # noqa: N802
        watch = Stopwatch()
        limit = given(request, "limit", DEFAULT_FACETS)
        answer = await self.services.search.facets(
            call.principal,
            ref_of(request, call),
            FacetQuery(request.key, limit, filter_of(request.filter)),
            given(request, "min_version", None),
            call.timeout_ms(),
        )
        facets = [facet_message(facet) for facet in answer.facets]
        return pb.FacetsResponse(facets=facets, exact=answer.exact, took_ms=watch.took_ms)

    async def Embed(self, request: pb.EmbedRequest, call: Call) -> pb.EmbedResponse:  # noqa: N802
        form = check_format(request.vector_format)
        texts = list(request.texts)
        embedded = await self.services.embeddings.embed(call.principal, request.model, texts)
        return pb.EmbedResponse(
            vectors=[vector_message(vector, form) for vector in embedded.vectors],
            truncated=[row for row, cut in enumerate(embedded.truncated) if cut],
        )


def _upserted(written: Written) -> pb.UpsertResponse:
    return pb.UpsertResponse(
        acknowledged=written.affected,
        skipped=written.skipped,
        version=written.version,
        truncated_ids=written.truncated,
    )


def _add(total: pb.UpsertResponse, written: Written) -> None:
    """One more part of the whole. Its version asks for all parts."""
    version = one_token(filter(None, (total.version, written.version)))
    total.MergeFrom(pb.UpsertResponse(truncated_ids=written.truncated, version=version))
    total.acknowledged += written.affected
    total.skipped += written.skipped


def _like_first(request: pb.UpsertRequest, first: pb.UpsertRequest, call: Call) -> pb.UpsertRequest:
    """With the address of the first message of the stream, where it says nothing. Raises
    InvalidArgument where it says something else: one version can't be that of two collections.
    """
    for name in ("tenant", "database", "collection"):
        if not getattr(request, name):
            setattr(request, name, getattr(first, name))
    here, there = ref_of(request, call), ref_of(first, call)
    for name in ("tenant", "database", "collection"):
        if getattr(here, name) != getattr(there, name):
            raise InvalidArgument(name, "is not that of the first message of the stream")
    return request
