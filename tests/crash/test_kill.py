"""A process that writes is killed at random moments, again and again, on a real disk.

`SOAK_SECONDS` says for how long; `make soak` does it for half an hour.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import WriteOutcome
from akidb_ray.shard.inspection import inspect_replica
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.histories import ALL, Contents, after, contents_of, same_contents
from tests.crash.kill_plan import IDS, POLICY, WRITERS, Step, plan, writer_of
from tests.unit.shard.shards import vectors_for

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("SOAK_SECONDS", "45"))

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + 2 * SECONDS)]


@dataclass(eq=False)
class _Writer:
    """What is known of one writer: its documents after all acknowledged steps, the number of the
    next one, and what was answered to its writes under a key since the last kill.
    """

    seed: int
    number: int
    there: Contents = field(default_factory=dict)
    next_step: int = 0
    last_sequence: int = 0
    answered: list[tuple[Step, WriteOutcome]] = field(default_factory=list)

    @property
    def step(self) -> Step:
        """The one that is under way, or comes next."""
        return plan(self.seed, self.number, self.next_step, self.there)

    def acknowledge(self, number: int, outcome: WriteOutcome) -> None:
        step = self.step
        assert number == self.next_step
        assert outcome.affected == len(step.changes)
        self.go_on(after(self.there, step.changes, outcome.sequence), outcome.sequence)
        if step.key is not None:
            self.answered.append((step, outcome))

    def go_on(self, there: Contents, sequence: int) -> None:
        assert sequence >= self.last_sequence
        self.there, self.last_sequence = there, sequence
        self.next_step += 1

    def own(self, found: Contents) -> Contents:
        return {id: known for id, known in found.items() if writer_of(id) == self.number}

    def look(self, found: Contents) -> None:
        """Every acknowledged step is there, the one under way whole or not at all."""
        own = self.own(found)
        if same_contents(own, self.there, self.last_sequence):
            return
        under_way = after(self.there, self.step.changes)
        assert same_contents(own, under_way, self.last_sequence), (self, own)
        self.go_on(own, max([self.last_sequence, *(known.version or 0 for known in own.values())]))

    def send_again(self, replica: Replica) -> None:
        for step, outcome in self.answered:
            assert step.write is not None
            assert replica.write(step.write) == outcome
        own = self.own(contents_of(replica))
        assert same_contents(own, self.there, self.last_sequence)


def _run_until_killed(folder: Path, writers: list[_Writer], seed: int, rng: random.Random) -> None:
    numbers = ",".join(str(writer.next_step) for writer in writers)
    command = [sys.executable, "-m", "tests.crash.kill_child", str(folder), str(seed), numbers]
    for writer in writers:
        writer.answered.clear()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "opening\n"
        # Now and then while it recovers, else while it writes.
        longest_s = 0.06 if rng.random() < 0.2 else 1.5
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(rng.uniform(0, longest_s))
            pytest.fail("the writer ended by itself")
        child.kill()
        for line in child.stdout:
            writer, number, *outcome = map(int, line.split())
            writers[writer].acknowledge(number, WriteOutcome(*outcome))


def _look(replica: Replica, writers: list[_Writer]) -> None:
    found = contents_of(replica)
    for writer in writers:
        writer.look(found)
    query = VectorQuery(vectors_for(["q"])[0], limit=WRITERS * IDS, exact=True)
    assert {hit.id for hit in replica.view().search(query, ALL)} == found.keys()


def _check(folder: Path, writers: list[_Writer], rng: random.Random) -> None:
    way = rng.choice(["look at a copy", "open and crash", "open, mend and close"])
    if way == "look at a copy":
        # The next writer has to recover from what the kill left.
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy)
        replica = open_replica(OsFileSystem(copy), POLICY)
        _look(replica, writers)
        replica.close()
        shutil.rmtree(copy)
        return
    replica = open_replica(OsFileSystem(folder), POLICY)
    _look(replica, writers)
    for writer in writers:
        writer.send_again(replica)
    if way == "open and crash":
        replica.wal.close()
        replica.lock.release()
    else:
        while maintain(replica):
            pass
        _look(replica, writers)
        replica.close()
        assert inspect_replica(OsFileSystem(folder)).ok


def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    rng, folder = random.Random(seed), tmp_path / "shard"
    writers = [_Writer(seed, number) for number in range(WRITERS)]
    ends_at, kills = time.monotonic() + SECONDS, 0
    while time.monotonic() < ends_at:
        _run_until_killed(folder, writers, seed, rng)
        kills += 1
        try:
            _check(folder, writers, rng)
        except NotFound:
            assert not any(writer.next_step for writer in writers)
    steps = sum(writer.next_step for writer in writers)
    sys.stdout.write(f"{kills} kills, {steps} acknowledged writes\n")
    assert steps > kills
