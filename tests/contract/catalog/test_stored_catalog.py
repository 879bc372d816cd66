"""The rules of the catalog hold on every store."""

from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.directory import Directory
from akidb_ray.domain.errors import (
    InvalidArgument,
    InvalidState,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    Unavailable,
)
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, StoreId
from akidb_ray.domain.jobs import Job, JobState
from akidb_ray.domain.tenancy import (
    TENANT_MOVES,
    Database,
    DatabaseState,
    Tenant,
    TenantQuota,
    TenantStatus,
)
from tests.contract.catalog.conftest import Clock, OpenAgain
from tests.contract.catalog.things import DATABASES, SPEC, TENANTS, a_database, a_tenant, keep


@pytest.fixture
async def catalog(store: CatalogStore) -> AsyncIterator[StoredCatalog]:
    catalog = StoredCatalog(store)
    await catalog.register_store(StoreId.new(), "shard-host-0")
    yield catalog
    await catalog.close()


@pytest.fixture
async def tenant(catalog: StoredCatalog) -> Tenant:
    return await catalog.create_tenant("Acme")


@pytest.fixture
async def database(catalog: StoredCatalog, tenant: Tenant) -> Database:
    return await catalog.create_database(tenant.tenant_id, "films")


async def removed(catalog: StoredCatalog, job: Job) -> Job:
    """Carry the job out, as its runner does."""
    for collection, _ in await catalog.job_collections(job):
        await catalog.mark_deleting(collection.collection_id)
        await catalog.finish_step(job.job_id, collection.collection_id)
    return await catalog.end_job(job.job_id)


@pytest.mark.parametrize(("current", "wanted"), list(product(TenantStatus, repeat=2)))
async def test_a_tenant_moves_as_its_lifecycle_says(
    store: CatalogStore, catalog: StoredCatalog, current: TenantStatus, wanted: TenantStatus
) -> None:
    tenant = a_tenant(status=current)
    await keep(store, TENANTS, tenant)
    if wanted is current:
        assert await catalog.update_tenant(tenant.tenant_id, {"status": wanted}) == tenant
    elif wanted in TENANT_MOVES[current]:
        moved = await catalog.update_tenant(tenant.tenant_id, {"status": str(wanted)})
        assert (moved.status, moved.version) == (wanted, 2)
    else:
        with pytest.raises(InvalidState):
            await catalog.update_tenant(tenant.tenant_id, {"status": wanted})
        assert await catalog.get_tenant(tenant.tenant_id) == tenant


async def test_slugs_are_made_from_names_and_made_unique(catalog: StoredCatalog) -> None:
    names = ["Ärger & Co.", "Arger, Co", "ARGER CO", "雪", "!"]
    made = [await catalog.create_tenant(name) for name in names]
    assert [each.slug for each in made] == [
        "arger-co",
        "arger-co-2",
        "arger-co-3",
        "tenant",
        "tenant-2",
    ]


async def test_only_an_active_tenant_gets_something_new(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"status": "suspended"})
    for work in (
        lambda: catalog.create_database(tenant.tenant_id, "new"),
        lambda: catalog.create_user(tenant.tenant_id, "ada@example.com"),
        lambda: catalog.create_collection(database.database_id, "new", SPEC),
    ):
        with pytest.raises(InvalidState):
            await work()


async def test_an_update_carried_out_on_another_version_is_refused(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"name": "Acme Ltd."}, if_version=1)
    with pytest.raises(PreconditionFailed):
        await catalog.update_tenant(tenant.tenant_id, {"name": "Other"}, if_version=1)


async def test_max_collections_bounds_those_of_all_databases(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"max_collections": 2})
    other = await catalog.create_database(tenant.tenant_id, "other")
    first = await catalog.create_collection(database.database_id, "one", SPEC)
    await catalog.create_collection(other.database_id, "two", SPEC)
    with pytest.raises(QuotaExceeded) as refusal:
        await catalog.create_collection(database.database_id, "three", SPEC)
    assert refusal.value.fields == {"quota": "max_collections", "limit": 2, "used": 2}
    await removed(catalog, await catalog.delete_collection(first))
    await catalog.create_collection(database.database_id, "three", SPEC)


async def test_max_vectors_bounds_max_doc_count_and_lowers_its_default(
    catalog: StoredCatalog,
) -> None:
    tenant = await catalog.create_tenant("x", quota=TenantQuota(max_vectors_per_collection=1000))
    database = await catalog.create_database(tenant.tenant_id, "films")
    for name, asked, given in (("a", None, 1000), ("b", 999, 999), ("c", 1000, 1000)):
        fields: dict[str, Any] = {} if asked is None else {"max_doc_count": asked}
        await catalog.create_collection(database.database_id, name, CollectionSpec(16, **fields))
        found = await catalog.get_collection(database.database_id, name)
        assert found.spec.max_doc_count == given
    too_many = CollectionSpec(16, max_doc_count=1001)
    with pytest.raises(InvalidArgument) as refusal:
        await catalog.create_collection(database.database_id, "d", too_many)
    assert refusal.value.fields["field"] == "max_doc_count"


async def test_a_collection_without_stores_is_not_recorded(
    store: CatalogStore, tenant: Tenant, database: Database, catalog: StoredCatalog
) -> None:
    await catalog.retire_other_stores([])
    version = await store.version()
    with pytest.raises(Unavailable):
        await catalog.create_collection(database.database_id, "plots", SPEC)
    assert await store.version() == version


async def test_a_deletion_is_begun_once_and_frees_the_name_at_its_end(
    catalog: StoredCatalog, database: Database
) -> None:
    collection_id = await catalog.create_collection(database.database_id, "plots", SPEC)
    job = await catalog.delete_collection(collection_id)
    assert (job.state, job.total, job.done) == (JobState.RUNNING, 1, 0)
    assert await catalog.delete_collection(collection_id) == job
    assert await catalog.running_jobs() == [job]
    found = await catalog.get_collection(database.database_id, "plots")
    assert found.state is CollectionState.DELETING
    with pytest.raises(InvalidState):
        await catalog.end_job(job.job_id)
    ended = await removed(catalog, job)
    assert (ended.state, ended.total, ended.done) == (JobState.SUCCEEDED, 1, 1)
    assert await catalog.running_jobs() == []
    with pytest.raises(NotFound):
        await catalog.delete_collection(collection_id)
    await catalog.create_collection(database.database_id, "plots", SPEC)


async def test_a_database_with_collections_is_deleted_with_cascade_only(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    made = [
        await catalog.create_collection(database.database_id, name, SPEC) for name in ("a", "b")
    ]
    with pytest.raises(InvalidState):
        await catalog.delete_database(database.database_id)
    job = await catalog.delete_database(database.database_id, cascade=True)
    assert job.total == 2
    assert await catalog.delete_database(database.database_id) == job
    assert await catalog.delete_collection(made[0]) == job
    found = await catalog.get_database(tenant.tenant_id, "films")
    assert found.state is DatabaseState.DELETING
    with pytest.raises(InvalidState):
        await catalog.create_collection(database.database_id, "c", SPEC)
    assert (await removed(catalog, job)).done == 2
    with pytest.raises(NotFound):
        await catalog.get_database(tenant.tenant_id, "films")


async def test_a_purge_needs_a_decommissioned_tenant_and_frees_its_slug(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    await catalog.create_collection(database.database_id, "plots", SPEC)
    with pytest.raises(InvalidState):
        await catalog.purge_tenant(tenant.tenant_id)
    await catalog.update_tenant(tenant.tenant_id, {"status": "decommissioned"})
    job = await catalog.purge_tenant(tenant.tenant_id)
    ended = await removed(catalog, job)
    assert (ended.state, ended.done, ended.subject) == (JobState.SUCCEEDED, 1, "Acme")
    with pytest.raises(NotFound):
        await catalog.get_tenant("acme")
    assert (await catalog.create_tenant("Acme")).slug == "acme"
    assert (await catalog.list_jobs(tenant.tenant_id)).items == (ended,)


async def test_a_purge_that_is_cancelled_removes_nothing_more(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    await catalog.update_tenant(tenant.tenant_id, {"status": "decommissioned"})
    job = await catalog.purge_tenant(tenant.tenant_id)
    asked = await catalog.cancel_job(job.job_id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert (await catalog.end_job(job.job_id)).state is JobState.CANCELLED
    assert await catalog.get_tenant("acme")
    for work in (catalog.cancel_job, lambda job_id: catalog.fail_job(job_id, "late")):
        with pytest.raises(InvalidState):
            await work(job.job_id)
    with pytest.raises(NotFound):
        await catalog.cancel_job(JobId.new())
    assert (await catalog.purge_tenant(tenant.tenant_id)).job_id != job.job_id


async def test_what_is_half_deleted_cannot_be_cancelled(
    catalog: StoredCatalog, database: Database
) -> None:
    job = await catalog.delete_database(database.database_id)
    with pytest.raises(InvalidState):
        await catalog.cancel_job(job.job_id)


async def test_jobs_say_what_keeps_them_and_are_forgotten_after_thirty_days(
    catalog: StoredCatalog, tenant: Tenant, database: Database, clock: Clock
) -> None:
    job = await catalog.delete_database(database.database_id)
    assert (await catalog.note_job(job.job_id, "no host")).error == "no host"
    assert (await catalog.note_job(job.job_id, None)).error is None
    failed = await catalog.fail_job(job.job_id, "x" * 5000)
    assert (failed.state, len(failed.error or "")) == (JobState.FAILED, 4096)
    clock.advance(31 * 86400)
    again = await catalog.delete_database(database.database_id)
    assert (await catalog.list_jobs()).items == (again,)


async def test_deletions_without_a_job_get_one(
    store: CatalogStore, catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    half = a_database(tenant.tenant_id, state=DatabaseState.DELETING)
    await keep(store, DATABASES, half)
    collection_id = await catalog.create_collection(database.database_id, "plots", SPEC)
    await catalog.update_collection(collection_id, {"state": "deleting"})
    adopted = await catalog.adopt_unfinished()
    assert {job.subject_id for job in adopted} == {str(half.database_id), str(collection_id)}
    assert await catalog.adopt_unfinished() == []


async def test_things_of_others_and_unknown_ones_are_not_found(
    catalog: StoredCatalog, tenant: Tenant, database: Database
) -> None:
    other = await catalog.create_tenant("Other")
    assert await catalog.get_database(tenant.tenant_id, str(database.database_id)) == database
    for ref in ("films", database.database_id, str(database.database_id), str(DatabaseId.new())):
        with pytest.raises(NotFound):
            await catalog.get_database(other.tenant_id, ref)
    for unknown in ("", "no\0body", "\ud800", "a" * 10_000):
        for work in (
            lambda ref: catalog.get_tenant(ref),
            lambda ref: catalog.get_user(tenant.tenant_id, ref),
            lambda ref: catalog.get_database(tenant.tenant_id, ref),
            lambda ref: catalog.get_collection(database.database_id, ref),
        ):
            with pytest.raises(NotFound):
                await work(unknown)
    with pytest.raises(NotFound):
        await catalog.get_collection(database.database_id, CollectionId.new())


async def test_followers_are_told_what_changed(
    catalog: StoredCatalog, tenant: Tenant, open_again: OpenAgain
) -> None:
    update = await catalog.watch(0, timeout_s=0)
    assert update is not None
    follower = Directory(update)
    assert await catalog.watch(follower.version, timeout_s=0) is None
    await catalog.update_tenant(tenant.tenant_id, {"slug": "renamed"})
    news = await catalog.watch(follower.version, timeout_s=0)
    assert news is not None
    follower.apply(news)
    assert follower.tenant("renamed").tenant_id == tenant.tenant_id
    later = StoredCatalog(await open_again())
    assert later.epoch == catalog.epoch + 1
    with pytest.raises(InvalidState):
        await catalog.create_tenant("Too Late")
    assert await later.get_tenant("renamed")
    await catalog.close()
    with pytest.raises(Unavailable):
        await catalog.watch(0, timeout_s=0)
