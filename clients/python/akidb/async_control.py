"""Tenants, databases and jobs of a server, for asynchronous code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from akidb.connection import AsyncConnection
from akidb.control import REMOVAL_WAIT_S
from akidb.control_flows import ControlFlows
from akidb.control_operations import DEFAULT_NAME
from akidb.requests import given
from akidb.values import Database, Job, Tenant

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from akidb.control_operations import ListQuery, TenantSettings


class AsyncTenants:
    """Tenants, which are named by slug or id. All methods raise AkiDBError."""

    def __init__(self, connection: AsyncConnection, flows: ControlFlows) -> None:
        self._connection = connection
        self._flows = flows

    async def create(self, name: str, **settings: Unpack[TenantSettings]) -> Tenant:
        return await self._connection.run(self._flows.create_tenant(name, settings))

    async def get(self, tenant: str) -> Tenant:
        return await self._connection.run(self._flows.get_tenant(tenant))

    def list(self, **query: Unpack[ListQuery]) -> AsyncIterator[Tenant]:
        return self._connection.pages(lambda cursor: self._flows.tenants_page(query, cursor))

    async def update(
        self, tenant: str, changes: Mapping[str, Any], *, if_version: int | None = None
    ) -> Tenant:
        """Change what `changes` names, such as `{"name": "Acme Ltd"}`."""
        return await self._connection.run(self._flows.update_tenant(tenant, changes, if_version))

    async def suspend(self, tenant: str) -> Tenant:
        """It reads and writes nothing until it is resumed."""
        return await self._connection.run(self._flows.move_tenant(tenant, "suspend"))

    async def resume(self, tenant: str) -> Tenant:
        return await self._connection.run(self._flows.move_tenant(tenant, "resume"))

    async def decommission(self, tenant: str) -> Tenant:
        """For good; its data stays until it is purged."""
        return await self._connection.run(self._flows.move_tenant(tenant, "decommission"))

    async def purge(self, tenant: str, *, wait_s: float = REMOVAL_WAIT_S) -> Job | None:
        """Remove a decommissioned tenant with all that is in it. See
        `AsyncClient.delete_collection`.
        """
        return await self._connection.run(self._flows.purge_tenant(tenant, wait_s))


class AsyncDatabases:
    """Databases of a tenant, which are named by name or id. All methods raise AkiDBError."""

    def __init__(
        self, connection: AsyncConnection, flows: ControlFlows, tenant: str | None
    ) -> None:
        self._connection = connection
        self._flows = flows
        self._tenant = tenant or DEFAULT_NAME

    async def create(
        self, name: str, *, description: str = "", tenant: str | None = None
    ) -> Database:
        return await self._connection.run(
            self._flows.create_database(tenant or self._tenant, name, description)
        )

    async def get(self, name: str, *, tenant: str | None = None) -> Database:
        return await self._connection.run(self._flows.get_database(tenant or self._tenant, name))

    def list(
        self, *, tenant: str | None = None, **query: Unpack[ListQuery]
    ) -> AsyncIterator[Database]:
        of = tenant or self._tenant
        return self._connection.pages(lambda cursor: self._flows.databases_page(of, query, cursor))

    async def update(
        self,
        database: str,
        *,
        name: str | None = None,
        description: str | None = None,
        if_version: int | None = None,
        tenant: str | None = None,
    ) -> Database:
        changes = given(name=name, description=description)
        return await self._connection.run(
            self._flows.update_database(tenant or self._tenant, database, changes, if_version)
        )

    async def delete(
        self,
        name: str,
        *,
        cascade: bool = False,
        wait_s: float = REMOVAL_WAIT_S,
        tenant: str | None = None,
    ) -> Job | None:
        """Delete a database, with `cascade` also one that holds collections. See
        `AsyncClient.delete_collection`.
        """
        return await self._connection.run(
            self._flows.delete_database(tenant or self._tenant, name, cascade, wait_s)
        )


class AsyncJobs:
    """What the server does over time. All methods raise AkiDBError."""

    def __init__(self, connection: AsyncConnection, flows: ControlFlows) -> None:
        self._connection = connection
        self._flows = flows

    async def get(self, job_id: str) -> Job:
        return await self._connection.run(self._flows.get_job(job_id))

    def list(
        self,
        *,
        tenant: str | None = None,
        state: str | None = None,
        descending: bool | None = None,
    ) -> AsyncIterator[Job]:
        query = given(tenant=tenant, state=state, descending=descending)
        return self._connection.pages(lambda cursor: self._flows.jobs_page(query, cursor))

    async def cancel(self, job_id: str) -> Job:
        """Ask it to stop at its next step; only a purge can."""
        return await self._connection.run(self._flows.cancel_job(job_id))

    async def wait(self, job_id: str, *, wait_s: float = REMOVAL_WAIT_S) -> Job:
        """The job at its end. Raises JobFailed when it did not succeed, DeadlineExceeded when it
        goes on after `wait_s`.
        """
        return await self._connection.run(self._flows.wait_for_job(job_id, wait_s))
