from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from akidb_ray.shard.replica import Replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import INDEXED, opened, seal
from tests.unit.storage.watched_filesystem import WatchedFileSystem


@pytest.fixture
def fs(tmp_path: Path) -> WatchedFileSystem:
    return WatchedFileSystem(OsFileSystem(tmp_path / "shard"))


@pytest.fixture
def replica(fs: WatchedFileSystem) -> Iterator[Replica]:
    replica = opened(fs, INDEXED)
    yield replica
    if not replica.failed:
        replica.close()


@pytest.fixture(params=["growing", "frozen", "sealed"])
def settle(request: pytest.FixtureRequest) -> Callable[[Replica], None]:
    """Where the documents written so far are when the test goes on."""
    ways: dict[str, Callable[[Replica], None]] = {
        "growing": lambda replica: None,
        "frozen": Replica.freeze,
        "sealed": seal,
    }
    return ways[request.param]
