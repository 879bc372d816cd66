"""The table of open replicas: which is closed for another, and who waits for whom."""

import random
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import AkiDBError, NotFound, StorageFailed, Unavailable
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardCount, ShardGet
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.attaching import SegmentFiles, build_segment
from akidb_ray.shard.host_memory import HostMemory
from akidb_ray.shard.open_replicas import OpenReplicas
from akidb_ray.shard.policy import HostPolicy
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.replicas import TENANTS, Replicas
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import INDEXED, NAMES, POLICY, SPEC, Clock, batch, opened, upsert
from tests.unit.shard.test_commit import wait_until
from tests.unit.storage.watched_filesystem import WatchedFileSystem

ALL = RowFilter()
TENANT, COLLECTION = TenantId.new(), CollectionId.new()
A, B, C, D = KEYS = [ShardKey(TENANT, COLLECTION, number) for number in range(4)]


class Table:
    """A table over replicas in memory, with a clock that a test moves."""

    def __init__(self) -> None:
        self.clock, self.memory = Clock(), HostMemory(2**30)
        self.table = OpenReplicas(self.memory, self.clock)
        self.fs = MemoryFileSystem()

    def open(self, shard: ShardKey, limit: int = 9) -> None:
        self.clock.now += 1
        with self.table.alone(shard):
            self.table.close_beyond(limit)
            self.table.unpin(self.table.add(shard, opened(self.fs.subtree(shard.path), POLICY)))

    def use(self, shard: ShardKey) -> None:
        self.clock.now += 1
        opened = self.table.pin(shard)
        assert opened is not None
        self.table.unpin(opened)


@pytest.fixture
def made() -> Table:
    made = Table()
    for shard in (A, B, C):
        made.open(shard)
    return made


def test_the_one_used_longest_ago_is_closed_for_another(made: Table) -> None:
    made.use(A)
    made.open(D, limit=3)
    assert made.table.shards() == [A, C, D]
    # It let go of its folder.
    open_replica(made.fs.subtree(B.path), POLICY).close()


def test_maintenance_is_no_use(made: Table) -> None:
    visited = made.table.pin_for_work(A, "flush")
    assert visited is not None
    made.clock.now += 100
    made.table.unpin(visited, used=False)
    assert made.table.close_coldest(0.0)
    assert made.table.shards() == [B, C]


def test_one_that_somebody_is_inside_is_not_closed_for_another(made: Table) -> None:
    inside = [made.table.pin(shard) for shard in (A, B)]
    made.open(D, limit=1)
    assert made.table.shards() == [A, B, D]
    for one in inside:
        assert one is not None
        made.table.unpin(one)
    made.table.close_beyond(1)
    assert len(made.table) == 1


def test_only_what_was_idle_for_so_long_is_closed(made: Table) -> None:
    made.clock.now += 10
    made.use(C)
    while made.table.close_coldest(5.0):
        pass
    assert made.table.shards() == [C]
    assert made.table.closed_count == 2


def test_use_lasts_until_the_end_of_the_call(made: Table) -> None:
    inside = made.table.pin(A)
    assert inside is not None
    made.clock.now += 100
    made.table.unpin(inside)
    assert made.table.close_coldest(50.0)
    assert made.table.close_coldest(50.0)
    assert not made.table.close_coldest(50.0)
    assert made.table.shards() == [A]


def test_one_that_somebody_is_alone_with_is_not_taken(made: Table) -> None:
    with made.table.alone(A):
        while made.table.close_coldest(0.0):
            pass
    assert made.table.shards() == [A]


def test_memory_of_one_that_was_closed_is_counted_no_more(made: Table) -> None:
    inside = made.table.pin(A)
    assert inside is not None
    upsert(inside.replica, "a")
    made.table.measure(A, inside)
    held = made.memory.used_bytes
    with made.table.alone(A):
        made.table.close(A)
    assert made.memory.used_bytes < held
    left = made.memory.used_bytes
    made.table.measure(A, inside)
    assert made.memory.used_bytes == left
    made.table.close_all()
    assert made.memory.used_bytes == 0


def test_failed_work_waits_and_other_work_does_not(made: Table) -> None:
    visited = made.table.pin_for_work(A, "improve")
    assert visited is not None
    visited.retry_at["improve"] = made.clock.now + 5
    assert made.table.pin_for_work(A, "improve") is None
    assert made.table.pin_for_work(A, "flush") is visited
    made.clock.now += 5
    assert made.table.pin_for_work(A, "improve") is visited


def test_stopped_table_lets_nobody_in(made: Table) -> None:
    made.table.close_all()
    assert len(made.table) == 0
    with pytest.raises(Unavailable), made.table.alone(A):
        pytest.fail("it is stopped")
    for shard in (A, B, C):
        open_replica(made.fs.subtree(shard.path), POLICY).close()


def test_who_waits_for_a_shard_when_the_host_stops_is_told(made: Table) -> None:
    errors: list[AkiDBError] = []

    def wait() -> None:
        try:
            with made.table.alone(A):
                pass
        except Unavailable as error:
            errors.append(error)

    waiting, stopping = threading.Thread(target=wait), threading.Thread(target=made.table.close_all)
    with made.table.alone(A):
        waiting.start()
        stopping.start()
        waiting.join()
        assert len(errors) == 1
    stopping.join()


@pytest.fixture
def store(tmp_path: Path) -> WatchedFileSystem:
    return WatchedFileSystem(OsFileSystem(tmp_path / "store"))


def _host(store: WatchedFileSystem, **host: float) -> Replicas:
    """Nobody waits for a lock on disk: two that meet there are an error."""
    replicas = Replicas(store, INDEXED, HostPolicy(**host))  # type: ignore[arg-type]
    for shard in KEYS:
        replicas.create(shard, SPEC, NAMES)
    return replicas


def _during(store: WatchedFileSystem, operation: str, path: str, work: Callable[[], None]) -> None:
    store.watch.before(operation, path, work)


def test_who_asks_for_a_shard_that_is_being_closed_waits_for_that(
    store: WatchedFileSystem,
) -> None:
    replicas = _host(store, max_open_replicas=1)
    replicas.write(ShardUpsert(A, batch(["a"]), ALL))
    found: list[int] = []
    asking = threading.Thread(target=lambda: found.append(replicas.count(ShardCount(A, ALL))))
    _during(store, "write", f"{A.path}/manifest", asking.start)
    replicas.count(ShardCount(B, ALL))
    asking.join()
    assert found == [1]
    replicas.close()


def test_drop_waits_for_those_who_write_into_the_folder(store: WatchedFileSystem) -> None:
    replicas = _host(store)
    source = MemoryFileSystem()
    files = build_segment(source, PurePosixPath("built"), batch(["a", "b"]), SPEC)
    dropping = threading.Thread(target=replicas.drop, args=(A,))

    def drop() -> None:
        dropping.start()
        wait_until(lambda: replicas.open_count == 0)

    _during(store, "copy_in", str(A.path), drop)
    with pytest.raises(StorageFailed):
        replicas.attach(A, source, [SegmentFiles(files.segment)])
    dropping.join()
    assert not store.exists(TENANTS / A.path)
    assert replicas.memory.used_bytes == 0
    with pytest.raises(NotFound):
        replicas.count(ShardCount(A, ALL))
    replicas.close()


def test_memory_of_a_shard_dropped_during_a_write_is_given_back(store: WatchedFileSystem) -> None:
    replicas = _host(store)
    dropping = threading.Thread(target=replicas.drop, args=(A,))

    def drop() -> None:
        dropping.start()
        wait_until(lambda: replicas.open_count == 0)

    _during(store, "append", str(A.path), drop)
    replicas.write(ShardUpsert(A, batch(["a"]), ALL))
    dropping.join()
    assert replicas.memory.used_bytes == 0
    replicas.close()


def test_defect_in_closing_one_shard_harms_no_other(store: WatchedFileSystem) -> None:
    replicas = _host(store, max_open_replicas=1)
    replicas.write(ShardUpsert(A, batch(["a"]), ALL))
    store.watch.fail("write", f"{A.path}/manifest", RuntimeError("a defect"))
    assert replicas.count(ShardCount(B, ALL)) == 0
    assert replicas.count(ShardCount(A, ALL)) == 1
    replicas.close()


def test_damaged_shard_is_not_verified_again_for_a_while(store: WatchedFileSystem) -> None:
    replicas = _host(store, max_open_replicas=1)
    replicas.write(ShardUpsert(A, batch(["a"]), ALL))
    replicas.write(ShardUpsert(B, batch(["a"]), ALL))
    assert isinstance(store.inner, OsFileSystem)
    (log,) = (store.inner.root / TENANTS / A.path / "wal").iterdir()
    sound = log.read_bytes()
    log.write_bytes(sound[:-1] + b"?")
    messages, maps = [], []
    for _ in range(3):
        with pytest.raises(AkiDBError, match="wal") as error:
            replicas.count(ShardCount(A, ALL))
        messages.append(str(error.value))
        maps.append(store.watch.counts["map"])
    assert len(set(messages)) == len(set(maps)) == 1
    assert replicas.count(ShardCount(B, ALL)) == 1
    replicas.close()
    # It is looked at again when that time is over.
    replicas = Replicas(store, INDEXED, HostPolicy(back_off_s=0.0))
    with pytest.raises(AkiDBError, match="wal"):
        replicas.count(ShardCount(A, ALL))
    log.write_bytes(sound)
    assert replicas.count(ShardCount(A, ALL)) == 1
    replicas.close()


@pytest.mark.parametrize("seed", range(3))
def test_many_threads_share_few_places_and_lose_nothing(
    store: WatchedFileSystem, seed: int
) -> None:
    replicas = _host(store, max_open_replicas=2, close_idle_s=0.0, cool_s=0.0)
    written: dict[ShardKey, set[str]] = {shard: set() for shard in KEYS}
    errors: list[Exception] = []

    def work(thread: int) -> None:
        rng = random.Random(seed * 100 + thread)
        try:
            for number in range(40):
                shard = rng.choice(KEYS)
                if rng.random() < 0.5:
                    id = f"{thread}-{number}"
                    replicas.write(ShardUpsert(shard, batch([id]), ALL))
                    written[shard].add(id)
                else:
                    ids = [id for id in written[shard].copy() if id.startswith(f"{thread}-")]
                    found = replicas.get(ShardGet(shard, ids, ALL))
                    assert len(found) == len(ids)
                assert replicas.open_count <= 6 + 2, "threads, and places"
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    wait_until(lambda: replicas.open_count == replicas.memory.used_bytes == 0)
    for shard, ids in written.items():
        assert replicas.count(ShardCount(shard, ALL)) == len(ids)
    replicas.close()


def test_host_that_closes_under_load_lets_go_of_every_folder(store: WatchedFileSystem) -> None:
    replicas = _host(store)
    written: list[tuple[ShardKey, str]] = []
    started = threading.Barrier(5)

    def work(thread: int) -> None:
        started.wait()
        for number in range(10_000):
            shard, id = KEYS[number % 4], f"{thread}-{number}"
            try:
                replicas.write(ShardUpsert(shard, batch([id]), ALL))
            except (Unavailable, StorageFailed):
                return
            written.append((shard, id))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    wait_until(lambda: len(written) > 20)
    replicas.close()
    for thread in threads:
        thread.join()
    again = Replicas(store, INDEXED)
    for shard in KEYS:
        ids = [id for at, id in written if at == shard]
        assert len(again.get(ShardGet(shard, ids, ALL))) == len(ids)
    again.close()
