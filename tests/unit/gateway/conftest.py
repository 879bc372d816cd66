from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.in_process import Database, running_database
from tests.unit.gateway.films import make_films


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with running_database(tmp_path) as database:
        yield database


@pytest.fixture
def client(database: Database) -> httpx.AsyncClient:
    return database.client


@pytest.fixture
async def films(client: httpx.AsyncClient) -> httpx.AsyncClient:
    await make_films(client)
    return client
