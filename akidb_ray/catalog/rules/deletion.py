"""Deletions, which jobs carry out: here they are begun, or found begun.

The transaction that records the job also says `deleting` of what it is about, so that nothing new
comes into it. A tenant to be purged is decommissioned already, and stays so until its row goes.
"""

from dataclasses import replace
from datetime import timedelta

from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.rules.references import every
from akidb_ray.domain.collection import COLLECTION_MOVES, CollectionState
from akidb_ray.domain.errors import InvalidState
from akidb_ray.domain.ids import CollectionId, DatabaseId, EntityId, JobId, TenantId
from akidb_ray.domain.jobs import Job, JobKind, JobState
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.tenancy import DATABASE_MOVES, DatabaseState, TenantStatus, check_move

ENDED_JOBS_KEPT = timedelta(days=30)
RUNNING = Listing(state=JobState.RUNNING)


async def delete_collection(repos: Repositories, collection_id: CollectionId) -> Job:
    """Raises NotFound. The job of a database that is being deleted deletes its collections too."""
    collection = await repos.collections.get(collection_id)
    database = await repos.databases.get(collection.database_id)
    begun = await running_job(repos, collection_id, database.database_id)
    if begun is not None:
        return begun
    if collection.state is not CollectionState.DELETING:
        deleting = CollectionState.DELETING
        check_move("collection", COLLECTION_MOVES, collection.state, deleting)
        await repos.collections.update(replace(collection, state=deleting))
    return await _begin(
        repos,
        JobKind.DELETE_COLLECTION,
        database.tenant_id,
        collection_id,
        collection.name,
        total=1,
    )


async def delete_database(repos: Repositories, database_id: DatabaseId, cascade: bool) -> Job:
    """Raises NotFound, and InvalidState while it is being migrated, or holds collections that no
    `cascade` gives up.
    """
    database = await repos.databases.get(database_id)
    begun = await running_job(repos, database_id)
    if begun is not None:
        return begun
    if database.state is not DatabaseState.DELETING:
        deleting = DatabaseState.DELETING
        check_move("database", DATABASE_MOVES, database.state, deleting)
        if not cascade:
            await _require_empty(repos, database_id)
        await repos.databases.update(replace(database, state=deleting))
    total = await repos.databases.count_collections(database_id)
    kind = JobKind.DELETE_DATABASE
    return await _begin(repos, kind, database.tenant_id, database_id, database.name, total)


async def purge_tenant(repos: Repositories, tenant_id: TenantId) -> Job:
    """Raises NotFound, and InvalidState unless the tenant is decommissioned."""
    tenant = await repos.tenants.get(tenant_id)
    if tenant.status is not TenantStatus.DECOMMISSIONED:
        raise InvalidState("tenant", tenant.status, "being purged; decommission it first")
    begun = await running_job(repos, tenant_id)
    if begun is not None:
        return begun
    total = await repos.tenants.count_collections(tenant_id)
    return await _begin(repos, JobKind.PURGE_TENANT, tenant_id, tenant_id, tenant.name, total)


async def adopt_unfinished(repos: Repositories) -> list[Job]:
    """Begin jobs for what is `deleting` where no running job sees to it."""
    running = every(lambda listing: repos.jobs.list(None, listing), RUNNING)
    covered = {job.subject_id async for job in running}
    adopted = []
    for database in await repos.databases.deleting():
        if covered.isdisjoint({str(database.database_id), str(database.tenant_id)}):
            adopted.append(await delete_database(repos, database.database_id, cascade=True))
            covered.add(str(database.database_id))
    for collection in await repos.collections.deleting():
        database = await repos.databases.get(collection.database_id)
        over = (collection.collection_id, collection.database_id, database.tenant_id)
        if covered.isdisjoint(map(str, over)):
            adopted.append(await delete_collection(repos, collection.collection_id))
    return adopted


async def running_job(repos: Repositories, *subjects: EntityId) -> Job | None:
    """The one that works on the first of the subjects that any works on."""
    jobs = {job.subject_id: job for job in await repos.jobs.running_for(subjects)}
    found = [jobs[str(subject)] for subject in subjects if str(subject) in jobs]
    return found[0] if found else None


async def _require_empty(repos: Repositories, database_id: DatabaseId) -> None:
    count = await repos.databases.count_collections(database_id)
    if count:
        held = f"holding {count} collections"
        raise InvalidState("database", held, "being deleted; delete them first, or ask for cascade")


async def _begin(
    repos: Repositories,
    kind: JobKind,
    tenant_id: TenantId,
    subject_id: EntityId,
    subject: str,
    total: int,
) -> Job:
    await repos.jobs.delete_ended(repos.now - ENDED_JOBS_KEPT)
    job = Job(
        job_id=JobId.new(),
        kind=kind,
        state=JobState.RUNNING,
        tenant_id=tenant_id,
        subject_id=str(subject_id),
        subject=subject,
        created_at=repos.now,
        updated_at=repos.now,
        total=total,
    )
    await repos.jobs.add(job)
    return job
