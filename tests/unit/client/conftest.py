from collections.abc import AsyncIterator
from pathlib import Path

import akidb
import pytest

from tests.in_process import running_database
from tests.serving import ROOT_KEY


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[akidb.AsyncClient]:
    """A client of a whole database in this process: real routes, catalog and shards."""
    async with running_database(tmp_path) as database:
        # Its own client's transport leads to the routes.
        transport = database.client._transport
        async with akidb.AsyncClient("http://akidb", api_key=ROOT_KEY, transport=transport) as made:
            yield made
