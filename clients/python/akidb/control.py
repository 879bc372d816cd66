"""Tenants, databases and jobs of a server, for synchronous code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from akidb.connection import Connection
from akidb.control_flows import ControlFlows
from akidb.control_operations import DEFAULT_NAME
from akidb.requests import given
from akidb.values import Database, Job, Tenant

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from akidb.control_operations import ListQuery, TenantSettings

REMOVAL_WAIT_S = 300.0
"""How long removals are waited for, when nothing else is said."""


class Tenants:
    """Tenants, which are named by slug or id. All methods raise AkiDBError."""

    def __init__(self, connection: Connection, flows: ControlFlows) -> None:
        self._connection = connection
        self._flows = flows

    def create(self, name: str, **settings: Unpack[TenantSettings]) -> Tenant:
        return self._connection.run(self._flows.create_tenant(name, settings))

    def get(self, tenant: str) -> Tenant:
        return self._connection.run(self._flows.get_tenant(tenant))

    def list(self, **query: Unpack[ListQuery]) -> Iterator[Tenant]:
        return self._connection.pages(lambda cursor: self._flows.tenants_page(query, cursor))

    def update(
        self, tenant: str, changes: Mapping[str, Any], *, if_version: int | None = None
    ) -> Tenant:
        """Change what `changes` names, such as `{"name": "Acme Ltd"}`."""
        return self._connection.run(self._flows.update_tenant(tenant, changes, if_version))

    def suspend(self, tenant: str) -> Tenant:
        """It reads and writes nothing until it is resumed."""
        return self._connection.run(self._flows.move_tenant(tenant, "suspend"))

    def resume(self, tenant: str) -> Tenant:
        return self._connection.run(self._flows.move_tenant(tenant, "resume"))

    def decommission(self, tenant: str) -> Tenant:
        """For good; its data stays until it is purged."""
        return self._connection.run(self._flows.move_tenant(tenant, "decommission"))

    def purge(self, tenant: str, *, wait_s: float = REMOVAL_WAIT_S) -> Job | None:
        """Remove a decommissioned tenant with all that is in it. See `Client.delete_collection`."""
        return self._connection.run(self._flows.purge_tenant(tenant, wait_s))


class Databases:
    """Databases of a tenant, which are named by name or id. All methods raise AkiDBError."""

    def __init__(self, connection: Connection, flows: ControlFlows, tenant: str | None) -> None:
        self._connection = connection
        self._flows = flows
        self._tenant = tenant or DEFAULT_NAME

    def create(self, name: str, *, description: str = "", tenant: str | None = None) -> Database:
        return self._connection.run(
            self._flows.create_database(tenant or self._tenant, name, description)
        )

    def get(self, name: str, *, tenant: str | None = None) -> Database:
        return self._connection.run(self._flows.get_database(tenant or self._tenant, name))

    def list(self, *, tenant: str | None = None, **query: Unpack[ListQuery]) -> Iterator[Database]:
        of = tenant or self._tenant
        return self._connection.pages(lambda cursor: self._flows.databases_page(of, query, cursor))

    def update(
        self,
        database: str,
        *,
        name: str | None = None,
        description: str | None = None,
        if_version: int | None = None,
        tenant: str | None = None,
    ) -> Database:
        changes = given(name=name, description=description)
        return self._connection.run(
            self._flows.update_database(tenant or self._tenant, database, changes, if_version)
        )

    def delete(
        self,
        name: str,
        *,
        cascade: bool = False,
        wait_s: float = REMOVAL_WAIT_S,
        tenant: str | None = None,
    ) -> Job | None:
        """Delete a database, with `cascade` also one that holds collections. See
        `Client.delete_collection`.
        """
        return self._connection.run(
            self._flows.delete_database(tenant or self._tenant, name, cascade, wait_s)
        )


class Jobs:
    """What the server does over time. All methods raise AkiDBError."""

    def __init__(self, connection: Connection, flows: ControlFlows) -> None:
        self._connection = connection
        self._flows = flows

    def get(self, job_id: str) -> Job:
        return self._connection.run(self._flows.get_job(job_id))

    def list(
        self,
        *,
        tenant: str | None = None,
        state: str | None = None,
        descending: bool | None = None,
    ) -> Iterator[Job]:
        query = given(tenant=tenant, state=state, descending=descending)
        return self._connection.pages(lambda cursor: self._flows.jobs_page(query, cursor))

    def cancel(self, job_id: str) -> Job:
        """Ask it to stop at its next step; only a purge can."""
        return self._connection.run(self._flows.cancel_job(job_id))

    def wait(self, job_id: str, *, wait_s: float = REMOVAL_WAIT_S) -> Job:
        """The job at its end. Raises JobFailed when it did not succeed, DeadlineExceeded when it
        goes on after `wait_s`.
        """
        return self._connection.run(self._flows.wait_for_job(job_id, wait_s))
