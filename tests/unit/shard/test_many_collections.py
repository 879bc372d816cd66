"""Many small collections take turns in one host."""

import os
from pathlib import Path

import pytest

from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardCount, ShardGet
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import NAMES, SPEC, batch
from tests.unit.shard.test_commit import wait_until
from tests.unit.storage.watched_filesystem import WatchedFileSystem

ALL = RowFilter()
KEYS = [ShardKey(TenantId.new(), CollectionId.new(), 0) for _ in range(120)]
IDS = [str(number) for number in range(10)]
DESCRIPTORS = Path("/proc/self/fd")
HOST = HostPolicy(max_open_replicas=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with ten documents in each collection, which all tests read."""
    folder = tmp_path_factory.mktemp("store")
    replicas = Replicas(OsFileSystem(folder), ShardPolicy(), HOST)
    for number, key in enumerate(KEYS):
        replicas.create(key, SPEC, NAMES)
        replicas.write(ShardUpsert(key, batch(IDS, seed=number), ALL))
        assert replicas.open_count <= 16
    replicas.close()
    return folder


def test_each_is_opened_on_first_use_and_closed_for_another(folder: Path) -> None:
    replicas = Replicas(OsFileSystem(folder), ShardPolicy(), HOST)
    assert replicas.open_count == 0
    for number, key in enumerate(KEYS):
        (found,) = replicas.get(ShardGet(key, ["3"], ALL))
        assert found.text == f"text {number} of 3"
        assert replicas.open_count <= 16
    assert replicas.memory.used_bytes < 16 * 1024**2, "less than 1 MB each"
    if DESCRIPTORS.exists():
        ours = [link for link in DESCRIPTORS.iterdir() if str(folder) in os.path.realpath(link)]
        assert len(ours) <= 2 * 16
    replicas.close()


def test_start_looks_at_none_of_them(folder: Path) -> None:
    fs = WatchedFileSystem(OsFileSystem(folder))
    replicas = Replicas(fs, ShardPolicy(), HOST)
    assert not fs.watch.counts
    replicas.close()


def test_cold_one_is_closed_and_opened_again_when_it_is_asked(folder: Path) -> None:
    replicas = Replicas(OsFileSystem(folder), ShardPolicy(), HostPolicy(close_idle_s=0.05))
    assert replicas.count(ShardCount(KEYS[0], ALL)) == 10
    wait_until(lambda: replicas.open_count == replicas.memory.used_bytes == 0)
    assert replicas.count(ShardCount(KEYS[0], ALL)) == 10
    replicas.close()


def test_one_that_was_only_read_is_closed_without_a_write(folder: Path) -> None:
    fs = WatchedFileSystem(OsFileSystem(folder))
    replicas = Replicas(fs, ShardPolicy(), HOST)
    replicas.count(ShardCount(KEYS[0], ALL))
    replicas.close()
    assert fs.watch.counts["write"] == fs.watch.counts["replace"] == 0
    assert fs.watch.counts["append"] == fs.watch.counts["sync"] == 0
