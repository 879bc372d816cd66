"""What can be done with the documents of a collection, for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from akidb import document_operations as documents
from akidb import search_operations as searches
from akidb.control_operations import get_collection, update
from akidb.document_operations import (
    Batch,
    BatchLimits,
    PayloadChanges,
    Reading,
    Target,
    UpsertOptions,
    WriteOptions,
)
from akidb.errors import AkiDBError
from akidb.flows import Calls, Flow
from akidb.requests import Operation, check_arguments
from akidb.values import (
    CollectionInfo,
    Document,
    Facets,
    Groups,
    Page,
    Results,
    Written,
    collection_of,
)

if TYPE_CHECKING:
    from akidb.search_operations import Filter, GroupedQuery, SearchQuery
    from akidb.vectors import Vectors

_COLUMNS = ("ids", "vectors", "texts", "payloads")
_OF_UPSERTS = {*UpsertOptions.__annotations__, *_COLUMNS, "documents", "idempotency_key"}
_OF_WRITES = {*WriteOptions.__annotations__, "ids", "filter", "idempotency_key"}


@dataclass(frozen=True)
class CollectionFlows:
    """`path` is the collection's. Each method makes a flow, which the clients run."""

    path: str
    calls: Calls
    limits: BatchLimits

    def upsert(
        self,
        given: Iterable[Document | Mapping[str, Any]] | None,
        ids: Iterable[str] | None,
        vectors: Vectors | None,
        texts: Iterable[str | None] | None,
        payloads: Iterable[Mapping[str, Any] | None] | None,
        idempotency_key: str | None,
        options: UpsertOptions,
    ) -> Flow[Written]:
        """One request after the other, so that of documents with one id the last one wins."""
        check_arguments("an upsert", options, _OF_UPSERTS)
        key = documents.idempotency_key_of(idempotency_key)
        encoded = documents.encoded_documents(given, ids, vectors, texts, payloads)
        if options.get("if_versions"):
            # Only all ids tell that a condition is about none of them.
            held = list(encoded)
            documents.check_conditions(options, (document_id for document_id, _ in held))
            encoded = iter(held)
        return self._write(
            (batch.first_row, documents.upsert(self.path, batch, options, _part(key, batch)))
            for batch in documents.batches(encoded, self.limits)
        )

    def patch(
        self,
        target: Target,
        changes: PayloadChanges,
        idempotency_key: str | None,
        options: WriteOptions,
    ) -> Flow[Written]:
        check_arguments("a patch", changes, PayloadChanges.__annotations__)
        key = documents.idempotency_key_of(idempotency_key)
        parts = self._parts(target, options)
        return self._write(
            (part.first_row, documents.patch(self.path, part, changes, options, _part(key, part)))
            for part in parts
        )

    def delete(
        self, target: Target, idempotency_key: str | None, options: WriteOptions
    ) -> Flow[Written]:
        key = documents.idempotency_key_of(idempotency_key)
        parts = self._parts(target, options)
        return self._write(
            (part.first_row, documents.delete(self.path, part, options, _part(key, part)))
            for part in parts
        )

    def get(self, document_id: str, with_vector: bool, reading: Reading) -> Flow[Document]:
        return self.calls.call(documents.get(self.path, document_id, with_vector, reading))

    def get_many(
        self, ids: Iterable[str], with_vector: bool, reading: Reading
    ) -> Flow[list[Document | None]]:
        asked = documents.ids_of(ids)
        found: dict[str, Document] = {}
        for part in Target(asked, None).parts(self.limits):
            try:
                some = yield from self.calls.call(
                    documents.get_many(self.path, part.ids or (), with_vector, reading)
                )
            except AkiDBError as error:
                error.count_rows_from(part.first_row)
                raise
            found.update((document.id, document) for document in some)
        return [found.get(document_id) for document_id in asked]

    def scroll_page(
        self,
        filter: Filter | None,
        page_size: int,
        with_payload: bool,
        with_vector: bool,
        reading: Reading,
        cursor: str | None,
    ) -> Flow[Page[Document]]:
        return self.calls.call(
            documents.scroll(
                self.path, filter, page_size, with_payload, with_vector, reading, cursor
            )
        )

    def count(self, filter: Filter | None, reading: Reading) -> Flow[int]:
        return self.calls.call(documents.count(self.path, filter, reading))

    def search(self, query: SearchQuery) -> Flow[Results]:
        return self.calls.call(searches.search(self.path, query))

    def search_batch(self, queries: Sequence[SearchQuery]) -> Flow[list[Results | AkiDBError]]:
        if not queries:
            return []
        return (yield from self.calls.call(searches.search_batch(self.path, queries)))

    def search_groups(self, key: str, limit: int, size: int, query: GroupedQuery) -> Flow[Groups]:
        return self.calls.call(searches.search_groups(self.path, key, limit, size, query))

    def facets(self, key: str, limit: int, filter: Filter | None, reading: Reading) -> Flow[Facets]:
        return self.calls.call(searches.facets(self.path, key, limit, filter, reading))

    def info(self) -> Flow[CollectionInfo]:
        return self.calls.call(get_collection(self.path))

    def update(self, changes: Mapping[str, Any], if_version: int | None) -> Flow[CollectionInfo]:
        return self.calls.call(update(self.path, changes, if_version, collection_of))

    def _parts(self, target: Target, options: WriteOptions) -> list[Target]:
        """Raises TypeError or ValueError for what can't be meant, before anything is written."""
        check_arguments("this write", options, _OF_WRITES)
        parts = list(target.parts(self.limits))
        if target.ids is not None:
            documents.check_conditions(options, (each for part in parts for each in part.ids or ()))
        return parts

    def _write(self, requests: Iterable[tuple[int, Operation[Written]]]) -> Flow[Written]:
        """Carry out a write in these requests, of which each begins at a row."""
        written, first_row = Written(), 0
        try:
            for row, operation in requests:
                first_row = row
                written += yield from self.calls.call(operation)
        except AkiDBError as error:
            error.count_rows_from(first_row)
            error.written = written
            raise
        return written


def _part(key: str, part: Batch | Target) -> str:
    """The idempotency key of a part of a write: the same again when the call is made again."""
    return f"{key}-{part.first_row}" if part.first_row else key
