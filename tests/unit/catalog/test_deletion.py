"""Deleting collections, databases and tenants by jobs, whose steps can be repeated."""

from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.errors import InvalidState, NotFound
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, StoreId, TenantId
from akidb_ray.domain.jobs import Job, JobKind, JobState
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.tenancy import Database, DatabaseState, Tenant
from tests.unit.catalog.states import state_of


@pytest.fixture
async def plots(catalog: StoredCatalog, database: Database, store: StoreId) -> list[CollectionId]:
    """Two collections of the database `default`."""
    spec = CollectionSpec(16, shard_count=2)
    return [
        await catalog.create_collection(database.database_id, name, spec) for name in ("one", "two")
    ]


async def carry_out(catalog: StoredCatalog, job: Job) -> Job:
    """As the runner does, whose files are gone at once."""
    for collection, _ in await catalog.job_collections(job):
        await catalog.mark_deleting(collection.collection_id)
        await catalog.finish_step(job.job_id, collection.collection_id)
    return await catalog.end_job(job.job_id)


async def state_in(catalog: StoredCatalog, database: Database, ref: CollectionId) -> str:
    return (await catalog.get_collection(database.database_id, ref)).state


async def test_deleting_a_collection_begins_a_job(
    catalog: StoredCatalog, database: Database, plots: list[CollectionId], clock: Any
) -> None:
    job = await catalog.delete_collection(plots[0])
    assert (job.kind, job.state) == (JobKind.DELETE_COLLECTION, JobState.RUNNING)
    assert (job.subject_id, job.subject, job.total, job.done) == (str(plots[0]), "one", 1, 0)
    assert (job.tenant_id, job.created_at) == (database.tenant_id, clock.now)
    assert await state_in(catalog, database, plots[0]) == CollectionState.DELETING
    assert await catalog.get_job(job.job_id) == job
    assert await catalog.running_jobs() == [job]
    assert await catalog.delete_collection(plots[0]) == job


async def test_a_collection_goes_with_its_shards_when_its_step_is_done(
    catalog: StoredCatalog, database: Database, plots: list[CollectionId]
) -> None:
    job = await catalog.delete_collection(plots[0])
    ((collection, placements),) = await catalog.job_collections(job)
    assert collection.collection_id == plots[0]
    assert [shard.number for shard in placements] == [0, 1]
    job = await catalog.finish_step(job.job_id, plots[0])
    assert (job.done, job.state) == (1, JobState.RUNNING)
    update = await state_of(catalog)
    assert [each.collection_id for each in update.collections] == [plots[1]]
    assert set(update.placements) == {plots[1]}
    job = await catalog.end_job(job.job_id)
    assert (job.done, job.total, job.state) == (1, 1, JobState.SUCCEEDED)
    assert await catalog.running_jobs() == []
    with pytest.raises(NotFound):
        await catalog.delete_collection(plots[0])


async def test_a_step_and_an_end_can_be_repeated(
    catalog: StoredCatalog, database: Database, plots: list[CollectionId]
) -> None:
    job = await catalog.delete_collection(plots[0])
    stepped = await catalog.finish_step(job.job_id, plots[0])
    assert await catalog.finish_step(job.job_id, plots[0]) == stepped
    ended = await catalog.end_job(job.job_id)
    assert await catalog.end_job(job.job_id) == ended


async def test_a_step_removes_nothing_that_it_must_not(
    catalog: StoredCatalog, database: Database, plots: list[CollectionId]
) -> None:
    job = await catalog.delete_database(database.database_id, cascade=True)
    with pytest.raises(InvalidState, match="collection is creating"):
        await catalog.finish_step(job.job_id, plots[0])
    with pytest.raises(InvalidState, match="left with 2 collections"):
        await catalog.end_job(job.job_id)
    with pytest.raises(NotFound):
        await catalog.finish_step(JobId.new(), plots[0])
    assert len((await state_of(catalog)).collections) == 2


async def test_a_step_of_another_job_is_refused(
    catalog: StoredCatalog, plots: list[CollectionId]
) -> None:
    first = await catalog.delete_collection(plots[0])
    await catalog.delete_collection(plots[1])
    with pytest.raises(InvalidState, match="no part of job"):
        await catalog.finish_step(first.job_id, plots[1])
    await carry_out(catalog, first)
    with pytest.raises(InvalidState, match="job is succeeded"):
        await catalog.finish_step(first.job_id, plots[1])


async def test_marking_leads_to_deletion_and_stays(
    catalog: StoredCatalog, plots: list[CollectionId]
) -> None:
    await catalog.update_collection(plots[0], {"state": "ready"})
    marked = await catalog.mark_deleting(plots[0])
    assert marked.state is CollectionState.DELETING
    assert await catalog.mark_deleting(plots[0]) == marked
    with pytest.raises(NotFound):
        await catalog.mark_deleting(CollectionId.new())


async def test_an_empty_database_is_deleted_by_a_job_without_steps(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    job = await catalog.delete_database(database.database_id)
    assert (job.kind, job.total, job.subject) == (JobKind.DELETE_DATABASE, 0, "default")
    deleting = await catalog.get_database(tenant.tenant_id, "default")
    assert deleting.state is DatabaseState.DELETING
    assert await catalog.delete_database(database.database_id) == job
    assert (await carry_out(catalog, job)).state is JobState.SUCCEEDED
    with pytest.raises(NotFound):
        await catalog.get_database(tenant.tenant_id, "default")
    with pytest.raises(NotFound):
        await catalog.delete_database(database.database_id)


async def test_a_database_with_collections_goes_only_with_cascade(
    catalog: StoredCatalog, tenant: Tenant, database: Database, plots: list[CollectionId]
) -> None:
    before = await state_of(catalog)
    with pytest.raises(InvalidState, match=r"holding 2 collections.*cascade"):
        await catalog.delete_database(database.database_id)
    assert await state_of(catalog) == before
    job = await catalog.delete_database(database.database_id, cascade=True)
    assert job.total == 2
    with pytest.raises(InvalidState, match="database is deleting"):
        await catalog.create_collection(database.database_id, "three", CollectionSpec(16))
    left = await catalog.job_collections(job)
    assert [collection.collection_id for collection, _ in left] == sorted(plots)
    ended = await carry_out(catalog, job)
    assert (ended.done, ended.total, ended.state) == (2, 2, JobState.SUCCEEDED)
    assert (await state_of(catalog)).databases == ()


async def test_a_collection_of_a_database_in_deletion_has_the_job_of_that(
    catalog: StoredCatalog, database: Database, plots: list[CollectionId]
) -> None:
    own = await catalog.delete_collection(plots[0])
    job = await catalog.delete_database(database.database_id, cascade=True)
    assert await catalog.delete_collection(plots[0]) == own
    assert await catalog.delete_collection(plots[1]) == job
    # Both work on the first: whoever comes second finds it gone.
    await carry_out(catalog, job)
    assert (await carry_out(catalog, own)).state is JobState.SUCCEEDED


async def test_a_purge_needs_a_decommissioned_tenant(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    for status in ("active", "suspended"):
        await catalog.update_tenant(tenant.tenant_id, {"status": status})
        with pytest.raises(InvalidState, match=rf"tenant is {status}.*decommission it first"):
            await catalog.purge_tenant(tenant.tenant_id)
    with pytest.raises(NotFound):
        await catalog.purge_tenant(TenantId.new())


async def test_a_purge_removes_all_of_a_tenant_and_frees_its_slug(
    catalog: StoredCatalog, tenant: Tenant, plots: list[CollectionId]
) -> None:
    await catalog.create_user(tenant.tenant_id, "ann@acme.org")
    await catalog.update_tenant(tenant.tenant_id, {"status": "decommissioned"})
    job = await catalog.purge_tenant(tenant.tenant_id)
    assert (job.kind, job.total, job.subject_id) == (JobKind.PURGE_TENANT, 2, str(tenant.tenant_id))
    assert await catalog.purge_tenant(tenant.tenant_id) == job
    ended = await carry_out(catalog, job)
    assert (ended.done, ended.state) == (2, JobState.SUCCEEDED)
    update = await state_of(catalog)
    assert (update.tenants, update.databases, update.collections) == ((), (), ())
    with pytest.raises(NotFound):
        await catalog.list_users(tenant.tenant_id)
    assert (await catalog.list_jobs(tenant.tenant_id)).items == (ended,)
    assert (await catalog.create_tenant("Default")).slug == "default"


async def test_a_purge_stops_when_it_is_cancelled_and_can_begin_again(
    catalog: StoredCatalog, tenant: Tenant, plots: list[CollectionId]
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"status": "decommissioned"})
    job = await catalog.purge_tenant(tenant.tenant_id)
    await catalog.mark_deleting(plots[0])
    await catalog.finish_step(job.job_id, plots[0])
    asked = await catalog.cancel_job(job.job_id)
    assert (asked.cancel_requested, asked.state) == (True, JobState.RUNNING)
    assert await catalog.cancel_job(job.job_id) == asked
    ended = await catalog.end_job(job.job_id)
    assert (ended.state, ended.done) == (JobState.CANCELLED, 1)
    assert len((await state_of(catalog)).collections) == 1
    with pytest.raises(InvalidState, match="job is cancelled"):
        await catalog.cancel_job(job.job_id)
    again = await catalog.purge_tenant(tenant.tenant_id)
    assert (again.job_id != job.job_id, again.total) == (True, 1)


async def test_a_deletion_cannot_be_cancelled(
    catalog: StoredCatalog, database: Database, plots: list[CollectionId]
) -> None:
    jobs = [
        await catalog.delete_collection(plots[0]),
        await catalog.delete_database(database.database_id, cascade=True),
    ]
    for job in jobs:
        with pytest.raises(InvalidState, match="no way back"):
            await catalog.cancel_job(job.job_id)
    with pytest.raises(NotFound):
        await catalog.cancel_job(JobId.new())


async def test_a_job_says_what_keeps_it_from_going_on(
    catalog: StoredCatalog, plots: list[CollectionId]
) -> None:
    job = await catalog.delete_collection(plots[0])
    noted = await catalog.note_job(job.job_id, "shard-host-0 does not answer")
    assert (noted.error, noted.state) == ("shard-host-0 does not answer", JobState.RUNNING)
    assert (await catalog.note_job(job.job_id, None)).error is None
    assert len((await catalog.note_job(job.job_id, "x" * 5000)).error or "") == 4096
    assert (await carry_out(catalog, job)).error is None
    with pytest.raises(InvalidState, match="job is succeeded"):
        await catalog.note_job(job.job_id, "late")


async def test_a_failed_deletion_can_begin_again(
    catalog: StoredCatalog, database: Database, plots: list[CollectionId]
) -> None:
    job = await catalog.delete_collection(plots[0])
    failed = await catalog.fail_job(job.job_id, "the folder is not ours")
    assert (failed.state, failed.error) == (JobState.FAILED, "the folder is not ours")
    with pytest.raises(InvalidState):
        await catalog.fail_job(job.job_id, "again")
    again = await catalog.delete_collection(plots[0])
    assert again.job_id != job.job_id
    assert (await carry_out(catalog, again)).state is JobState.SUCCEEDED


async def test_what_was_left_in_deletion_is_adopted_once(
    catalog: StoredCatalog, tenant: Tenant, database: Database, plots: list[CollectionId]
) -> None:
    assert await catalog.adopt_unfinished() == []
    failed = await catalog.delete_collection(plots[0])
    await catalog.fail_job(failed.job_id, "half way")
    await catalog.update_collection(plots[1], {"state": "deleting"})
    other = await catalog.create_database(tenant.tenant_id, "other")
    inside = await catalog.create_collection(other.database_id, "inside", CollectionSpec(16))
    await catalog.mark_deleting(inside)
    job = await catalog.delete_database(other.database_id, cascade=True)
    await catalog.fail_job(job.job_id, "half way")
    adopted = await catalog.adopt_unfinished()
    assert {job.subject_id for job in adopted} == {
        str(other.database_id),
        str(plots[0]),
        str(plots[1]),
    }
    assert await catalog.adopt_unfinished() == []
    for each in await catalog.running_jobs():
        assert (await carry_out(catalog, each)).state is JobState.SUCCEEDED
    assert (await state_of(catalog)).collections == ()


async def test_jobs_that_ended_long_ago_are_forgotten_when_one_begins(
    catalog: StoredCatalog, plots: list[CollectionId], clock: Any
) -> None:
    old = await carry_out(catalog, await catalog.delete_collection(plots[0]))
    clock.advance(29 * 86400)
    await catalog.note_job((await catalog.delete_collection(plots[1])).job_id, None)
    assert await catalog.get_job(old.job_id) == old
    clock.advance(2 * 86400)
    tenant = await catalog.create_tenant("Acme")
    empty = await catalog.create_database(tenant.tenant_id, "empty")
    new = await catalog.delete_database(empty.database_id)
    with pytest.raises(NotFound):
        await catalog.get_job(old.job_id)
    listed = await catalog.list_jobs(None)
    assert [job.subject for job in listed.items] == ["two", "empty"]
    assert (await catalog.list_jobs(tenant.tenant_id)).items == (new,)
    assert (await catalog.list_jobs(None, Listing(state="succeeded"))).items == ()


async def test_unknown_things_are_not_deleted(catalog: StoredCatalog) -> None:
    with pytest.raises(NotFound):
        await catalog.delete_collection(CollectionId.new())
    with pytest.raises(NotFound):
        await catalog.delete_database(DatabaseId.new())
    with pytest.raises(NotFound):
        await catalog.get_job(JobId.new())
