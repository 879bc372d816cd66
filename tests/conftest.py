"""One server, and with it one Ray, for the whole session; tests that kill one start their own."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.serving import ServerProcess


class Scheduling(LoadScopeScheduling):
    """What one of several workers gets: all tests that need Ray, or those of one file.

    Those with Ray take the longest, so they come first: `--no-loadscope-reorder` keeps the order of
    the collection.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        return "ray" if file.startswith(("tests/cluster/", "tests/e2e/")) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves MiniLM and the hashing embedder, on two shard hosts."""
    settings = {
        "AKIDB_EMBEDDING_MODELS": "all-MiniLM-L6-v2,hashing-64",
        "AKIDB_RAY_SHARD_HOSTS_PER_NODE": "2",
    }
    running = ServerProcess(tmp_path_factory.mktemp("server") / "data", settings).start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
