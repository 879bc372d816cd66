"""The asynchronous client of one server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from akidb.async_collection import AsyncCollection
from akidb.async_control import AsyncDatabases, AsyncJobs, AsyncTenants
from akidb.client import TIMEOUT_S
from akidb.collection_flows import CollectionFlows
from akidb.connection import AsyncConnection
from akidb.control import REMOVAL_WAIT_S
from akidb.control_flows import ControlFlows
from akidb.control_operations import collections_path
from akidb.document_operations import BatchLimits
from akidb.flows import Calls, Retries
from akidb.requests import path_of
from akidb.values import CollectionInfo, Job

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from akidb.control_operations import CollectionSettings, ListQuery


class AsyncClient:
    """Talks to the server at `url`, such as http://127.0.0.1:8100. The tasks of one event
    loop may share it.

    Without `tenant` and `database`, collections are those of the key's tenant and of the database
    `default`; with one of them, the other is `default`. Each request ends within `timeout_s`, with
    all its attempts; `batches` says how documents are divided among requests. Use it in an `async
    with` block, or close it.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        tenant: str | None = None,
        database: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = Retries(),
        batches: BatchLimits = BatchLimits(),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = AsyncConnection(url, api_key, transport)
        self._tenant = tenant
        self._database = database
        self._batches = batches
        self._calls = Calls(timeout_s, retries)
        self._flows = ControlFlows(self._calls)
        self.tenants = AsyncTenants(self._connection, self._flows)
        self.databases = AsyncDatabases(self._connection, self._flows, tenant)
        self.jobs = AsyncJobs(self._connection, self._flows)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._connection.close()

    def collection(
        self, name: str, *, tenant: str | None = None, database: str | None = None
    ) -> AsyncCollection:
        """A collection, by name or id. It is not looked up before something is asked of it."""
        path = self._collections(tenant, database) + path_of(name)
        return AsyncCollection(
            name, self._connection, CollectionFlows(path, self._calls, self._batches)
        )

    async def create_collection(
        self,
        name: str,
        *,
        tenant: str | None = None,
        database: str | None = None,
        **settings: Unpack[CollectionSettings],
    ) -> AsyncCollection:
        """Make a collection. Raises AlreadyExists, InvalidArgument, ... of AkiDBError."""
        path = self._collections(tenant, database)
        await self._connection.run(self._flows.create_collection(path, name, settings))
        return self.collection(name, tenant=tenant, database=database)

    async def get_or_create_collection(
        self,
        name: str,
        *,
        tenant: str | None = None,
        database: str | None = None,
        **settings: Unpack[CollectionSettings],
    ) -> AsyncCollection:
        """A collection, which is made when there is none of this name; many may ask at once.

        Raises AlreadyExists when the one that is there differs in one of these settings: `field`
        of the error's `fields` names it, `existing` and `given` are its values. Settings that are
        not given, and the description, may differ.
        """
        path = self._collections(tenant, database)
        await self._connection.run(self._flows.get_or_create_collection(path, name, settings))
        return self.collection(name, tenant=tenant, database=database)

    def list_collections(
        self,
        *,
        tenant: str | None = None,
        database: str | None = None,
        **query: Unpack[ListQuery],
    ) -> AsyncIterator[CollectionInfo]:
        path = self._collections(tenant, database)
        return self._connection.pages(
            lambda cursor: self._flows.collections_page(path, query, cursor)
        )

    async def delete_collection(
        self,
        name: str,
        *,
        tenant: str | None = None,
        database: str | None = None,
        wait_s: float = REMOVAL_WAIT_S,
    ) -> Job | None:
        """Delete a collection with all its documents; it is gone when this returns None.

        With `wait_s` 0 the job may be the answer, which goes on by itself. Raises JobFailed, and
        DeadlineExceeded when it still goes on after `wait_s`.
        """
        path = self._collections(tenant, database) + path_of(name)
        return await self._connection.run(self._flows.delete_collection(path, wait_s))

    def _collections(self, tenant: str | None, database: str | None) -> str:
        return collections_path(tenant or self._tenant, database or self._database)
