"""The job runner, without Ray: a catalog in memory, and hosts with real folders."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.domain.collection import CollectionState
from akidb_ray.domain.errors import Corrupt, NotFound
from akidb_ray.domain.ids import JobId, StoreId
from akidb_ray.domain.jobs import JobKind, JobState
from akidb_ray.domain.listing import Listing
from akidb_ray.service.job_runner import JobPolicy, JobRunner
from tests.in_process import DirectHosts
from tests.unit.service.deletions import (
    POLICY,
    Crash,
    Fuse,
    Scene,
    in_file,
    in_memory,
    running,
    scene,
    until,
)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, in_memory()) as made:
        yield made


async def purge_of_acme(here: Scene) -> JobId:
    """A tenant with two databases and three collections, one of them half made, to be purged; and
    a collection of another tenant.
    """
    acme, bystander = await here.make_tenant("acme"), await here.make_tenant("bystander")
    first = await here.catalog.create_database(acme.tenant_id, "first")
    second = await here.catalog.create_database(acme.tenant_id, "second")
    theirs = await here.catalog.create_database(bystander.tenant_id, "theirs")
    await here.make_collection(first, "a")
    await here.make_collection(first, "b", ready=False)
    await here.make_collection(second, "c", shards=3)
    await here.make_collection(theirs, "kept")
    await here.decommission(acme)
    return (await here.catalog.purge_tenant(acme.tenant_id)).job_id


async def check_purged(here: Scene, job_id: JobId) -> None:
    job = await here.catalog.get_job(job_id)
    assert (job.state, job.done, job.total, job.error) == (JobState.SUCCEEDED, 3, 3, None)
    assert here.folders() == {"kept": 2}
    assert await here.states() == {"kept": CollectionState.READY}
    with pytest.raises(NotFound):
        await here.catalog.get_tenant("acme")
    assert (await here.catalog.get_tenant("bystander")).slug == "bystander"


async def test_a_purge_removes_all_of_a_tenant_and_nothing_else(here: Scene) -> None:
    job_id = await purge_of_acme(here)
    async with running(here.runner()):
        await here.ended(job_id)
    await check_purged(here, job_id)


async def test_a_running_one_is_woken_for_a_new_job(here: Scene) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    collection_id = await here.make_collection(database, "c")
    fuse = Fuse()
    async with running(here.runner(fuse)) as runner:
        await until(lambda: _burnt(fuse))
        job = await here.catalog.delete_collection(collection_id)
        runner.wake()
        assert (await here.ended(job.job_id)).state is JobState.SUCCEEDED
        job = await here.catalog.delete_database(database.database_id)
        runner.wake()
        assert (await here.ended(job.job_id)).state is JobState.SUCCEEDED
    assert here.folders() == {}
    assert (await here.catalog.list_databases(acme.tenant_id, Listing())).items == ()


async def _burnt(fuse: Fuse) -> bool:
    return fuse.calls > 0


@pytest.mark.parametrize("kept_in", ["memory", "file"])
async def test_a_purge_survives_a_crash_after_every_call(tmp_path: Path, kept_in: str) -> None:
    calls = 0
    while True:
        folder = tmp_path / str(calls)
        opening = in_memory() if kept_in == "memory" else in_file(folder / "catalog.sqlite")
        folder.mkdir()
        async with scene(folder, opening) as here:
            job_id = await purge_of_acme(here)
            crashed = await _crashes_after(here, calls, job_id)
            await here.reopen()
            await here.check()
            assert await here.catalog.adopt_unfinished() == []
            async with running(here.runner()):
                await here.ended(job_id)
            await check_purged(here, job_id)
        if not crashed:
            break
        calls += 1 if kept_in == "memory" else 5
    assert calls > 20


async def _crashes_after(here: Scene, calls: int, job_id: JobId) -> bool:
    """Run until the crash, or until the job has ended without one."""
    run = asyncio.create_task(here.runner(Fuse(calls)).run())
    end = asyncio.create_task(here.ended(job_id))
    done, _ = await asyncio.wait([run, end], return_when=asyncio.FIRST_COMPLETED)
    for task in (run, end):
        task.cancel()
    await asyncio.wait([run, end])
    if run not in done:
        return False
    _, others = run.exception().split(Crash)  # type: ignore[union-attr]
    assert others is None, others
    return True


async def test_a_host_that_is_down_holds_its_jobs_up_and_no_others(here: Scene) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    wide = await here.make_collection(database, "wide", shards=2)
    one, other = [p.store_id for p in here.made["wide"].placements]
    narrow = await here.make_collection(database, "narrow", shards=1)
    (used,) = [p.store_id for p in here.made["narrow"].placements]
    here.hosts.down = {one if used == other else other}
    stuck = await here.catalog.delete_collection(wide)
    async with running(here.runner()) as runner:
        await until(lambda: _noted(here, stuck.job_id))
        free = await here.catalog.delete_collection(narrow)
        runner.wake()
        assert (await here.ended(free.job_id)).state is JobState.SUCCEEDED
        assert (await here.catalog.get_job(stuck.job_id)).error == "the shard host is down"
        assert here.folders() == {"wide": 1}
        here.hosts.down = set()
        ended = await here.ended(stuck.job_id)
    assert (ended.state, ended.done, ended.error) == (JobState.SUCCEEDED, 1, None)
    assert here.folders() == {}


async def _noted(here: Scene, job_id: JobId) -> bool:
    return (await here.catalog.get_job(job_id)).error is not None


async def test_a_cancelled_purge_leaves_whole_what_it_had_not_begun_with(here: Scene) -> None:
    job_id = await purge_of_acme(here)
    first = here.made["a"].placements[1].store_id
    here.hosts.down = {first}
    async with running(here.runner()):
        await until(lambda: _noted(here, job_id))
        await here.catalog.cancel_job(job_id)
        assert not (await here.catalog.get_job(job_id)).ended
        # What is half deleted has no way back: it goes as soon as its host is there.
        here.hosts.down = set()
        job = await here.ended(job_id)
    assert (job.state, job.done) == (JobState.CANCELLED, 1)
    assert here.folders() == {"b": 1, "c": 3, "kept": 2}
    assert (await here.catalog.get_tenant("acme")).slug == "acme"
    assert await here.catalog.adopt_unfinished() == []


async def test_what_is_deleting_without_a_job_is_adopted(here: Scene) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    half, whole = [await here.make_collection(database, name) for name in ("half", "whole")]
    await here.catalog.mark_deleting(half)
    adopted = await here.catalog.adopt_unfinished()
    assert [(job.kind, job.subject) for job in adopted] == [(JobKind.DELETE_COLLECTION, "half")]
    async with running(here.runner()):
        await here.ended(adopted[0].job_id)
    assert here.folders() == {"whole": 2}
    assert await here.catalog.adopt_unfinished() == []
    assert (await here.place(whole)).collection.state is CollectionState.READY


async def test_two_jobs_that_want_the_same_collection_both_succeed(here: Scene) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    collection_id = await here.make_collection(database, "c")
    await here.make_collection(database, "e")
    jobs = [
        await here.catalog.delete_collection(collection_id),
        await here.catalog.delete_database(database.database_id, cascade=True),
    ]
    await here.decommission(acme)
    jobs.append(await here.catalog.purge_tenant(acme.tenant_id))
    async with running(here.runner()):
        states = [(await here.ended(job.job_id)).state for job in jobs]
    assert states == [JobState.SUCCEEDED] * 3
    assert here.folders() == {}


class CrowdedHosts:
    """Counts the deletions that go on at the same time; each waits until as many as may have come,
    or nothing else is left to do.
    """

    def __init__(self, hosts: DirectHosts, may: int) -> None:
        self._hosts = hosts
        self._may = may
        self._full = asyncio.Event()
        self._at_once = 0
        self.most = 0

    async def drop_shard(self, store_id: StoreId, place: Any, number: int) -> None:
        self._at_once += 1
        self.most = max(self.most, self._at_once)
        if self._at_once == self._may:
            self._full.set()
        await self._full.wait()
        await self._hosts.drop_shard(store_id, place, number)
        self._at_once -= 1


async def test_jobs_go_on_side_by_side_up_to_a_bound_per_store(here: Scene) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    made = [await here.make_collection(database, f"c{n}", shards=4) for n in range(4)]
    jobs = [await here.catalog.delete_collection(each) for each in made]
    per_store = 3
    hosts: Any = CrowdedHosts(here.hosts, may=per_store * len(here.hosts.hosts))
    policy = JobPolicy(per_store, POLICY.first_wait_s, POLICY.longest_wait_s)
    async with running(JobRunner(here.catalog, hosts, policy)):
        states = [(await here.ended(job.job_id)).state for job in jobs]
    assert states == [JobState.SUCCEEDED] * 4
    assert hosts.most == 6
    assert here.folders() == {}


class DamagedHosts:
    """A store that can't be written to any more."""

    async def drop_shard(self, store_id: StoreId, place: Any, number: int) -> None:
        raise Corrupt("store.json", "is not a store's identity")


class BrokenHosts:
    async def drop_shard(self, store_id: StoreId, place: Any, number: int) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("hosts", "reason"), [(DamagedHosts(), "store.json"), (BrokenHosts(), "ZeroDivisionError")]
)
async def test_what_waiting_does_not_help_fails_the_job_and_can_be_begun_again(
    here: Scene, hosts: Any, reason: str
) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    collection_id = await here.make_collection(database, "c")
    job = await here.catalog.delete_collection(collection_id)
    async with running(JobRunner(here.catalog, hosts, POLICY)):
        failed = await here.ended(job.job_id)
    assert failed.state is JobState.FAILED
    assert reason in (failed.error or "")
    assert await here.states() == {"c": CollectionState.DELETING}
    again = await here.catalog.delete_collection(collection_id)
    async with running(here.runner()):
        assert (await here.ended(again.job_id)).state is JobState.SUCCEEDED
    assert here.folders() == {}


class CountedCalls:
    """A catalog whose calls are counted by their names."""

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._catalog, name)


async def test_what_keeps_a_job_is_recorded_and_logged_once(
    here: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    job = await here.catalog.delete_collection(await here.make_collection(database, "c", shards=1))
    here.hosts.down = set(here.hosts.hosts)
    catalog: Any = CountedCalls(here.catalog)

    async def was_tried_often() -> bool:
        return bool(catalog.calls["mark_deleting"] >= 5)

    async with running(JobRunner(catalog, here.hosts, POLICY)):
        await until(was_tried_often)
        assert catalog.calls["note_job"] == 1
        assert [str(job.job_id) in line for line in caplog.messages] == [True]
        here.hosts.down = set()
        ended = await here.ended(job.job_id)
    assert (ended.state, ended.error) == (JobState.SUCCEEDED, None)


async def test_a_waiting_job_is_tried_again_at_once_when_there_is_hope(here: Scene) -> None:
    acme = await here.make_tenant("acme")
    database = await here.catalog.create_database(acme.tenant_id, "d")
    job = await here.catalog.delete_collection(await here.make_collection(database, "c"))
    here.hosts.down = set(here.hosts.hosts)
    hours = JobPolicy(first_wait_s=3600.0, longest_wait_s=3600.0)
    async with running(JobRunner(here.catalog, here.hosts, hours)) as runner:
        await until(lambda: _noted(here, job.job_id))
        here.hosts.down = set()

        async def has_ended() -> bool:
            # More than once: it may not wait yet.
            runner.try_again()
            return (await here.catalog.get_job(job.job_id)).ended

        await until(has_ended)
    assert here.folders() == {}
