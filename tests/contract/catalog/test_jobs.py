"""What only jobs do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, TenantId
from akidb_ray.domain.jobs import JobKind, JobState
from akidb_ray.domain.listing import Listing
from tests.contract.catalog.conftest import Clock
from tests.contract.catalog.things import JOBS, START, a_job, changed, keep, kept


async def test_every_field_is_kept_of_a_job_without_tenant(store: CatalogStore) -> None:
    job = a_job(
        TenantId.new(),
        kind=JobKind.PURGE_TENANT,
        total=3,
        done=2,
        error="a host can't be reached",
        cancel_requested=True,
    )
    await keep(store, JOBS, job)
    assert await kept(store, JOBS, job.job_id) == job
    ended = replace(job, state=JobState.FAILED, error=None, cancel_requested=False, done=3)
    new = await changed(store, lambda repos: repos.jobs.update(ended))
    assert await kept(store, JOBS, job.job_id) == new


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("subject_id", {"subject_id": "films"}),
        ("subject", {"subject": ""}),
        ("subject", {"subject": "x" * 256}),
        ("total", {"total": -1, "done": -1}),
        ("done", {"done": 1}),
        ("done", {"done": -1}),
        ("error", {"error": "x" * 4097}),
    ],
)
async def test_a_value_that_a_field_cannot_hold_is_refused(
    store: CatalogStore, field: str, fields: dict[str, Any]
) -> None:
    job = a_job(TenantId.new())
    await keep(store, JOBS, job)
    with pytest.raises(InvalidArgument) as refusal:
        await changed(store, lambda repos: repos.jobs.update(replace(job, **fields)))
    assert refusal.value.fields["field"] == field
    with pytest.raises(InvalidArgument) as refusal:
        await keep(store, JOBS, replace(job, job_id=JobId.new(), **fields))
    assert refusal.value.fields["field"] == field


async def test_only_jobs_that_ended_long_ago_are_forgotten(
    store: CatalogStore, clock: Clock
) -> None:
    tenant_id = TenantId.new()
    old_running = a_job(tenant_id, 0)
    old_ended = [a_job(tenant_id, 1, state=state) for state in JobState if state != "running"]
    fresh_ended = a_job(tenant_id, 2, state=JobState.SUCCEEDED)
    await keep(store, JOBS, old_running, *old_ended, fresh_ended)
    ended_now = await changed(
        store, lambda repos: repos.jobs.update(replace(old_ended[0], error="ended anew"))
    )
    before = START + timedelta(seconds=2)
    assert await changed(store, lambda repos: repos.jobs.delete_ended(before)) == 2
    async with store.reading() as repos:
        left = await repos.jobs.list(tenant_id, Listing())
    assert left.items == (old_running, ended_now, fresh_ended)
    assert await changed(store, lambda repos: repos.jobs.delete_ended(before)) == 0


async def test_jobs_change_no_version_and_nobody_follows_them(store: CatalogStore) -> None:
    job = a_job(TenantId.new())
    await keep(store, JOBS, job)
    await changed(store, lambda repos: repos.jobs.delete(job.job_id))
    assert await store.version() == 0
    assert str(job.job_id) not in repr(await store.update_since(0))


async def test_running_jobs_are_found_by_what_they_work_on(store: CatalogStore) -> None:
    tenant_id, database_id, absent = TenantId.new(), DatabaseId.new(), CollectionId.new()
    purge = a_job(tenant_id, kind=JobKind.PURGE_TENANT, subject_id=str(tenant_id))
    delete = a_job(TenantId.new(), subject_id=str(database_id))
    ended = replace(delete, job_id=JobId.new(), state=JobState.FAILED)
    await keep(store, JOBS, purge, a_job(tenant_id), delete, ended)
    async with store.reading() as repos:
        assert list(await repos.jobs.running_for([absent, tenant_id])) == [purge]
        both = sorted([purge, delete], key=lambda job: job.job_id)
        assert list(await repos.jobs.running_for([database_id, tenant_id, absent])) == both
        assert list(await repos.jobs.running_for([absent])) == []
        assert list(await repos.jobs.running_for([])) == []
