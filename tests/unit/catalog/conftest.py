from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.tenancy import Database, Tenant


@dataclass
class Clock:
    """Time that passes only when a test says so."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 31, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
async def catalog(file: Path, clock: Callable[[], datetime]) -> AsyncIterator[StoredCatalog]:
    opened = await StoredCatalog.open(file, clock, create=True)
    yield opened
    await opened.close()


@pytest.fixture
async def tenant(catalog: StoredCatalog) -> Tenant:
    return await catalog.get_tenant("default")


@pytest.fixture
async def database(catalog: StoredCatalog, tenant: Tenant) -> Database:
    return await catalog.get_database(tenant.tenant_id, "default")


@pytest.fixture
async def store(catalog: StoredCatalog) -> StoreId:
    store_id = StoreId.new()
    await catalog.register_store(store_id, "shard-host-0")
    return store_id
