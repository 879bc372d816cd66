"""Jobs over REST: begun by deletions, waited for, listed, cancelled."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.errors import (
    AkiDBError,
    DeadlineExceeded,
    Exhausted,
    Internal,
    StorageFailed,
)
from akidb_ray.domain.ids import JobId
from akidb_ray.domain.jobs import Job
from akidb_ray.gateway.rest.schemas import JobAnswer, JobsAnswer
from tests.in_process import Database
from tests.serving import COLLECTIONS

JOBS = "/v2/jobs"
ABSENT = "0198c0de-7a11-7000-8000-000000000001"


async def begin(database: Database, name: str) -> dict[str, Any]:
    """The deletion of a collection whose host is away."""
    made = await database.client.post(COLLECTIONS, json={"name": name, "dimension": 16})
    assert made.status_code == 201, made.text
    database.hosts.down.update(database.stores)
    begun = await database.client.delete(f"{COLLECTIONS}/{name}?wait_s=0")
    assert begun.status_code == 202, begun.text
    job: dict[str, Any] = begun.json()
    assert begun.headers["location"] == f"{JOBS}/{job['job_id']}"
    return job


async def ended_job(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            job: dict[str, Any] = (await client.get(f"{JOBS}/{job_id}")).json()
            if job["state"] != "running":
                return job
            await asyncio.sleep(0.02)


async def test_a_deletion_that_can_not_end_yet_answers_with_its_job(database: Database) -> None:
    client = database.client
    job = await begin(database, "c")
    assert (job["kind"], job["state"], job["subject"]) == ("delete_collection", "running", "c")
    assert (job["done"], job["total"]) == (0, 1)
    assert JobAnswer.model_validate(job)
    again = await client.delete(f"{COLLECTIONS}/c?wait_s=0")
    assert (again.status_code, again.json()["job_id"]) == (202, job["job_id"])
    shown = (await client.get(f"{JOBS}/{job['job_id']}")).json()
    assert (shown["job_id"], shown["state"]) == (job["job_id"], "running")

    database.hosts.down.clear()
    ended = await client.delete(f"{COLLECTIONS}/c?wait_s=60")
    assert ended.status_code == 204
    shown = (await client.get(f"{JOBS}/{job['job_id']}")).json()
    assert (shown["state"], shown["done"], shown["error"]) == ("succeeded", 1, None)
    assert (await client.get(f"{COLLECTIONS}/c")).status_code == 404


async def test_waiting_ends_after_its_time(database: Database) -> None:
    await begin(database, "c")
    waited = await database.client.delete(f"{COLLECTIONS}/c?wait_s=0.1")
    assert (waited.status_code, waited.json()["state"]) == (202, "running")


async def test_a_deletion_that_was_begun_is_no_error_though_the_catalog_goes_away(
    database: Database,
) -> None:
    begun = await begin(database, "c")
    jobs = database.services.jobs
    job = await jobs.get(ROOT, begun["job_id"])
    await database.catalog.close()
    assert await jobs.wait(job, 0.1) == job
    away = await database.client.get(f"{JOBS}/{begun['job_id']}")
    assert (away.status_code, away.json()["code"]) == (503, "unavailable")


async def test_jobs_are_listed_by_state_and_tenant(database: Database) -> None:
    client = database.client
    for name in ("a", "b"):
        await client.post(COLLECTIONS, json={"name": name, "dimension": 16})
        assert (await client.delete(f"{COLLECTIONS}/{name}?wait_s=60")).status_code == 204
    running = await begin(database, "c")
    listed = (await client.get(JOBS)).json()
    assert JobsAnswer.model_validate(listed)
    assert [job["subject"] for job in listed["jobs"]] == ["a", "b", "c"]
    newest = (await client.get(JOBS, params={"descending": "true", "limit": 1})).json()
    assert [job["subject"] for job in newest["jobs"]] == ["c"]
    query = {"descending": "true", "limit": 1, "cursor": newest["next_cursor"]}
    assert (await client.get(JOBS, params=query)).json()["jobs"][0]["subject"] == "b"
    running_ones = (await client.get(JOBS, params={"state": "running"})).json()["jobs"]
    assert [job["job_id"] for job in running_ones] == [running["job_id"]]
    await client.post("/v2/tenants", json={"name": "Acme"})
    own = (await client.get(JOBS, params={"tenant": "default"})).json()["jobs"]
    assert len(own) == 3
    assert (await client.get(JOBS, params={"tenant": "acme"})).json()["jobs"] == []


async def test_a_purge_that_is_cancelled_spares_what_it_has_not_begun(database: Database) -> None:
    client = database.client
    await client.post("/v2/tenants", json={"name": "Acme"})
    await client.post("/v2/tenants/acme/databases", json={"name": "main"})
    collections = "/v2/tenants/acme/databases/main/collections"
    for name in ("a", "b"):
        await client.post(collections, json={"name": name, "dimension": 16})
    await client.delete("/v2/tenants/acme")
    database.hosts.down.update(database.stores)
    job = (await client.post("/v2/tenants/acme/purge?wait_s=0")).json()
    assert (job["kind"], job["state"], job["total"]) == ("purge_tenant", "running", 2)
    asked = await client.post(f"{JOBS}/{job['job_id']}/cancel")
    assert (asked.status_code, asked.json()["cancel_requested"]) == (200, True)
    database.hosts.down.clear()
    ended = await ended_job(client, job["job_id"])
    assert (ended["state"], ended["done"] < 2) == ("cancelled", True)
    late = await client.post(f"{JOBS}/{job['job_id']}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "invalid_state")
    assert (await client.get("/v2/tenants/acme")).json()["status"] == "decommissioned"
    assert (await client.get(f"{collections}/b")).json()["state"] == "ready"
    again = await client.post("/v2/tenants/acme/purge?wait_s=60")
    assert again.status_code == 204, again.text
    assert (await client.get("/v2/tenants/acme")).status_code == 404


async def test_a_half_done_deletion_can_not_be_cancelled(database: Database) -> None:
    job = await begin(database, "c")
    refused = await database.client.post(f"{JOBS}/{job['job_id']}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")


@pytest.mark.parametrize("ref", [ABSENT, "nope", "%E9%9B%AA", "%00", "0" * 3000])
async def test_a_job_that_is_not_there_is_not_found(client: httpx.AsyncClient, ref: str) -> None:
    for answer in (
        await client.get(f"{JOBS}/{ref}"),
        await client.post(f"{JOBS}/{ref}/cancel"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [({"limit": 0}, "limit"), ({"cursor": "x"}, "cursor"), ({"q": "x"}, "q"), ({"a": 1}, "a")],
)
async def test_a_wrong_parameter_of_the_list_of_jobs_is_refused_by_its_name(
    client: httpx.AsyncClient, query: dict[str, Any], field: str
) -> None:
    refused = await client.get(JOBS, params=query)
    assert (refused.status_code, refused.json()["field"]) == (422, field)


async def test_jobs_of_a_tenant_that_never_was_are_asked_for_in_vain(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get(JOBS, params={"tenant": "nope"})).status_code == 404
    assert (await client.get(JOBS, params={"tenant": ABSENT})).json()["jobs"] == []


class SpoiltCatalog:
    """One that can't tell of jobs."""

    def __init__(self, error: AkiDBError) -> None:
        self._error = error

    async def get_job(self, job_id: JobId) -> Job:
        raise self._error


@pytest.mark.parametrize("kind", [StorageFailed, Internal, Exhausted, DeadlineExceeded])
async def test_a_deletion_that_was_begun_is_no_error_whatever_keeps_its_job_from_being_read(
    database: Database, kind: type[AkiDBError]
) -> None:
    begun = await begin(database, "c")
    job = await database.services.jobs.get(ROOT, begun["job_id"])
    catalog: Any = SpoiltCatalog(kind("the disk is sick"))
    assert await replace(database.services.jobs, catalog=catalog).wait(job, 0.1) == job
