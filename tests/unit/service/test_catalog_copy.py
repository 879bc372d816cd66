"""The local copy of the catalog: it follows, catches up, and goes on while the catalog is away."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.domain.directory import CatalogUpdate, Directory
from akidb_ray.domain.errors import DeadlineExceeded, NotFound, Unavailable
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import UserStatus
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.following import retry_wait_s
from tests.contract.catalog.things import a_tenant

PATIENCE_S = 20.0


def now() -> datetime:
    return datetime.now(UTC)


class Wire:
    """The way to a catalog that restarts: what answers changes, and at times nothing does."""

    def __init__(self, catalog: StoredCatalog | None) -> None:
        self.catalog = catalog
        self.calls: list[int] = []
        self.instead: list[CatalogUpdate] = []
        self.failure: Exception = Unavailable("the catalog is not running")

    async def watch(self, since: int, timeout_s: float) -> CatalogUpdate | None:
        self.calls.append(since)
        if self.instead:
            return self.instead.pop(0)
        if self.catalog is None:
            raise self.failure
        return await self.catalog.watch(since, timeout_s)


@pytest.fixture
async def catalog() -> AsyncIterator[StoredCatalog]:
    opened = StoredCatalog(MemoryStore(now))
    await opened.create_tenant("Acme")
    yield opened
    await opened.close()


@pytest.fixture
def wire(catalog: StoredCatalog) -> Wire:
    return Wire(catalog)


@pytest.fixture
def copy(wire: Wire) -> CatalogCopy:
    return CatalogCopy(wire)


@asynccontextmanager
async def following(copy: CatalogCopy) -> AsyncIterator[None]:
    task = asyncio.create_task(copy.follow())
    yield
    task.cancel()
    await asyncio.wait([task])


async def until_known(copy: CatalogCopy, slug: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not knows(copy.directory, slug):
            await asyncio.sleep(0.001)


def knows(directory: Directory, slug: str) -> bool:
    try:
        return directory.tenant(slug).slug == slug
    except NotFound:
        return False


def holds(directory: Directory, *slugs: str) -> bool:
    """These tenants and no others."""
    return directory.tenant_count == len(slugs) and all(knows(directory, slug) for slug in slugs)


async def newest(wire: Wire) -> CatalogUpdate:
    assert wire.catalog is not None
    update = await wire.catalog.watch(0, 0)
    assert update is not None
    return update


async def test_it_follows_each_change(catalog: StoredCatalog, copy: CatalogCopy) -> None:
    assert not copy.is_loaded
    async with following(copy):
        await until_known(copy, "acme")
        assert copy.is_loaded
        directory = copy.directory
        for name in ("Beta", "Gamma"):
            await catalog.create_tenant(name)
            await until_known(copy, name.lower())
        assert copy.directory is directory, "a delta changes the copy in place"


async def test_whoever_changed_the_catalog_reads_that_after_catching_up(
    catalog: StoredCatalog, copy: CatalogCopy
) -> None:
    async with following(copy):
        for number in range(20):
            made = await catalog.create_tenant(f"Tenant {number}")
            assert (await copy.catch_up()).tenant(made.slug) == made


async def test_a_known_name_is_found_without_the_catalog(wire: Wire, copy: CatalogCopy) -> None:
    await copy.catch_up()
    wire.catalog, wire.calls = None, []
    assert (await copy.find(lambda directory: directory.tenant("acme"))).slug == "acme"
    assert wire.calls == []


async def test_an_unknown_name_asks_the_catalog_once(
    catalog: StoredCatalog, wire: Wire, copy: CatalogCopy
) -> None:
    await copy.catch_up()
    wire.calls = []
    with pytest.raises(NotFound):
        await copy.find(lambda directory: directory.tenant("beta"))
    assert len(wire.calls) == 1
    await catalog.create_tenant("Beta")
    assert (await copy.find(lambda directory: directory.tenant("beta"))).name == "Beta"


async def test_an_unknown_name_is_unavailable_while_the_catalog_is_away(
    wire: Wire, copy: CatalogCopy
) -> None:
    with pytest.raises(NotFound):
        await copy.find(lambda directory: directory.tenant("beta"))
    wire.catalog = None
    with pytest.raises(Unavailable, match="tenant 'beta' does not exist, as far as is known"):
        await copy.find(lambda directory: directory.tenant("beta"))
    with pytest.raises(Unavailable):
        await CatalogCopy(wire).find(lambda directory: directory.tenant("acme"))


async def test_a_catalog_that_does_not_answer_in_time_is_unavailable(
    wire: Wire, copy: CatalogCopy
) -> None:
    await copy.catch_up()
    wire.catalog, wire.failure = None, DeadlineExceeded("the catalog did not answer in time")
    with pytest.raises(Unavailable, match="did not answer in time"):
        await copy.find(lambda directory: directory.tenant("beta"))


async def test_it_follows_on_when_the_catalog_has_restarted(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    first = await StoredCatalog.open(file, now, create=True)
    wire = Wire(first)
    copy = CatalogCopy(wire)
    async with following(copy):
        await until_known(copy, "default")
        directory = copy.directory
        await first.close()
        wire.catalog = second = await StoredCatalog.open(file, now, create=False)
        await second.create_tenant("Beta")
        await until_known(copy, "beta")
        assert copy.directory is directory, "it goes on where it was"
        assert directory.position.epoch == second.epoch > first.epoch
    await second.close()


async def test_it_waits_longer_and_longer_while_the_catalog_is_away(
    wire: Wire, copy: CatalogCopy
) -> None:
    wire.catalog = None
    async with following(copy):
        async with asyncio.timeout(PATIENCE_S):
            while not wire.calls:
                await asyncio.sleep(0.001)
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert len(wire.calls) == 1
    waits = [retry_wait_s(failures) for failures in range(1, 8)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert retry_wait_s(10**6) == 8.0


async def test_a_foreign_error_does_not_end_the_following(
    catalog: StoredCatalog, wire: Wire, copy: CatalogCopy, caplog: pytest.LogCaptureFixture
) -> None:
    await copy.catch_up()
    wire.catalog, wire.failure, wire.calls = None, RuntimeError("an answer that can't be read"), []
    async with following(copy):
        async with asyncio.timeout(PATIENCE_S):
            while not wire.calls:
                await asyncio.sleep(0.001)
        wire.catalog = catalog
        await catalog.create_tenant("Beta")
        await until_known(copy, "beta")
    assert wire.calls[1] == 0, "it asks for the whole"
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert "RuntimeError" in str(logged.exc_info)


async def test_a_change_that_broke_off_half_way_is_made_good_by_the_whole(
    wire: Wire, copy: CatalogCopy
) -> None:
    await copy.catch_up()
    whole = await newest(wire)
    broken: Any = None
    wire.instead = [
        replace(
            whole,
            version=whole.version + 1,
            whole=False,
            tenants=(a_tenant(7),),
            databases=(broken,),
        )
    ]
    before = copy.directory
    async with following(copy), asyncio.timeout(PATIENCE_S):
        while copy.directory is before:
            await asyncio.sleep(0.001)
    assert holds(copy.directory, "acme")
    assert copy.directory.position.version == whole.version


async def test_one_that_lags_behind_the_record_of_changes_loads_the_whole(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "catalog.sqlite", now, create=True)
    catalog = StoredCatalog(store)
    copy = CatalogCopy(catalog)
    gone = await catalog.create_tenant("Gone")
    await copy.catch_up()
    async with store.writing() as repos:
        await repos.tenants.delete(gone.tenant_id)
    await catalog.create_tenant("Acme")
    await store.forget_changes(keep=0)
    assert holds(await copy.catch_up(), "acme")
    await catalog.close()


async def test_an_update_that_does_not_fit_is_made_good_by_the_whole(
    wire: Wire, copy: CatalogCopy, catalog: StoredCatalog
) -> None:
    await copy.catch_up()
    acme = copy.directory.tenant("acme")
    database = await catalog.create_database(acme.tenant_id, "films")
    stray = replace(database, tenant_id=TenantId.new())
    whole = await newest(wire)
    wire.instead = [replace(whole, whole=False, tenants=(), databases=(stray,))]
    assert (await copy.catch_up()).database(acme, "films") == database


@pytest.mark.parametrize(
    "wrong",
    [{"epoch": 0}, {"version": 0, "epoch": 2}],
    ids=["a former term", "a lower version"],
)
async def test_what_must_not_be_taken_makes_the_catalog_unavailable_and_changes_nothing(
    wire: Wire, copy: CatalogCopy, wrong: dict[str, int]
) -> None:
    await copy.catch_up()
    before = copy.directory.position
    wire.instead = [replace(await newest(wire), tenants=(), **wrong)]
    with pytest.raises(Unavailable, match="can't be followed: a copy of the catalog is at version"):
        await copy.catch_up()
    assert copy.directory.position == before
    assert holds(copy.directory, "acme")


async def test_another_cluster_is_not_followed(wire: Wire, copy: CatalogCopy) -> None:
    await copy.catch_up()
    other = StoredCatalog(MemoryStore(now))
    for number in range(5):
        await other.create_tenant(f"Tenant {number}")
    wire.catalog = other
    with pytest.raises(Unavailable, match="of cluster"):
        await copy.catch_up()
    assert holds(copy.directory, "acme")


async def test_an_older_answer_does_not_replace_a_newer_one(
    catalog: StoredCatalog, wire: Wire, copy: CatalogCopy
) -> None:
    older = await newest(wire)
    await catalog.create_tenant("Beta")
    await copy.catch_up()
    wire.instead = [older]
    assert holds(await copy.catch_up(), "acme", "beta")


async def test_users_are_no_news(catalog: StoredCatalog, copy: CatalogCopy) -> None:
    directory = await copy.catch_up()
    since = directory.version
    tenant = directory.tenant("acme")
    await catalog.create_user(tenant.tenant_id, "a@example.com", b"secret", UserStatus.ACTIVE)
    update = await catalog.watch(since, 0)
    assert update is not None
    assert b"secret" not in repr(update).encode()
    assert holds(await copy.catch_up(), "acme")


async def test_a_large_whole_is_kept_from_the_garbage_collector_and_freed_all_the_same(
    wire: Wire, copy: CatalogCopy
) -> None:
    update = await newest(wire)
    tenants = [a_tenant(number) for number in range(10_000)]
    wire.instead = [replace(update, epoch=update.epoch + 1, version=100, tenants=tenants)]
    del tenants
    before = gc.get_freeze_count()
    try:
        assert (await copy.catch_up()).tenant_count == 10_000
        frozen = gc.get_freeze_count()
        assert frozen >= before + 10_000
        wire.instead = [replace(update, epoch=update.epoch + 2, version=101)]
        assert holds(await copy.catch_up(), "acme")
        assert gc.get_freeze_count() <= frozen - 10_000
        assert gc.isenabled()
    finally:
        gc.unfreeze()
