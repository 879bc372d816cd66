"""The power goes, or the process is killed, before each operation on the file system in turn."""

import random

import pytest

from akidb_ray.domain.errors import NotFound, StorageFailed
from akidb_ray.shard.recovery import create_replica, open_replica
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, run_until
from tests.crash.histories import POLICY, SPEC, Driver, Oracle, check, full_history
from tests.unit.shard.shards import NAMES

pytestmark = pytest.mark.crash


def _whole_history() -> int:
    fs, oracle = FaultyFileSystem(), Oracle()
    assert run_until(fs.machine, None, lambda: full_history(fs, oracle))
    check(open_again(fs), oracle)
    return len(fs.machine.steps)


def open_again(fs: FaultyFileSystem):  # type: ignore[no-untyped-def]
    fs.machine.locked.clear()
    return open_replica(fs, POLICY)


STEPS = _whole_history()


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
    assert STEPS > 150
    for step in range(STEPS):
        fs, oracle = _stopped_at(step, keep)
        if not fs.exists(fs.root / "CURRENT"):
            _was_made(fs, oracle)
        replica = open_replica(fs, POLICY)
        check(replica, oracle)
        driver = Driver(replica, oracle)
        driver.upsert(["a", "after"], seed=9)
        driver.maintain()
        # What was acknowledged after the recovery must survive a loss of power as well.
        fs = fs.machine.after_end(Keep.SYNCED)
        check(open_replica(fs, POLICY), oracle)


@pytest.mark.parametrize("seed", range(3))
def test_acknowledged_writes_survive_an_end_during_recovery(seed: int) -> None:
    rng = random.Random(seed)
    for step in range(STEPS):
        fs, oracle = _stopped_at(step, rng.choice(list(Keep)))
        for _ in range(3):
            survivor = fs
            run_until(
                survivor.machine,
                rng.randrange(25),
                lambda fs=survivor, oracle=oracle: _recover_and_go_on(fs, oracle),
            )
            fs = survivor.machine.after_end(rng.choice(list(Keep)), seed=rng.randrange(2**32))
        if fs.exists(fs.root / "CURRENT"):
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


@pytest.mark.parametrize("keep", Keep)
def test_acknowledged_writes_survive_a_failed_sync_at_every_place(keep: Keep) -> None:
    """After a failed fsync the unsynced bytes are in memory only, though they look clean."""
    failed = 0
    for number in range(STEPS):
        fs, oracle = FaultyFileSystem(), Oracle()
        machine = fs.machine

        def fail(step: str, machine=machine, number=number) -> None:  # type: ignore[no-untyped-def]
            if len(machine.steps) == number and step.startswith("sync"):
                machine.steps.append(f"{step} failed")
                raise StorageFailed(f"{step}: I/O error")

        machine.before_step = fail
        try:
            full_history(fs, oracle)
        except StorageFailed:
            failed += 1
        else:
            continue
        machine.before_step = lambda _: None
        machine.locked.clear()
        # The process goes on: it opens the replica again, and writes.
        if fs.exists(fs.root / "CURRENT"):
            replica = open_replica(fs, POLICY)
            check(replica, oracle)
            driver = Driver(replica, oracle)
            for seed in (21, 22, 23):
                driver.upsert([f"after-{seed}"], seed=seed)
            fs = machine.after_end(keep, seed=number)
            check(open_replica(fs, POLICY), oracle)
        else:
            assert not oracle.sure
    assert failed > 30
