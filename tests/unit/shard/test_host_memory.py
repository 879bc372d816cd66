"""The memory of a host: it makes room, then refuses to grow, and goes on serving."""

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.collection import HnswEngine
from akidb_ray.domain.errors import Exhausted, StorageFull
from akidb_ray.domain.filter import EVERYTHING, RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardCount, ShardGet, ShardSearch, VectorQuery
from akidb_ray.domain.write import ShardDelete, ShardUpsert
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import write_graph
from akidb_ray.shard.attaching import SegmentFiles, build_segment
from akidb_ray.shard.host_memory import HostMemory
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.memory_workload import BUDGET_MB
from tests.unit.shard.shards import DIMENSION, NAMES, batch, vectors_for
from tests.unit.shard.shards import SPEC as ANY_SPEC
from tests.unit.shard.test_commit import wait_until
from tests.unit.storage.watched_filesystem import WatchedFileSystem

ALL = RowFilter()
# Its graphs take memory; those of faiss are mapped.
SPEC = replace(ANY_SPEC, hnsw_engine=HnswEngine.HNSWLIB)
TENANT, COLLECTION = TenantId.new(), CollectionId.new()
A, B, C = KEYS = [ShardKey(TENANT, COLLECTION, number) for number in range(3)]
IDS = [str(number) for number in range(40)]
MB = 1024**2
# Nothing is sealed by itself, and graphs are built over 20 rows and more.
POLICY = ShardPolicy(
    seal_rows=10**6, seal_idle_s=1e9, index_min_rows=20, disk_reserve_bytes=0, lock_wait_s=0.0
)
BIG = {"s": "x" * 20_000}


def test_opening_asks_for_room_until_there_is_some() -> None:
    memory = HostMemory(1000)
    owners = ["a", "b", "c"]
    for owner in owners:
        memory.set(owner, 300)
    with memory.opening(500, lambda: memory.set(owners.pop(), 0) is None):
        assert owners == ["a"]
        assert memory.used_bytes == 800
    assert memory.used_bytes == 300


def test_opening_is_refused_when_nothing_more_can_be_freed() -> None:
    memory = HostMemory(1000)
    memory.set("a", 600)
    with pytest.raises(Exhausted), memory.opening(500, lambda: False):
        pytest.fail("there was no room")
    assert memory.used_bytes == 600


def test_there_is_room_to_open_where_there_is_none_to_grow() -> None:
    memory = HostMemory(1000)
    memory.set("a", 960)
    with pytest.raises(Exhausted):
        memory.admit(10)
    with memory.opening(30, lambda: False):
        assert memory.used_bytes == 990


def test_one_larger_than_the_budget_is_opened_alone() -> None:
    memory = HostMemory(1000)
    with memory.opening(5000, lambda: False):
        pass
    memory.set("a", 1)
    with pytest.raises(Exhausted), memory.opening(5000, lambda: False):
        pytest.fail("it was not alone")


@pytest.fixture
def store(tmp_path: Path) -> WatchedFileSystem:
    return WatchedFileSystem(OsFileSystem(tmp_path / "store"))


def _host(
    store: WatchedFileSystem, budget_bytes: int, policy: ShardPolicy = POLICY, cool_s: float = 0.0
) -> Replicas:
    host = HostPolicy(memory_budget_bytes=budget_bytes, cool_s=cool_s, back_off_s=0.02)
    replicas = Replicas(store, policy, host)
    for shard in KEYS:
        replicas.create(shard, SPEC, NAMES)
    return replicas


def _write(replicas: Replicas, shard: ShardKey, first: int, count: int = 20) -> None:
    ids = [str(number) for number in range(first, first + count)]
    replicas.write(ShardUpsert(shard, batch(ids, payload=BIG), ALL))


def _is_taken(replicas: Replicas, shard: ShardKey, first: int) -> bool:
    try:
        _write(replicas, shard, first)
    except Exhausted:
        return False
    return True


def _fill(replicas: Replicas, shard: ShardKey) -> int:
    """Write until it is refused; return how many documents were taken."""
    written = 0
    while True:
        try:
            _write(replicas, shard, written)
        except Exhausted:
            return written
        written += 20


@pytest.fixture
def full(store: WatchedFileSystem) -> Iterator[tuple[Replicas, int]]:
    """A host whose memory is full of rows that cannot be sealed, because the disk refuses."""
    replicas = _host(store, 20 * MB, cool_s=1e9)
    store.watch.fail("create_directory", "segments/", StorageFull("no room"), times=10**9)
    yield replicas, _fill(replicas, A)
    replicas.close()


def test_full_host_refuses_writes_and_serves_reads_and_deletes(full: tuple[Replicas, int]) -> None:
    replicas, written = full
    assert written > 100
    assert 0.8 * 20 * MB < replicas.memory.used_bytes <= 20 * MB
    with pytest.raises(Exhausted, match="raise memory_budget_bytes"):
        _write(replicas, B, 0)
    # One that was not open is opened to be read.
    assert replicas.count(ShardCount(C, ALL)) == 0
    assert replicas.count(ShardCount(A, ALL)) == written
    assert len(replicas.get(ShardGet(A, ["0", "1"], ALL))) == 2
    query = VectorQuery(vectors_for(["7"])[0], limit=1)
    assert [hit.id for hit in replicas.search(ShardSearch(A, query, ALL))] == ["7"]
    assert replicas.write(ShardDelete(A, ALL, ids=["0", "1"])).affected == 2
    assert replicas.write(ShardDelete(A, ALL, filter=EVERYTHING)).affected == written - 2
    assert replicas.count(ShardCount(A, ALL)) == 0


def test_host_that_fills_up_seals_what_it_holds_and_takes_more(store: WatchedFileSystem) -> None:
    replicas = _host(store, 20 * MB, ShardPolicy(seal_idle_s=1e9, disk_reserve_bytes=0))
    written = 0
    for _ in range(3):
        written += _fill(replicas, A) if written == 0 else 0
        wait_until(functools.partial(_is_taken, replicas, A, written))
        written += 20
    assert replicas.status(A).segments > 1
    assert replicas.count(ShardCount(A, ALL)) == written
    replicas.close()


def test_host_that_fills_up_closes_what_is_cold(store: WatchedFileSystem) -> None:
    replicas = _host(store, 20 * MB)
    _write(replicas, B, 0)
    assert replicas.open_count == 1
    _fill(replicas, A)
    wait_until(lambda: replicas.open_count <= 1)
    assert replicas.count(ShardCount(B, ALL)) == 20
    replicas.close()


def test_memory_is_told_for_each_shard_and_adds_up(store: WatchedFileSystem) -> None:
    replicas = _host(store, 1000 * MB)
    _write(replicas, A, 0, 40)
    _write(replicas, B, 0, 20)
    told = [replicas.status(shard).memory_bytes for shard in KEYS]
    assert told[0] > told[1] > 20 * 20_000 > told[2]
    assert replicas.memory.used_bytes == sum(told)
    replicas.drop(A)
    assert replicas.memory.used_bytes == sum(told[1:])
    replicas.close()


def test_memory_falls_when_a_graph_goes(store: WatchedFileSystem) -> None:
    replicas = _host(store, 1000 * MB, ShardPolicy(seal_rows=20, index_min_rows=20,
                                                   disk_reserve_bytes=0))  # fmt: skip
    replicas.write(ShardUpsert(A, batch(IDS), ALL))
    wait_until(lambda: replicas.status(A).unindexed == 0 and not replicas.status(A).indexing)
    with_graph = replicas.status(A).memory_bytes
    assert with_graph > 2 * MB
    replicas.write(ShardDelete(A, ALL, ids=IDS))
    wait_until(lambda: replicas.memory.used_bytes < MB)
    assert replicas.status(A).memory_bytes < MB
    replicas.close()


def test_build_goes_on_when_there_is_room(store: WatchedFileSystem) -> None:
    replicas = _host(store, 5 * MB, ShardPolicy(seal_rows=20, index_min_rows=20,
                                                disk_reserve_bytes=0))  # fmt: skip
    with replicas.memory.reserved(3 * MB):
        replicas.write(ShardUpsert(A, batch(IDS[:20]), ALL))
        wait_until(lambda: replicas.status(A).segments == 1)
        assert replicas.status(A).unindexed == 20
    wait_until(lambda: replicas.status(A).unindexed == 0)
    replicas.close()


def test_graph_that_does_not_fit_is_not_attached(store: WatchedFileSystem) -> None:
    source = MemoryFileSystem()
    segment = build_segment(source, PurePosixPath("built"), batch(IDS), SPEC).segment
    vectors = source.library_path(segment / "vectors.f32")
    job = GraphJob(SPEC.metric, DIMENSION, len(IDS), vectors, SPEC.hnsw_m, 64, 1, SPEC.hnsw_engine)
    graph = PurePosixPath("graph")
    write_graph(source, graph, job, ThreadGraphBuilder(), lambda: False)
    small = sum(source.size_bytes(graph / name) for name in source.list(graph))
    replicas = _host(store, small)
    with pytest.raises(Exhausted):
        replicas.attach(A, source, [SegmentFiles(segment, graph)])
    assert replicas.count(ShardCount(A, ALL)) == 0
    assert replicas.memory.used_bytes <= small
    replicas.attach(A, source, [SegmentFiles(segment)])
    assert replicas.count(ShardCount(A, ALL)) == 40
    replicas.close()


def test_shard_larger_than_a_smaller_budget_is_still_served(store: WatchedFileSystem) -> None:
    replicas = _host(store, 100 * MB)
    _write(replicas, A, 0, 100)
    replicas.close()
    replicas = _host(store, MB)
    assert replicas.count(ShardCount(A, ALL)) == 100
    with pytest.raises(Exhausted):
        _write(replicas, A, 100)
    assert replicas.write(ShardDelete(A, ALL, filter=EVERYTHING)).affected == 100
    replicas.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("kind", ["rows", "graphs"])
def test_memory_of_a_process_that_writes_until_it_is_refused_is_bounded(
    tmp_path: Path, kind: str
) -> None:
    command = [sys.executable, "-m", "tests.unit.shard.memory_workload", str(tmp_path), kind]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["refused"] > 0
    assert told["counted_mb"] <= 1.05 * BUDGET_MB
    assert told["peak_mb"] <= 2 * BUDGET_MB
    assert told["found"] == told["written"]
