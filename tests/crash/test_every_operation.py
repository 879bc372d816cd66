"""The power goes, or the process is killed, before each operation on the file system in turn."""

import contextlib
import random
from pathlib import PurePosixPath

import pytest

from akidb_ray.domain.errors import NotFound, StorageFailed
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.storage.manifest import CURRENT
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, Machine, run_until
from tests.crash.histories import POLICY, SPEC, Driver, Oracle, check, full_history
from tests.unit.shard.shards import NAMES

pytestmark = pytest.mark.crash


def _whole_history() -> list[str]:
    """All steps of the history when nothing stops it."""
    fs, oracle = FaultyFileSystem(), Oracle()
    assert run_until(fs.machine, None, lambda: full_history(fs, oracle))
    steps = list(fs.machine.steps)
    check(open_replica(fs.machine.after_end(Keep.SYNCED), POLICY), oracle)
    return steps


STEPS = _whole_history()
PLACE = PurePosixPath("tenants/acme/docs/0000")


def _stopped_at(step: int, keep: Keep) -> tuple[FaultyFileSystem, Oracle]:
    fs, oracle = FaultyFileSystem(), Oracle()
    assert not run_until(fs.machine, step, lambda: full_history(fs, oracle))
    return fs.machine.after_end(keep, seed=step), oracle


def _was_made(fs: FaultyFileSystem, oracle: Oracle) -> bool:
    """Make the folder when the end came before it was there, as a second attempt would."""
    try:
        open_replica(fs, POLICY).close()
        return True
    except NotFound:
        assert not oracle.sure, "a shard with acknowledged writes is gone"
        create_replica(fs, SPEC, NAMES)
        return False


@pytest.mark.parametrize("keep", Keep)
def test_acknowledged_writes_survive_an_end_at_every_step(keep: Keep) -> None:
    assert len(STEPS) > 150
    for step in range(len(STEPS)):
        fs, oracle = _stopped_at(step, keep)
        if not fs.exists(CURRENT):
            _was_made(fs, oracle)
        replica = open_replica(fs, POLICY)
        check(replica, oracle)
        driver = Driver(replica, oracle)
        driver.upsert(["a", "after"], seed=9)
        driver.maintain()
        # What was acknowledged after the recovery must survive a loss of power as well.
        fs = fs.machine.after_end(Keep.SYNCED)
        check(open_replica(fs, POLICY), oracle)


def test_swap_that_recovery_builds_on_is_durable_before_the_former_files_go() -> None:
    swaps = [number for number, step in enumerate(STEPS) if step == "rename CURRENT"]
    assert len(swaps) > 5
    for step in swaps:
        for seed in range(12):
            fs, oracle = _stopped_at(step + 1, Keep.EVERYTHING)
            open_replica(fs, POLICY)
            check(open_replica(fs.machine.after_end(Keep.SOME, seed), POLICY), oracle)


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


def test_acknowledged_writes_survive_an_end_during_recovery() -> None:
    rng = random.Random(3)
    for step in range(len(STEPS)):
        fs, oracle = _stopped_at(step, rng.choice(list(Keep)))
        for _ in range(3):
            survivor = fs
            run_until(
                survivor.machine,
                rng.randrange(25),
                lambda fs=survivor, oracle=oracle: _recover_and_go_on(fs, oracle),
            )
            fs = survivor.machine.after_end(rng.choice(list(Keep)), seed=rng.randrange(2**32))
        if fs.exists(CURRENT):
            check(open_replica(fs, POLICY), oracle)
        else:
            assert not oracle.sure


def _recover_and_go_on(fs: FaultyFileSystem, oracle: Oracle) -> None:
    create_replica(fs, SPEC, NAMES)
    replica = open_replica(fs, POLICY)
    check(replica, oracle)
    driver = Driver(replica, oracle)
    driver.upsert(["a", "again"], seed=11)
    driver.maintain()


@pytest.mark.parametrize("keep", [Keep.SYNCED, Keep.SOME])
def test_acknowledged_writes_survive_a_failed_sync_at_every_place(keep: Keep) -> None:
    """After a failed fsync the unsynced bytes are in memory only, though they look clean."""
    for number in [number for number, step in enumerate(STEPS) if step.startswith("sync")]:
        fs, oracle = FaultyFileSystem(), Oracle()
        _fail_at(fs.machine, number)
        # Where only the removal of old files fails, the shard goes on.
        with contextlib.suppress(StorageFailed):
            full_history(fs, oracle)
        # The process goes on: it opens the replica again, and writes.
        fs.machine.locked.clear()
        if not fs.exists(CURRENT):
            assert not oracle.sure
            continue
        replica = open_replica(fs, POLICY)
        check(replica, oracle)
        driver = Driver(replica, oracle)
        for seed in (21, 22, 23):
            driver.upsert([f"after-{seed}"], seed=seed)
        check(open_replica(fs.machine.after_end(keep, seed=number), POLICY), oracle)


def _fail_at(machine: Machine, number: int) -> None:
    def fail(step: str) -> None:
        if len(machine.steps) == number:
            machine.steps.append(f"{step} failed")
            raise StorageFailed(f"{step}: I/O error")

    machine.before_step = fail
