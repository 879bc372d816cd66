"""One collection of a server, for asynchronous code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from akidb.collection_flows import CollectionFlows
from akidb.connection import AsyncConnection
from akidb.document_operations import Reading, Target
from akidb.errors import AkiDBError
from akidb.requests import given
from akidb.values import CollectionInfo, Document, Facets, Groups, Results, Written

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from akidb.document_operations import PayloadChanges, UpsertOptions, WriteOptions
    from akidb.search_operations import Filter, GroupedQuery, SearchQuery
    from akidb.vectors import Vectors


class AsyncCollection:
    """Made by `AsyncClient.collection`; no request is made until something is asked.

    All methods raise AkiDBError. Filters are written as docs/filters.md says.
    """

    def __init__(self, name: str, connection: AsyncConnection, flows: CollectionFlows) -> None:
        self.name = name
        self._connection = connection
        self._flows = flows

    def __repr__(self) -> str:
        return f"<AsyncCollection {self._flows.path}>"

    async def upsert(
        self,
        documents: Iterable[Document | Mapping[str, Any]] | None = None,
        *,
        ids: Iterable[str] | None = None,
        vectors: Vectors | None = None,
        texts: Iterable[str | None] | None = None,
        payloads: Iterable[Mapping[str, Any] | None] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[UpsertOptions],
    ) -> Written:
        """Insert or replace documents, given one by one or as columns of equal length.

        `vectors` are of shape (rows, dimension). They go in as few requests as the client's limits
        allow, one after the other. When one fails, the error's `written` says what those before
        it did; the same call with the same `idempotency_key` completes it. A row that is no
        document raises ValueError or TypeError when it is reached.
        """
        return await self._connection.run(
            self._flows.upsert(documents, ids, vectors, texts, payloads, idempotency_key, options)
        )

    async def patch(
        self,
        changes: PayloadChanges,
        *,
        ids: Iterable[str] | None = None,
        filter: Filter | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> Written:
        """Change the payloads of these documents, such as by `{"set": {"year": 2000}}`."""
        return await self._connection.run(
            self._flows.patch(Target(ids, filter), changes, idempotency_key, options)
        )

    async def delete(
        self,
        *,
        ids: Iterable[str] | None = None,
        filter: Filter | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> Written:
        """Delete these documents, where there are any."""
        return await self._connection.run(
            self._flows.delete(Target(ids, filter), idempotency_key, options)
        )

    async def get(
        self,
        document_id: str,
        *,
        with_vector: bool = False,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> Document:
        """One document. Raises NotFound.

        Here and in the other reads, `min_version` is the version of a write that must be seen; a
        request that the server has not answered within `timeout_ms` raises DeadlineExceeded.
        """
        reading = Reading(min_version, timeout_ms)
        return await self._connection.run(self._flows.get(document_id, with_vector, reading))

    async def get_many(
        self,
        ids: Iterable[str],
        *,
        with_vector: bool = False,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> list[Document | None]:
        """The documents in the order of `ids`, None where there is none."""
        reading = Reading(min_version, timeout_ms)
        return await self._connection.run(self._flows.get_many(ids, with_vector, reading))

    def scroll(
        self,
        *,
        filter: Filter | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        page_size: int = 500,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> AsyncIterator[Document]:
        """All documents that pass, in the order of their ids; pages are fetched on the way, each
        within `timeout_ms`. Without `with_payload` they come without payload and text.
        """
        reading = Reading(min_version, timeout_ms)
        return self._connection.pages(
            lambda cursor: self._flows.scroll_page(
                filter, page_size, with_payload, with_vector, reading, cursor
            )
        )

    async def count(
        self,
        filter: Filter | None = None,
        *,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> int:
        """How many documents pass, exactly."""
        reading = Reading(min_version, timeout_ms)
        return await self._connection.run(self._flows.count(filter, reading))

    async def search(self, **query: Unpack[SearchQuery]) -> Results:
        """The best documents for a `vector`, a `text` or the `id` of a document, best first.

        SearchQuery has all arguments.
        """
        return await self._connection.run(self._flows.search(query))

    async def search_batch(self, queries: Sequence[SearchQuery]) -> list[Results | AkiDBError]:
        """What `search` answers to each, in one request; an error where one failed by itself."""
        return await self._connection.run(self._flows.search_batch(queries))

    async def search_groups(
        self, key: str, *, limit: int = 10, size: int = 3, **query: Unpack[GroupedQuery]
    ) -> Groups:
        """The best `limit` groups of documents that share a value at the payload path `key`, by
        their best document, and the best `size` documents of each.
        """
        return await self._connection.run(self._flows.search_groups(key, limit, size, query))

    async def facets(
        self,
        key: str,
        *,
        limit: int = 10,
        filter: Filter | None = None,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> Facets:
        """The most frequent values at the payload path `key` among the documents that pass."""
        reading = Reading(min_version, timeout_ms)
        return await self._connection.run(self._flows.facets(key, limit, filter, reading))

    async def info(self) -> CollectionInfo:
        """Its settings, and under `status` how its shards stand."""
        return await self._connection.run(self._flows.info())

    async def update(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        if_version: int | None = None,
    ) -> CollectionInfo:
        """Change its name or description. This object goes on to name the collection as before."""
        changes = given(name=name, description=description)
        return await self._connection.run(self._flows.update(changes, if_version))
