"""What can be done with tenants, databases, collections and jobs, for both clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from akidb import control_operations as control
from akidb.control_operations import JOBS, TENANTS, databases_path
from akidb.errors import AlreadyExists, DeadlineExceeded, JobFailed, NotFound, QuotaExceeded
from akidb.flows import Calls, Flow, Wait
from akidb.requests import Operation, path_of
from akidb.values import (
    CollectionInfo,
    Database,
    Job,
    Page,
    Tenant,
    collection_of,
    database_of,
    job_of,
    tenant_of,
)

T = TypeVar("T")
# The server waits itself for a removal, up to a minute; short enough here for any proxy between.
_LONGEST_SERVER_WAIT_S = 20.0
_FIRST_POLL_S = 0.1
_LONGEST_POLL_S = 2.0


@dataclass(frozen=True)
class ControlFlows:
    """Each method makes a flow, which the clients run."""

    calls: Calls

    def create_tenant(self, name: str, settings: Mapping[str, Any]) -> Flow[Tenant]:
        return self._create(TENANTS, {"name": name, **settings}, tenant_of)

    def get_tenant(self, tenant: str) -> Flow[Tenant]:
        return self.calls.call(control.get_tenant(tenant))

    def update_tenant(
        self, tenant: str, changes: Mapping[str, Any], if_version: int | None
    ) -> Flow[Tenant]:
        path = f"{TENANTS}{path_of(tenant)}"
        return self.calls.call(control.update(path, changes, if_version, tenant_of))

    def move_tenant(self, tenant: str, verb: str) -> Flow[Tenant]:
        return self.calls.call(control.move_tenant(tenant, verb))

    def purge_tenant(self, tenant: str, wait_s: float) -> Flow[Job | None]:
        return self._remove(f"{TENANTS}{path_of(tenant)}/purge", "POST", wait_s)

    def tenants_page(self, query: Mapping[str, Any], cursor: str | None) -> Flow[Page[Tenant]]:
        return self._page(TENANTS, "tenants", query, cursor, tenant_of)

    def create_database(self, tenant: str, name: str, description: str) -> Flow[Database]:
        body = {"name": name, "description": description}
        return self._create(databases_path(tenant), body, database_of)

    def get_database(self, tenant: str, name: str) -> Flow[Database]:
        return self.calls.call(control.get_database(tenant, name))

    def update_database(
        self, tenant: str, name: str, changes: Mapping[str, Any], if_version: int | None
    ) -> Flow[Database]:
        path = f"{databases_path(tenant)}{path_of(name)}"
        return self.calls.call(control.update(path, changes, if_version, database_of))

    def delete_database(
        self, tenant: str, name: str, cascade: bool, wait_s: float
    ) -> Flow[Job | None]:
        path = f"{databases_path(tenant)}{path_of(name)}"
        query = {"cascade": "true"} if cascade else {}
        return self._remove(path, "DELETE", wait_s, **query)

    def databases_page(
        self, tenant: str, query: Mapping[str, Any], cursor: str | None
    ) -> Flow[Page[Database]]:
        return self._page(databases_path(tenant), "databases", query, cursor, database_of)

    def create_collection(
        self, path: str, name: str, settings: Mapping[str, Any]
    ) -> Flow[CollectionInfo]:
        return self._create(path, {"name": name, **settings}, collection_of)

    def get_or_create_collection(
        self, path: str, name: str, settings: Mapping[str, Any]
    ) -> Flow[CollectionInfo]:
        """The collection, made when there is none. Raises AlreadyExists when that which is there
        has other settings than these.
        """
        operation = control.create(path, {"name": name, **settings}, collection_of)
        # The second time finds what the first has made.
        creation = replace(operation, request=replace(operation.request, repeatable=True))
        end = self.calls.now() + self.calls.timeout_s
        poll_s = _FIRST_POLL_S
        while True:
            there = yield from self._collection(path, name)
            if there is not None and there.state != "deleting":
                control.check_settings(there, settings)
                if there.state == "ready":
                    return there
            try:
                return (yield from self.calls.call(creation))
            except (AlreadyExists, QuotaExceeded) as error:
                # Somebody makes it at this moment, took its place, or removes it.
                if self.calls.now() + poll_s >= end:
                    raise
                if isinstance(error, QuotaExceeded) and not (
                    yield from self._collection(path, name)
                ):
                    raise
            yield Wait(poll_s)
            poll_s = min(poll_s * 2, _LONGEST_POLL_S)

    def delete_collection(self, path: str, wait_s: float) -> Flow[Job | None]:
        return self._remove(path, "DELETE", wait_s)

    def collections_page(
        self, path: str, query: Mapping[str, Any], cursor: str | None
    ) -> Flow[Page[CollectionInfo]]:
        return self._page(path, "collections", query, cursor, collection_of)

    def get_job(self, job_id: str) -> Flow[Job]:
        return self.calls.call(control.get_job(job_id))

    def cancel_job(self, job_id: str) -> Flow[Job]:
        return self.calls.call(control.cancel_job(job_id))

    def jobs_page(self, query: Mapping[str, Any], cursor: str | None) -> Flow[Page[Job]]:
        return self._page(JOBS, "jobs", query, cursor, job_of)

    def wait_for_job(self, job_id: str, wait_s: float) -> Flow[Job]:
        """The job at its end. Raises JobFailed when it did not succeed, DeadlineExceeded when it
        has not ended in time; it goes on then.
        """
        end = self.calls.now() + wait_s
        poll_s = _FIRST_POLL_S
        while True:
            job = yield from self.get_job(job_id)
            if job.ended:
                return _succeeded(job)
            left_s = end - self.calls.now()
            if left_s <= 0:
                why = f": {job.error}" if job.error else ""
                raise DeadlineExceeded(
                    f"job {job.id} ({job.kind} {job.subject}) still runs after {wait_s} s{why}",
                    fields={"job_id": job.id},
                )
            yield Wait(min(poll_s, left_s))
            poll_s = min(poll_s * 2, _LONGEST_POLL_S)

    def _collection(self, path: str, name: str) -> Flow[CollectionInfo | None]:
        try:
            return (yield from self.calls.call(control.get_collection(f"{path}{path_of(name)}")))
        except NotFound:
            return None

    def _create(self, path: str, body: Mapping[str, Any], parse: Callable[[Any], T]) -> Flow[T]:
        return self.calls.call(control.create(path, body, parse))

    def _page(
        self,
        path: str,
        kind: str,
        query: Mapping[str, Any],
        cursor: str | None,
        parse: Callable[[Any], T],
    ) -> Flow[Page[T]]:
        operation: Operation[Page[T]] = control.list_page(path, kind, query, cursor, parse)
        return self.calls.call(operation)

    def _remove(self, path: str, method: str, wait_s: float, **query: str) -> Flow[Job | None]:
        """None when all is gone within `wait_s`; the job with `wait_s` 0, when it goes on."""
        end = self.calls.now() + wait_s
        server_wait_s = min(wait_s, _LONGEST_SERVER_WAIT_S, self.calls.timeout_s / 2)
        job = yield from self.calls.call(control.remove(path, method, server_wait_s, **query))
        if job is None or wait_s == 0:
            return job
        yield from self.wait_for_job(job.id, max(0.0, end - self.calls.now()))
        return None


def _succeeded(job: Job) -> Job:
    if job.state == "succeeded":
        return job
    reason = job.error or "no reason is known"
    raise JobFailed(
        f"job {job.id} ({job.kind} {job.subject}) {job.state}: {reason}", fields=job.settings
    )
