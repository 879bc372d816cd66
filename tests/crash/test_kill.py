"""A process that writes is killed at random moments, again and again, on a real disk."""

import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import pytest

from akidb_ray.domain.filter import Filter, RowFilter
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.kill_child import BATCH, POLICY, ids_of_batch, is_deleted_later
from tests.unit.shard.shards import vectors_for

ROOT = Path(__file__).parents[2]
KILLS = 8

pytestmark = pytest.mark.crash


@dataclass(eq=False)
class Acknowledged:
    upserted: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)

    def read(self, line: str) -> int:
        what, number = line.split()
        {"upsert": self.upserted, "delete": self.deleted}[what].add(int(number))
        return int(number)


def _write_until_killed(folder: Path, known: Acknowledged, first: int, lines: int) -> int:
    """Kill the writer after it has acknowledged `lines` writes; return its last number."""
    command = [sys.executable, "-m", "tests.crash.kill_child", str(folder), str(first)]
    last = first
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(lines):
            line = child.stdout.readline()
            assert line.endswith("\n"), "the writer ended by itself"
            last = known.read(line)
        child.kill()
        # What it said before it died counts as well; half a line does not.
        for line in child.stdout:
            if line.endswith("\n"):
                last = known.read(line)
    return last


def _check_batch(replica: Replica, number: int, known: Acknowledged) -> None:
    """A batch is there whole or not at all, and as its acknowledgements say."""
    ids = ids_of_batch(number)[:BATCH]
    found = replica.view().get(ids, RowFilter(), with_vector=True)
    assert len(found) in (0, BATCH), f"batch {number} is half there"
    if number in known.deleted:
        assert not found, f"batch {number} came back after its deletion"
    elif number in known.upserted and not is_deleted_later(number):
        assert found, f"batch {number} was acknowledged and is gone"
    for position, document in enumerate(found):
        assert orjson.loads(document.payload or b"") == {"batch": number, "n": position}
        assert document.text == f"text {number} of {document.id}"
    if found:
        vectors = np.array([document.vector for document in found])
        np.testing.assert_allclose(vectors, vectors_for(ids, seed=number), rtol=1e-5)


def _check(folder: Path, known: Acknowledged, last: int) -> None:
    replica = open_replica(OsFileSystem(folder), POLICY)
    for number in range(last + 2):
        _check_batch(replica, number, known)
    (shared,) = replica.view().get(["shared"], RowFilter(), with_vector=False)
    assert orjson.loads(shared.payload or b"")["batch"] >= max(known.upserted)
    ids = list(replica.view().matching_ids(Filter(), RowFilter()))
    assert len(ids) == len(set(ids)) == replica.view().documents
    # Recovery without a clean close is what the next writer gets half of the time.
    if last % 2:
        replica.close()
    else:
        replica.wal.close()
        replica.lock.release()


def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    rng, known, last = random.Random(seed), Acknowledged(), -1
    for _ in range(KILLS):
        last = _write_until_killed(tmp_path, known, last + 1, lines=rng.randint(1, 120))
        _check(tmp_path, known, last)
    assert known.deleted < known.upserted
