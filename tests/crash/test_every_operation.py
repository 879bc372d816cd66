"""The power goes, or the process is killed, before each operation on the file system in turn."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from operator import itemgetter
from pathlib import PurePosixPath

import pytest

from akidb_ray.domain.errors import StorageFailed
from akidb_ray.shard.recovery import create_replica, open_replica
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, Machine, run_until
from tests.crash.histories import POLICY, SPEC, Driver, Oracle, check
from tests.crash.scripted import Moment, full_history, late_clock, moments_of, small_limits
from tests.unit.shard.shards import NAMES, Clock

pytestmark = pytest.mark.crash
PLACE = PurePosixPath("tenants/acme/docs/0000")


@pytest.fixture(autouse=True, scope="module")
def limits() -> Iterator[None]:
    with small_limits():
        yield


@pytest.fixture(scope="module")
def moments(limits: None) -> list[Moment]:
    return moments_of(full_history)


def _opened(fs: FaultyFileSystem, clock: Clock, oracle: Oracle, keep: Keep) -> Driver:
    """Opened again, and checked."""
    driver = Driver.opened(fs, clock, oracle)
    check(driver, power_lost=keep is not Keep.EVERYTHING)
    return driver


def _ended(driver: Driver, keep: Keep, seed: int = 0) -> Driver:
    """What another end leaves, opened and checked."""
    assert isinstance(driver.replica.fs, FaultyFileSystem)
    fs = driver.replica.fs.machine.after_end(keep, seed)
    return _opened(fs, driver.clock, driver.oracle, keep)


def _some(moments: Sequence[Moment], size: int) -> list[tuple[int, Moment]]:
    """A sample, the same in each run; the tests that take one are too slow for all."""
    return sorted(random.Random(7).sample(list(enumerate(moments)), size), key=itemgetter(0))


@pytest.mark.parametrize("keep", Keep)
def test_acknowledged_writes_survive_an_end_at_every_step(
    moments: list[Moment], keep: Keep
) -> None:
    steps = {moment.step.split(".")[0].rstrip("0123456789") for moment in moments}
    assert len(moments) > 600
    assert {"remove wal/", "remove keys/", "rename CURRENT"} < steps
    chosen = list(enumerate(moments)) if keep is Keep.SOME else _some(moments, 300)
    for step, moment in chosen:
        driver = _opened(*moment.end(keep, seed=step), keep)
        if step % 6 == 0:
            # What was acknowledged after the recovery must survive a loss of power as well.
            driver.upsert(["a", "after"], seed=90)
            driver.maintain()
            _ended(driver, Keep.SYNCED)


def test_swap_that_recovery_builds_on_is_durable_before_the_former_files_go(
    moments: list[Moment],
) -> None:
    swapped = [after for before, after in pairwise(moments) if before.step == "rename CURRENT"]
    assert len(swapped) > 10
    for moment in swapped:
        for seed in range(4):
            driver = Driver.opened(*moment.end(Keep.EVERYTHING))
            _ended(driver, Keep.SOME, seed)


def test_acknowledged_writes_survive_ends_during_recovery(moments: list[Moment]) -> None:
    rng = random.Random(3)
    for step, moment in _some(moments, 90):
        keep = rng.choice(list(Keep))
        fs, clock, oracle = moment.end(keep, seed=step)
        for _ in range(3):
            oracle = _recover_until(fs, clock, oracle, rng.randrange(25))
            # A loss of power is not undone by a kill after it.
            keep = rng.choice([Keep.SYNCED, Keep.SOME])
            fs = fs.machine.after_end(keep, seed=rng.randrange(2**32))
        _opened(fs, clock, oracle, keep)


def _recover_until(fs: FaultyFileSystem, clock: Clock, oracle: Oracle, steps: int) -> Oracle:
    """Open and go on for so many steps; return what is known then."""
    drivers: list[Driver] = []

    def work() -> None:
        drivers.append(Driver.opened(fs, clock, oracle))
        check(drivers[0])
        drivers[0].upsert(["a", "again"], seed=91)
        drivers[0].maintain()

    run_until(fs.machine, steps, work)
    return drivers[0].oracle if drivers else oracle


@pytest.mark.parametrize("keep", [Keep.SYNCED, Keep.SOME])
def test_acknowledged_writes_survive_a_failed_sync(moments: list[Moment], keep: Keep) -> None:
    """After a failed fsync the unsynced bytes are in memory only, though they look clean."""
    syncs = [moment for moment in moments if moment.step.startswith("sync")]
    assert len(syncs) > 150
    for number, _ in _some(syncs, 35):
        fs, clock = FaultyFileSystem(), late_clock()
        create_replica(fs, SPEC, NAMES)
        driver = Driver.opened(fs, clock, Oracle())
        _fail_sync(fs.machine, number)
        # Where only the removal of old files fails, the shard goes on.
        with contextlib.suppress(StorageFailed):
            full_history(driver, fs.machine)
        # The process goes on: it opens the replica again, and writes.
        fs.machine.before_step = lambda _: None
        fs.machine.locked.clear()
        driver = _opened(fs, clock, driver.oracle, Keep.EVERYTHING)
        for seed in (92, 93, 94):
            driver.upsert([f"after-{seed}"], seed=seed)
        _ended(driver, keep, seed=number)


def _fail_sync(machine: Machine, number: int) -> None:
    syncs = count()

    def fail(step: str) -> None:
        if step.startswith("sync") and next(syncs) == number:
            raise StorageFailed(f"{step}: I/O error")

    machine.before_step = fail


@pytest.mark.parametrize("keep", Keep)
def test_shard_that_was_found_made_is_there_for_good(keep: Keep) -> None:
    steps, ended = 0, False
    while not ended:
        fs = FaultyFileSystem()
        ended = run_until(
            fs.machine, steps, lambda fs=fs: create_replica(fs.subtree(PLACE), SPEC, NAMES)
        )
        fs = fs.machine.after_end(keep, seed=steps)
        create_replica(fs.subtree(PLACE), SPEC, NAMES)
        fs = fs.machine.after_end(Keep.SYNCED)
        open_replica(fs.subtree(PLACE), POLICY)
        steps += 1
    assert steps > 10
