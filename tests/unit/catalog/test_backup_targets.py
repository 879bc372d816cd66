"""The backup loop at targets that hold another course of the catalog, or refuse something."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from akidb_ray.catalog.backup_loop import BackupLoop
from akidb_ray.catalog.backups import Backups, Series, open_backup_store
from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.restoring import restore
from akidb_ray.catalog.sqlite.facts import read_facts
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import ClusterId
from akidb_ray.domain.listing import Listing
from akidb_ray.settings import CatalogSettings


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "catalog.sqlite"


@pytest.fixture
def settings(tmp_path: Path) -> CatalogSettings:
    return CatalogSettings(str(tmp_path / "target"), 0.0, backups_kept=2)


async def _write(file: Path, *tenants: str) -> ClusterId:
    """Create tenants as a process of its own would."""
    catalog = await StoredCatalog.open(file, _now, create=not file.exists())
    for name in tenants:
        await catalog.create_tenant(name)
    await catalog.close()
    return catalog.cluster_id


async def _tenants(file: Path) -> set[str]:
    catalog = await StoredCatalog.open(file, _now, create=False)
    names = {tenant.name for tenant in (await catalog.list_tenants(Listing())).items}
    await catalog.close()
    return names


@asynccontextmanager
async def _running(loop: BackupLoop) -> AsyncIterator[None]:
    """Until it has backed up what was there."""
    running = asyncio.create_task(loop.run())
    try:
        await _until(lambda: loop.status.version is not None and not loop.status.behind)
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("more", [(), ("second",), ("second", "third", "fourth")])
async def test_after_a_data_folder_is_put_back_both_courses_are_backed_up(
    file: Path, settings: CatalogSettings, more: tuple[str, ...]
) -> None:
    cluster_id = await _write(file, "first")
    backups = Backups(open_backup_store(settings.backup_uri, file.parent), cluster_id)
    copied = shutil.copytree(file.parent, file.parent.parent / "copied")
    for name in ("lost", *more):
        await _write(file, name)
        backups.take(file, Series.CHANGE, _now(), 2)
    old = backups.list()
    shutil.rmtree(file.parent)
    copied.rename(file.parent)
    await _write(file, "precious")

    def left() -> list[int]:
        return [b.checksum for b in backups.list() if b.series is Series.LEFT]

    for _ in range(2):
        loop = BackupLoop(file, cluster_id, settings, _now)
        async with _running(loop):
            await _until(lambda: left() == [b.checksum for b in old])
            error = loop.status.error or ""
            assert old[0].name.removeprefix("change") in error
            assert "was at version" in error
        await _write(file)
    kept = [b for b in backups.list() if b.series is Series.LEFT]
    restore(file, backups, None, _now())
    assert await _tenants(file) == {"default", "first", "precious"}
    restore(file, backups, kept[0].name, _now())
    assert await _tenants(file) == {"default", "first", "lost", *more}


async def test_a_catalog_opened_again_is_not_backed_up_again(
    file: Path, settings: CatalogSettings
) -> None:
    cluster_id = await _write(file, "first")
    for _ in range(3):
        await _write(file)
        loop = BackupLoop(file, cluster_id, settings, _now)
        async with _running(loop):
            assert loop.status.error is None
    backups = Backups(open_backup_store(settings.backup_uri, file.parent), cluster_id)
    assert len(backups.list()) == 1


async def test_a_restored_catalog_goes_on_on_the_same_course(
    file: Path, settings: CatalogSettings
) -> None:
    cluster_id = await _write(file, "first")
    backups = Backups(open_backup_store(settings.backup_uri, file.parent), cluster_id)
    old = backups.take(file, Series.CHANGE, _now(), 9)
    await _write(file, "second")
    backups.take(file, Series.CHANGE, _now(), 9)
    restore(file, backups, old.name, _now())
    await _write(file)
    loop = BackupLoop(file, cluster_id, settings, _now)
    async with _running(loop):
        assert loop.status.error is None
    assert {b.series for b in backups.list()} == {Series.CHANGE}


async def test_where_old_backups_cannot_be_removed_each_state_is_backed_up_once(
    file: Path, settings: CatalogSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster_id = await _write(file, "first")
    folder = tmp_path / "target" / str(cluster_id)
    # What can't be removed as a file is, and has a backup's name.
    blocked = folder / "change-000000000000-00000000-20200101T000000Z-00000000.sqlite"
    blocked.mkdir(parents=True)
    settings = CatalogSettings(settings.backup_uri, 0.0, 1e9, backups_kept=1)
    loop = BackupLoop(file, cluster_id, settings, _now, seconds=lambda: 0.0)
    running = asyncio.create_task(loop.run())
    await _until(lambda: "can't be removed" in (loop.status.error or ""))
    for number in range(1, 4):
        catalog = await StoredCatalog.open(file, _now, create=False)
        await catalog.create_tenant(f"more {number}")
        await catalog.close()
        version = read_facts(file).version
        loop.notify(version)
        await _until(lambda version=version: loop.status.version == version)
        assert not loop.status.behind
    assert len(list(folder.iterdir())) == 5
    blocked.rmdir()
    running.cancel()
    await asyncio.wait([running])
    assert caplog.text.count("older backups of the catalog can't be removed") == 1


@pytest.mark.parametrize(
    "uri", ["s3:/KEY:hidden@b", "KEY:hidden@b/p", "s3://KEY:a/hidden@b", "s3://KEY:a?hidden@b"]
)
def test_a_uri_with_a_slip_shows_no_secret(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="backup_uri") as refused:
        open_backup_store(uri, tmp_path)
    assert "hidden" not in str(refused.value)
    assert "KEY" not in str(refused.value)
