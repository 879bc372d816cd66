"""The catalog's actor as a plain class: it opens its own store only, and never stops answering."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.catalog.backups import BACKUPS_FOLDER
from akidb_ray.cluster.catalog_actor import CatalogActor
from akidb_ray.domain.errors import InvalidArgument, InvalidState, Unavailable
from akidb_ray.domain.jobs import JobState
from akidb_ray.settings import CatalogSettings, Settings, ShardSettings
from akidb_ray.storage.data_folder import catalog_file, store_folder
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.service.deletions import until

NO_WAIT = Settings(shard=ShardSettings(lock_wait_s=0.1))
LONG_WAIT = Settings(shard=ShardSettings(lock_wait_s=30.0))


@asynccontextmanager
async def actor(
    folder: Path, settings: Settings = NO_WAIT, patience_s: float = 30.0
) -> AsyncIterator[CatalogActor]:
    made = CatalogActor(str(folder), settings, patience_s)
    try:
        yield made
    finally:
        await made.stop()


async def test_it_makes_the_catalog_once_and_opens_it_again(tmp_path: Path) -> None:
    async with actor(tmp_path) as first:
        cluster_id = await first.cluster_id()
        await first.perform("create_tenant", "Acme")
    async with actor(tmp_path) as second:
        assert await second.cluster_id() == cluster_id
        assert (await second.perform("get_tenant", "acme")).name == "Acme"


async def test_it_opens_before_anybody_calls(tmp_path: Path) -> None:
    async with actor(tmp_path):
        await until(lambda: _exists(catalog_file(tmp_path)))


async def _exists(path: Path) -> bool:
    return path.exists()


async def test_two_at_once_are_refused(tmp_path: Path) -> None:
    async with actor(tmp_path) as first:
        await first.cluster_id()
        async with actor(tmp_path) as second:
            with pytest.raises(Unavailable, match="another process"):
                await second.cluster_id()


async def test_the_next_one_waits_until_the_former_has_gone(tmp_path: Path) -> None:
    async with actor(tmp_path, LONG_WAIT) as second, actor(tmp_path, LONG_WAIT) as first:
        opened = [asyncio.create_task(each.cluster_id()) for each in (first, second)]
        done, waiting = await asyncio.wait(opened, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting)) == (1, 1)
        await (first if opened[0] in done else second).stop()
        async with asyncio.timeout(20):
            assert await waiting.pop() == await done.pop()


async def test_a_call_does_not_wait_long_for_the_opening(tmp_path: Path) -> None:
    lock = OsFileSystem(catalog_file(tmp_path).parent).lock(PurePosixPath("LOCK"), 0.0)
    async with actor(tmp_path, LONG_WAIT, patience_s=0.05) as waiting:
        with pytest.raises(Unavailable, match="waiting for its former process to end"):
            await waiting.perform("get_tenant", "default")
        assert await waiting.data_dir() == str(tmp_path)
        lock.release()
        await waiting.cluster_id()
        assert (await waiting.perform("get_tenant", "default")).slug == "default"


async def test_a_failed_opening_is_told_and_tried_again(tmp_path: Path) -> None:
    store = store_folder(tmp_path, 0)
    store.mkdir(parents=True)
    file = catalog_file(tmp_path)
    async with actor(tmp_path) as opening:
        for _ in range(2):
            with pytest.raises(
                InvalidState, match=r"missing beside stores.*`akidb catalog restore`"
            ):
                await opening.perform("get_tenant", "default")
        assert not file.exists(), "an empty catalog beside full stores would hide all data"
        store.rmdir()
        assert (await opening.perform("get_tenant", "default")).slug == "default"
        assert file.exists()


async def test_settings_that_cannot_be_are_told(tmp_path: Path) -> None:
    wrong = Settings(catalog=CatalogSettings(backups_kept=0))
    async with actor(tmp_path, wrong) as refused:
        with pytest.raises(InvalidArgument, match=r"catalog\.backups_kept"):
            await refused.cluster_id()


async def test_jobs_are_carried_out_beside_the_calls(tmp_path: Path) -> None:
    async with actor(tmp_path) as running:
        tenant = await running.perform("get_tenant", "default")
        database = await running.perform("create_database", tenant.tenant_id, "d")
        job = await running.perform("delete_database", database.database_id)

        async def has_ended() -> bool:
            found = await running.perform("get_job", job.job_id)
            return bool(found.state is JobState.SUCCEEDED)

        await until(has_ended)


async def test_each_change_is_backed_up(tmp_path: Path) -> None:
    soon = Settings(catalog=CatalogSettings(backup_delay_s=0.0))
    backups = catalog_file(tmp_path).parent / BACKUPS_FOLDER
    async with actor(tmp_path, soon) as running:
        # A change that no follower is told of: users are in nobody's copy.
        tenant = await running.perform("get_tenant", "default")
        await running.perform("create_user", tenant.tenant_id, "who@example.com")
        update = await running.perform("watch", 0, 0.0)

        async def has_backup() -> bool:
            return any(
                f"-{update.version:012d}-" in path.name for path in backups.rglob("*.sqlite")
            )

        await until(has_backup)


async def test_its_health_says_how_far_the_newest_backup_goes(tmp_path: Path) -> None:
    soon = Settings(catalog=CatalogSettings(backup_delay_s=0.0))
    async with actor(tmp_path, soon) as running:
        await running.cluster_id()
        await running.perform("create_tenant", "Acme")

        async def is_backed_up() -> bool:
            health = await running.health()
            return health.backup.version == health.version and not health.backup.behind

        await until(is_backed_up)
        health = await running.health()
        assert (health.epoch, health.backup.error) == (1, None)
        assert str(catalog_file(tmp_path).parent / BACKUPS_FOLDER) in health.backup.where
        assert health.backup.taken_at is not None


async def test_its_health_does_not_wait_for_the_opening(tmp_path: Path) -> None:
    lock = OsFileSystem(catalog_file(tmp_path).parent).lock(PurePosixPath("LOCK"), 0.0)
    async with actor(tmp_path, LONG_WAIT) as waiting:
        with pytest.raises(Unavailable, match=r"the catalog is (starting|waiting)"):
            await waiting.health()
        lock.release()
        await waiting.cluster_id()
        assert (await waiting.health()).version > 0


async def test_its_health_says_why_backups_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    nowhere = CatalogSettings(backup_uri=str(tmp_path / "file"), backup_delay_s=0.0)
    async with actor(tmp_path / "data", Settings(catalog=nowhere)) as running:
        await running.cluster_id()

        async def has_failed() -> bool:
            return (await running.health()).backup.error is not None

        await until(has_failed)


async def test_a_stopped_one_answers_no_more_calls(tmp_path: Path) -> None:
    stopped = CatalogActor(str(tmp_path), NO_WAIT)
    await stopped.stop()
    with pytest.raises(Unavailable, match="stopping"):
        await stopped.perform("get_tenant", "default")
    await stopped.stop()
