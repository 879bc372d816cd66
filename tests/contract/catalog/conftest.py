"""The stores that the suite runs on, with nothing in them."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.catalog.sqlite.store import SqliteStore
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    KINDS,
    START,
    TENANTS,
    Kind,
    a_database,
    a_tenant,
    keep,
)

OpenAgain = Callable[[], Awaitable[CatalogStore]]


@dataclass
class Clock:
    """Time that passes only when a test says so."""

    now: datetime = field(default_factory=lambda: START + timedelta(days=1))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def catalog_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new catalog's file, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("catalog") / "catalog.sqlite"

    async def make() -> None:
        await (await SqliteStore.open(path, Clock(), create=True)).close()

    # Fixtures of a whole session come outside of the event loops of tests.
    asyncio.run(make())
    return path


@pytest.fixture(params=["sqlite", "memory"])
async def open_again(
    request: pytest.FixtureRequest, catalog_file: Path, tmp_path: Path, clock: Clock
) -> AsyncIterator[OpenAgain]:
    """Opens the same catalog each time that it is called, as a later process would."""
    opened: list[CatalogStore] = []
    path = tmp_path / "catalog.sqlite"
    shutil.copy(catalog_file, path)

    async def open_again() -> CatalogStore:
        if request.param == "sqlite":
            opened.append(await SqliteStore.open(path, clock, create=False))
        else:
            former = opened[-1] if opened else None
            assert former is None or isinstance(former, MemoryStore)
            opened.append(MemoryStore(clock, former))
        return opened[-1]

    yield open_again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_again: OpenAgain) -> CatalogStore:
    return await open_again()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.word)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
async def parent_id(store: CatalogStore, kind: Kind) -> object:
    """Of what things of that kind belong to; None for tenants."""
    if kind is TENANTS:
        return None
    # Its number and texts are of no thing that a test makes.
    tenant = a_tenant(999, name="Parent", slug="parent")
    await keep(store, TENANTS, tenant)
    if kind is not COLLECTIONS:
        return tenant.tenant_id
    database = a_database(tenant.tenant_id, 999, name="parent")
    await keep(store, DATABASES, database)
    return database.database_id
