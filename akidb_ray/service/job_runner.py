"""Carries out the catalog's jobs: what is deleted loses its files first, then its rows.

Rules kept here, so that a crash at any point is made good by running again:

- Files go only after a commit that says `deleting`, for which there is no way back.
- A collection's row goes only when all its shards' folders are gone; the row of its database or
  tenant goes last. So whatever has files still has a row that leads to them.
- Every step can be carried out twice: a folder, or a row, may be gone already.
- A host that can't be reached holds up the jobs that need it, for as long as it is away, and no
  other job: all jobs go on side by side, and only the work on each store is bounded.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from akidb_ray.domain.collection import Collection, CollectionState
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import AkiDBError, Internal, InvalidState, NotFound
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, StoreId, TenantId
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, Tenant
from akidb_ray.service.ports import ShardHosts

_log = logging.getLogger(__name__)
_Placed = tuple[Collection, tuple[ShardPlacement, ...]]

BEGINS_JOB = frozenset({"delete_collection", "delete_database", "purge_tenant"})
"""Methods of the catalog; who called one is to wake the runner."""

BRINGS_STORE = frozenset({"register_store"})
"""Methods of the catalog; who called one is to have waiting jobs tried again."""


class JobCatalog(Protocol):
    """What running jobs takes of a catalog. Each method is one transaction."""

    async def running_jobs(self) -> list[Job]: ...

    async def get_job(self, job_id: JobId) -> Job: ...

    async def get_tenant(self, ref: str | TenantId) -> Tenant: ...

    async def get_database(self, tenant_id: TenantId, ref: str | DatabaseId) -> Database: ...

    async def job_collections(self, job: Job) -> list[_Placed]:
        """Those that it has to remove still, by id."""

    async def mark_deleting(self, collection_id: CollectionId) -> Collection:
        """From here on there is no way back. One that is marked already stays so."""

    async def finish_step(self, job_id: JobId, collection_id: CollectionId) -> Job:
        """Remove the row of a collection whose files are gone, and count that."""

    async def end_job(self, job_id: JobId) -> Job:
        """Remove the row of the job's subject: it has succeeded. One that was asked to stop is
        cancelled instead, and removes nothing.
        """

    async def fail_job(self, job_id: JobId, error: str) -> Job: ...

    async def note_job(self, job_id: JobId, error: str | None) -> Job:
        """Record what keeps it from going on; None: nothing does any more."""


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """So many shards are deleted from one store at the same time; its host has writes to do, too.
    After a failure a job waits for `first_wait_s`, and after each further one twice as long, up to
    `longest_wait_s`.
    """

    drops_per_store: int = 2
    first_wait_s: float = 0.2
    longest_wait_s: float = 30.0


class _BackOff:
    """Waits after failures: longer after each one, until something went well, or until there is
    `hope`. `known` is the failure that was logged and recorded since.
    """

    def __init__(self, policy: JobPolicy) -> None:
        self._policy = policy
        self._wait_s = policy.first_wait_s
        self.known: str | None = None

    async def wait(self, hope: asyncio.Event) -> None:
        wait_s = self._wait_s
        self._wait_s = min(2 * wait_s, self._policy.longest_wait_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await hope.wait()
                self._wait_s = self._policy.first_wait_s

    def reset(self) -> None:
        self._wait_s = self._policy.first_wait_s
        self.known = None


class JobRunner:
    """Works on all running jobs of a catalog. One runner per catalog."""

    def __init__(
        self, catalog: JobCatalog, hosts: ShardHosts, policy: JobPolicy | None = None
    ) -> None:
        self._catalog = catalog
        self._hosts = hosts
        self._policy = policy or JobPolicy()
        self._woken = asyncio.Event()
        self._hope = asyncio.Event()
        self._under_way: set[JobId] = set()
        # Given in the order of asking, for one shard at a time: a job of one collection does not
        # wait for another one's thousands.
        self._places: dict[StoreId, asyncio.Semaphore] = {}

    def wake(self) -> None:
        """Say that there may be a new job."""
        self._woken.set()

    def try_again(self) -> None:
        """Say that what jobs wait for may be there again: none of them waits any longer."""
        self._hope.set()
        self._hope = asyncio.Event()

    async def run(self) -> None:
        """Take up every running job, and new ones when woken, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                for job in await self._running_jobs():
                    if job.job_id not in self._under_way:
                        self._under_way.add(job.job_id)
                        tasks.create_task(self._see_through(job.job_id))
                await self._woken.wait()

    async def _running_jobs(self) -> list[Job]:
        back_off = _BackOff(self._policy)
        while True:
            try:
                return await self._catalog.running_jobs()
            except AkiDBError as error:
                _log.warning("the running jobs can't be read: %s", error)
            await back_off.wait(self._hope)

    async def _see_through(self, job_id: JobId) -> None:
        back_off = _BackOff(self._policy)
        try:
            while not await self._attempt(job_id, back_off):
                await back_off.wait(self._hope)
        finally:
            self._under_way.discard(job_id)

    async def _attempt(self, job_id: JobId, back_off: _BackOff) -> bool:
        """Whether the job has ended; else something is in its way."""
        try:
            await self._carry_out(job_id, back_off)
        except AkiDBError as error:
            return await self._record(job_id, error, back_off)
        except Exception as error:
            _log.exception("job %s met a defect", job_id)
            defect = Internal(f"{type(error).__name__} in a job")
            return await self._record(job_id, defect, back_off)
        return True

    async def _record(self, job_id: JobId, error: AkiDBError, back_off: _BackOff) -> bool:
        """Whether the job has ended by this error."""
        if error.retryable and error.detail == back_off.known:
            return False
        _log.warning("job %s can't go on: %s", job_id, error)
        try:
            if error.retryable:
                await self._catalog.note_job(job_id, error.detail)
            else:
                await self._catalog.fail_job(job_id, error.detail)
        except AkiDBError as other:
            # The disk may be full. The job is taken up again in any case.
            _log.warning("job %s: this could not be recorded: %s", job_id, other)
            return False
        back_off.known = error.detail
        return not error.retryable

    async def _carry_out(self, job_id: JobId, back_off: _BackOff) -> None:
        """From wherever the job stands to its end. Raises what is in its way."""
        job = await self._catalog.get_job(job_id)
        while not job.ended:
            left = await self._left(job)
            for collection, placements in left:
                job = await self._catalog.get_job(job_id)
                if _spared(job, collection):
                    break
                await self._remove(job, collection, placements)
                back_off.reset()
            if not left:
                job = await self._catalog.end_job(job_id)

    async def _left(self, job: Job) -> Sequence[_Placed]:
        listed = await self._catalog.job_collections(job)
        return [placed for placed in listed if not _spared(job, placed[0])]

    async def _remove(
        self, job: Job, collection: Collection, placements: Sequence[ShardPlacement]
    ) -> None:
        """One step. Raises what keeps any of the shards from being deleted."""
        collection_id = collection.collection_id
        try:
            # Also when it was read as marked: this is refused where a later opening has taken the
            # catalog over, and then nothing may be deleted any more.
            marked = await self._catalog.mark_deleting(collection_id)
            tenant = await self._catalog.get_tenant(job.tenant_id)
            database = await self._catalog.get_database(tenant.tenant_id, marked.database_id)
            place = CollectionPlace(tenant, database, marked, tuple(placements))
            await self._drop_shards(place)
            await self._catalog.finish_step(job.job_id, collection_id)
        except (NotFound, InvalidState):
            # Another job may have removed it meanwhile, with what it was in; then hosts refuse too.
            if collection_id in {left.collection_id for left, _ in await self._left(job)}:
                raise
        if job.error is not None:
            await self._catalog.note_job(job.job_id, None)

    async def _drop_shards(self, place: CollectionPlace) -> None:
        """Ends when each has been dropped or has failed; raises one of the errors."""
        drops = [self._drop_shard(place, placement) for placement in place.placements]
        for answer in await asyncio.gather(*drops, return_exceptions=True):
            if answer is not None:
                raise answer

    async def _drop_shard(self, place: CollectionPlace, placement: ShardPlacement) -> None:
        store_id = placement.store_id
        at_once = asyncio.Semaphore(self._policy.drops_per_store)
        async with self._places.setdefault(store_id, at_once):
            await self._hosts.drop_shard(store_id, place, placement.number)


def _spared(job: Job, collection: Collection) -> bool:
    """Asked to stop, a job begins with no other collection; what is half deleted it finishes."""
    return job.cancel_requested and collection.state is not CollectionState.DELETING
