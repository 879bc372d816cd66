"""What the record of changes, which is in every backup of the catalog, must not hold."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.catalog.sqlite.store import SqliteStore
from tests.contract.catalog.conftest import Clock
from tests.contract.catalog.things import TENANTS, USERS, a_tenant, a_user, changed, keep


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[CatalogStore]:
    store = await SqliteStore.open(path, clock, create=True)
    yield store
    await store.close()


async def test_changes_hold_no_password_hashes_and_no_metadata(
    store: CatalogStore, path: Path
) -> None:
    tenant = a_tenant(metadata={"token": "secret-1"})
    user = a_user(tenant.tenant_id, password_hash=b"secret-2")
    await keep(store, TENANTS, tenant)
    await keep(store, USERS, user)
    other_tenant = replace(tenant, metadata={"token": "secret-3"})
    other_user = replace(user, password_hash=b"secret-4", email="new@example.com")
    await changed(store, lambda repos: repos.tenants.update(other_tenant))
    await changed(store, lambda repos: repos.users.update(other_user))
    await store.set_root_key_hash(b"secret-5")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM changes").fetchall()
    assert len(rows) == 5
    assert "secret" not in repr(rows)
