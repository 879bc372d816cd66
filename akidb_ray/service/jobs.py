"""Jobs: long work that a request began, watched, waited for and cancelled.

A job belongs to the tenant that it works on: whoever may see what it works on may see the job, and
whoever could begin it may cancel it. All jobs together are the cluster's.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from akidb_ray.access.authorization import Action, Authorizer, Principal, Resource
from akidb_ray.domain.errors import AkiDBError, NotFound
from akidb_ray.domain.ids import JobId, TenantId
from akidb_ray.domain.jobs import Job, JobKind
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.ports import Catalog

_FIRST_LOOK_S = 0.02
_LOOK_GROWTH = 1.5
_LAST_LOOK_S = 0.5

_READING: Mapping[JobKind, Action] = {
    JobKind.DELETE_COLLECTION: Action.READ_COLLECTION,
    JobKind.DELETE_DATABASE: Action.READ_DATABASE,
    JobKind.PURGE_TENANT: Action.READ_TENANT,
}
_BEGINNING: Mapping[JobKind, Action] = {
    JobKind.DELETE_COLLECTION: Action.WRITE_COLLECTION,
    JobKind.DELETE_DATABASE: Action.WRITE_DATABASE,
    JobKind.PURGE_TENANT: Action.WRITE_TENANT,
}


@dataclass(frozen=True, slots=True)
class Jobs:
    catalog: Catalog
    copy: CatalogCopy
    authorizer: Authorizer

    async def get(self, principal: Principal, ref: str) -> Job:
        """By id. Ended jobs are remembered for 30 days at least."""
        return await self._job(principal, ref, _READING)

    async def list(
        self, principal: Principal, listing: Listing, tenant_ref: str | None = None
    ) -> Page[Job]:
        """Of one tenant, which may be gone if it is named by its id, or of all."""
        if tenant_ref is None:
            self.authorizer.authorize(principal, Action.READ_CLUSTER, Resource("jobs", "all"))
            return await self.catalog.list_jobs(None, listing)
        tenant_id = await self._tenant_id(tenant_ref)
        resource = Resource("jobs", tenant_ref, tenant_id)
        self.authorizer.authorize(principal, Action.READ_TENANT, resource)
        return await self.catalog.list_jobs(tenant_id, listing)

    async def cancel(self, principal: Principal, ref: str) -> Job:
        """Ask it to stop at its next step. Raises InvalidState if it has ended or cannot stop."""
        job = await self._job(principal, ref, _BEGINNING)
        return await self.catalog.cancel_job(job.job_id)

    async def wait(self, job: Job, wait_s: float) -> Job:
        """The job as it stands at its end, or after `wait_s` seconds of waiting for that. Does not
        raise: the job was begun, which is durable, and an error for an answer would deny that.
        """
        give_up_at = _now() + wait_s
        pause_s = _FIRST_LOOK_S
        while not job.ended and (left_s := give_up_at - _now()) > 0:
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * _LOOK_GROWTH, _LAST_LOOK_S)
            with contextlib.suppress(AkiDBError):
                job = await self._newest(job.job_id)
        return job

    async def _newest(self, job_id: JobId) -> Job:
        """Once it has ended, what it did is in the copy, too."""
        job = await self.catalog.get_job(job_id)
        if job.ended:
            await self.copy.catch_up()
        return job

    async def _job(self, principal: Principal, ref: str, actions: Mapping[JobKind, Action]) -> Job:
        job_id = _uuid(ref)
        if job_id is None:
            raise NotFound("job", ref)
        job = await self.catalog.get_job(JobId(job_id))
        resource = Resource("job", str(job.job_id), job.tenant_id)
        self.authorizer.authorize(principal, actions[job.kind], resource)
        return job

    async def _tenant_id(self, ref: str) -> TenantId:
        try:
            return (await self.copy.find(lambda directory: directory.tenant(ref))).tenant_id
        except NotFound:
            gone = _uuid(ref)
            if gone is None:
                raise
            return TenantId(gone)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _uuid(ref: str) -> UUID | None:
    try:
        return UUID(ref)
    except ValueError:
        return None
