"""One scripted history with every kind of operation, and the moments at which it can end."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

import pytest

from akidb_ray.domain.write import UpsertMode, WriteOptions
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import write_graph
from akidb_ray.segment.sealed import VECTORS
from akidb_ray.shard.attaching import SegmentFiles, build_segment
from akidb_ray.shard.merging import improve
from akidb_ray.shard.recovery import create_replica
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.memory_disk import Directory
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, Machine
from tests.crash.histories import BUFFERED, SPEC, Driver, Oracle
from tests.unit.shard.shards import NAMES, Clock, batch

ATTACHED = ["a", "x1", "x9", *(f"t{number}" for number in range(12))]
ATTACHED_SEED = 50


def late_clock() -> Clock:
    """A clock that is ahead of all files: those of the log are old enough to go."""
    clock = Clock()
    clock.now = 4e9
    return clock


@contextlib.contextmanager
def small_limits() -> Iterator[None]:
    """Records so small that a dozen documents take two, and files of the log that are soon full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("akidb_ray.shard.operations.MAX_CONTENT_BYTES", 1800)
        patch.setattr("akidb_ray.storage.wal.ROTATE_BYTES", 5000)
        yield


def _source() -> tuple[MemoryFileSystem, SegmentFiles]:
    """A segment with its graph, built elsewhere."""
    fs, folder, graph = MemoryFileSystem(), PurePosixPath("built"), PurePosixPath("graph")
    payloads = [{"n": number, "seed": ATTACHED_SEED} for number in range(len(ATTACHED))]
    build_segment(fs, folder, batch(ATTACHED, seed=ATTACHED_SEED, payloads=payloads), SPEC)
    job = GraphJob(
        metric=SPEC.metric,
        dimension=SPEC.dimension,
        rows=len(ATTACHED),
        vectors_path=fs.library_path(folder / VECTORS),
        m=SPEC.hnsw_m,
        ef_construction=SPEC.hnsw_ef_construction,
        threads=1,
        engine=SPEC.hnsw_engine,
    )
    write_graph(fs, graph, job, ThreadGraphBuilder(), lambda: False)
    return fs, SegmentFiles(folder, graph)


SOURCE, FILES = _source()


def full_history(driver: Driver, machine: Machine) -> None:
    _every_write(driver)
    _segments(driver, machine)
    _expiry_and_waste(driver, machine)
    driver.reopen()
    _after_a_clean_close(driver)


def history_to_damage(driver: Driver, machine: Machine) -> None:
    """Leaves files of every kind: rows that were born dead, tombstones, and an attached segment
    that is still in the log.
    """
    _every_write(driver)
    _segments(driver, machine)
    driver.delete(["t5", "x7"])
    driver.upsert([f"v{n}" for n in range(12)], seed=16)
    driver.maintain()
    driver.attach(SOURCE, FILES, ATTACHED, ATTACHED_SEED)
    driver.upsert(["end", "t6"], seed=17, options=WriteOptions(idempotency_key="four"))


def _every_write(driver: Driver) -> None:
    driver.upsert(["a", "b", "c"], seed=1)
    driver.delete(["b", "missing"])
    driver.upsert(["a", "d"], seed=2, mode=UpsertMode.INSERT)
    driver.patch(["c", "a", "missing"], 1)
    driver.upsert(["e", "f"], seed=3, options=BUFFERED)
    driver.patch(["f"], 2, options=BUFFERED)
    driver.delete(["e"], options=BUFFERED)
    driver.upsert(["g", "h"], seed=4, options=WriteOptions(idempotency_key="one"))
    driver.upsert(["d", "missing"], seed=5, mode=UpsertMode.UPDATE)
    version = driver.oracle.newest["a"].version or 0
    driver.upsert(["a"], seed=6, options=WriteOptions(if_versions={"a": version, "new": 0}))


def _segments(driver: Driver, machine: Machine) -> None:
    # More rows than a segment takes, in more than one record.
    driver.upsert([f"x{n}" for n in range(12)], seed=7)
    driver.maintain()
    # In two records as well; their rows are dead in the graph that a merge starts from.
    driver.delete(["x0", "g", "x2", "missing"], options=WriteOptions(idempotency_key="two"))
    driver.upsert(["t5", "x5"], seed=18)
    driver.attach(SOURCE, FILES, ATTACHED, ATTACHED_SEED)
    # A manifest names the attached segment before the checkpoint has come to it.
    assert improve(driver.replica)
    driver.patch(["t1", "x3"], 3, options=BUFFERED)
    with _meanwhile(driver, machine, lambda: driver.delete(["x5", "h"])):
        flush(driver.replica)
    while flush(driver.replica):
        pass
    with _meanwhile(driver, machine, lambda: _write_during_a_merge(driver)):
        driver.maintain()


def _write_during_a_merge(driver: Driver) -> None:
    driver.delete(["c", "x10", "t8"])
    driver.upsert(["x11", "t9"], seed=8)


def _expiry_and_waste(driver: Driver, machine: Machine) -> None:
    soon = driver.clock.now + 5
    driver.upsert(["p0", "p1", "t4"], seed=9, expires_at=soon)
    driver.upsert(["q"], seed=9, expires_at=soon + 1e6)
    driver.upsert([f"y{n}" for n in range(10)], seed=10, options=BUFFERED)
    with _meanwhile(driver, machine, lambda: driver.patch(["y7", "y8"], 5)):
        driver.maintain()
    driver.clock.now += 10
    driver.upsert(["p0", "q"], seed=11, mode=UpsertMode.INSERT)
    driver.patch_below(3, 4)
    driver.delete_below(5)
    driver.replica.freeze()
    driver.maintain()
    driver.upsert(["late", "later"], seed=12, options=BUFFERED)


def _after_a_clean_close(driver: Driver) -> None:
    driver.upsert(["z", "y5"], seed=13, options=WriteOptions(idempotency_key="three"))
    driver.replica.freeze()
    # A checkpoint behind the first of two frozen segments needs the log of the second.
    driver.upsert(["y7", "u"], seed=19)
    driver.replica.freeze()
    driver.delete(["y6", "z"])
    driver.maintain()
    driver.upsert(["end"], seed=14)
    driver.upsert(["very end"], seed=15, options=BUFFERED)


@contextlib.contextmanager
def _meanwhile(driver: Driver, machine: Machine, act: Callable[[], None]) -> Iterator[None]:
    """Act once while a segment is written, which is outside of the writer's lock."""
    before_step = machine.before_step

    def watch(step: str) -> None:
        if step.startswith("sync segments/"):
            machine.before_step = before_step
            act()
        before_step(step)

    machine.before_step = watch
    yield
    acted = machine.before_step is before_step
    assert acted or driver.replica.failed, "no segment was written"
    machine.before_step = before_step


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What there is right before a step: the disk, what was to be written to `path`, what the
    oracle knows, and the time.
    """

    step: str
    root: Directory
    path: PurePath | None
    data: bytes
    oracle: Oracle
    now: float

    def end(self, keep: Keep, seed: int = 0) -> tuple[FaultyFileSystem, Clock, Oracle]:
        """End here: a write under way has come half of its way."""
        root, clock = copy.deepcopy(self.root), Clock()
        machine = Machine(root=root)
        if self.path is not None:
            machine.open(self.path).file.write(self.data[: len(self.data) // 2])
        clock.now = self.now
        return machine.after_end(keep, seed), clock, self.oracle


def moments_of(play: Callable[[Driver, Machine], None]) -> list[Moment]:
    """Play a history once, from the opening of a new shard on. The last moment is its end."""
    fs, moments = FaultyFileSystem(), []
    create_replica(fs, SPEC, NAMES)
    machine, clock = fs.machine, late_clock()
    driver: Driver | None = None

    def record(step: str) -> None:
        path, data = machine.writing or (None, b"")
        root = copy.deepcopy(machine.root)
        oracle = driver.oracle if driver else Oracle()
        moments.append(Moment(step, root, path, data, oracle, clock.now))

    machine.before_step = record
    driver = Driver.opened(fs, clock, Oracle())
    play(driver, machine)
    record("end")
    return moments
