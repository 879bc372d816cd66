"""The steps of jobs, as whoever carries them out records them; each can be repeated.

Rows go after files: a step removes the row of one collection whose shards have no folders any more,
and the end of a job removes that of the database or the tenant, when nothing is left in it.
"""

from dataclasses import replace

from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.rules.deletion import RUNNING
from akidb_ray.catalog.rules.references import every
from akidb_ray.domain.collection import COLLECTION_MOVES, Collection, CollectionState
from akidb_ray.domain.errors import InvalidState, NotFound
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId
from akidb_ray.domain.jobs import CANCELLABLE, JOB_MOVES, Job, JobKind, JobState
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import MAX_DESCRIPTION_CHARACTERS, check_move

Placed = tuple[Collection, tuple[ShardPlacement, ...]]


async def running_jobs(repos: Repositories) -> list[Job]:
    """The oldest first."""
    return [job async for job in every(lambda each: repos.jobs.list(None, each), RUNNING)]


async def job_collections(repos: Repositories, job: Job) -> list[Placed]:
    """What the job has to remove still, by id, each with the stores of its shards."""
    left = await _collections_left(repos, job)
    left.sort(key=lambda collection: collection.collection_id)
    return [(each, await repos.placement.placements(each.collection_id)) for each in left]


async def mark_deleting(repos: Repositories, collection_id: CollectionId) -> Collection:
    """From here on there is no way back. One that is marked already stays so. Raises NotFound."""
    collection = await repos.collections.get(collection_id)
    if collection.state is CollectionState.DELETING:
        return collection
    check_move("collection", COLLECTION_MOVES, collection.state, CollectionState.DELETING)
    return await repos.collections.update(replace(collection, state=CollectionState.DELETING))


async def finish_step(repos: Repositories, job_id: JobId, collection_id: CollectionId) -> Job:
    """Remove the row of a collection whose files are gone, and count that; if another job removed
    it meanwhile, change nothing.

    Raises NotFound, and InvalidState unless the job runs, is about that collection, and the
    collection is in state `deleting`.
    """
    job = await repos.jobs.get(job_id)
    if job.ended:
        raise InvalidState("job", job.state, "a further step")
    try:
        collection = await repos.collections.get(collection_id)
    except NotFound:
        return job
    if not await _covers(repos, job, collection):
        raise InvalidState("collection", f"no part of job {job_id}", "being removed by it")
    if collection.state is not CollectionState.DELETING:
        raise InvalidState("collection", collection.state, "being removed")
    await repos.collections.delete(collection_id)
    done = job.done + 1
    return await repos.jobs.update(replace(job, done=done, total=max(job.total, done)))


async def end_job(repos: Repositories, job_id: JobId) -> Job:
    """Remove the row of the job's subject: it has succeeded. One that was asked to stop is
    cancelled instead, and removes nothing; one that has ended stays as it is.

    Raises NotFound, and InvalidState while collections are left.
    """
    job = await repos.jobs.get(job_id)
    if job.ended:
        return job
    if job.cancel_requested:
        return await repos.jobs.update(replace(job, state=JobState.CANCELLED, error=None))
    left = await _collections_left(repos, job)
    if left:
        raise InvalidState(f"{job.kind} job", f"left with {len(left)} collections", "its end")
    try:
        if job.kind is JobKind.DELETE_DATABASE:
            await repos.databases.delete(DatabaseId.parse(job.subject_id))
        elif job.kind is JobKind.PURGE_TENANT:
            await repos.tenants.delete(job.tenant_id)
    except NotFound:
        # A job that covers this one, as the purge of its tenant does, has removed it.
        pass
    return await repos.jobs.update(
        replace(job, state=JobState.SUCCEEDED, done=job.total, error=None)
    )


async def fail_job(repos: Repositories, job_id: JobId, error: str) -> Job:
    """Raises NotFound, InvalidState when it has ended otherwise."""
    job = await repos.jobs.get(job_id)
    check_move("job", JOB_MOVES, job.state, JobState.FAILED)
    return await repos.jobs.update(replace(job, state=JobState.FAILED, error=_shown(error)))


async def note_job(repos: Repositories, job_id: JobId, error: str | None) -> Job:
    """Record what keeps it from going on; None: nothing does. Raises NotFound, InvalidState."""
    job = await repos.jobs.get(job_id)
    if job.ended:
        raise InvalidState("job", job.state, "a note of what keeps it from going on")
    return await repos.jobs.update(replace(job, error=None if error is None else _shown(error)))


async def cancel_job(repos: Repositories, job_id: JobId) -> Job:
    """Ask it to stop at its next step. Raises NotFound, InvalidState if it has ended, or can't."""
    job = await repos.jobs.get(job_id)
    if job.ended:
        raise InvalidState("job", job.state, "being cancelled")
    if job.kind not in CANCELLABLE:
        wanted = "being cancelled: what is half deleted has no way back"
        raise InvalidState(f"{job.kind} job", job.state, wanted)
    return await repos.jobs.update(replace(job, cancel_requested=True))


async def _collections_left(repos: Repositories, job: Job) -> list[Collection]:
    try:
        if job.kind is JobKind.DELETE_COLLECTION:
            return [await repos.collections.get(CollectionId.parse(job.subject_id))]
        if job.kind is JobKind.DELETE_DATABASE:
            return await _collections_in(repos, DatabaseId.parse(job.subject_id))
        databases = every(lambda each: repos.databases.list(job.tenant_id, each))
        return [
            collection
            async for database in databases
            for collection in await _collections_in(repos, database.database_id)
        ]
    except NotFound:
        return []


async def _collections_in(repos: Repositories, database_id: DatabaseId) -> list[Collection]:
    return [each async for each in every(lambda page: repos.collections.list(database_id, page))]


async def _covers(repos: Repositories, job: Job, collection: Collection) -> bool:
    if job.kind is JobKind.DELETE_COLLECTION:
        return job.subject_id == str(collection.collection_id)
    if job.kind is JobKind.DELETE_DATABASE:
        return job.subject_id == str(collection.database_id)
    database = await repos.databases.get(collection.database_id)
    return database.tenant_id == job.tenant_id


def _shown(error: str) -> str:
    return error[:MAX_DESCRIPTION_CHARACTERS]
