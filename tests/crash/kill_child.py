"""Embeds one shard and writes to it from several threads until it is killed.

Run as `python -m tests.crash.kill_child FOLDER SEED NUMBERS`, NUMBERS being the first step of each
writer with commas in between. It says `opening` on stdout before it opens the shard; then each line
`WRITER NUMBER SEQUENCE AFFECTED SKIPPED` acknowledges one step.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from akidb_ray.domain.errors import PreconditionFailed
from akidb_ray.domain.write import ShardWrite, WriteOutcome
from akidb_ray.shard.attaching import attach
from akidb_ray.shard.merging import improve
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.histories import Contents, after, contents_of
from tests.crash.kill_plan import POLICY, SPEC, Step, plan, writer_of
from tests.unit.shard.shards import NAMES

_PAUSE_S = 0.002


def _write(replica: Replica, seed: int, writer: int, first: int, there: Contents) -> None:
    for number in range(first, 10**9):
        step = plan(seed, writer, number, there)
        outcome = _carry_out(replica, step)
        assert outcome.affected == len(step.changes)
        there = after(there, step.changes, outcome.sequence)
        _say(f"{writer} {number} {outcome.sequence} {outcome.affected} {outcome.skipped}")


def _carry_out(replica: Replica, step: Step) -> WriteOutcome:
    if step.write is None:
        source = MemoryFileSystem()
        return attach(replica, source, [step.segment(source)])
    if step.write.options.if_versions:
        _expect_refusal(replica, step.write, step.write.options.if_versions)
    outcome = replica.write(step.write)
    if step.key is not None:
        assert replica.write(step.write) == outcome
    return outcome


def _expect_refusal(replica: Replica, write: ShardWrite, versions: Mapping[str, int]) -> None:
    wrong = {id: version + 1 for id, version in versions.items()}
    options = replace(write.options, if_versions=wrong, idempotency_key=None)
    with pytest.raises(PreconditionFailed):
        replica.write(replace(write, options=options))


def _say(line: str) -> None:
    # One system call: a line is said whole or not at all.
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _maintain(replica: Replica, work: Callable[[Replica], bool]) -> None:
    pause = threading.Event()
    while True:
        if not work(replica):
            pause.wait(_PAUSE_S)


def _start(work: Callable[[], None]) -> None:
    def run() -> None:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    threading.Thread(target=run, daemon=True).start()


def main() -> None:
    folder, seed, numbers = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        # Groups of several records, and files of the log that are soon full.
        patch.setattr("akidb_ray.shard.operations.MAX_CONTENT_BYTES", 3000)
        patch.setattr("akidb_ray.storage.wal.ROTATE_BYTES", 100_000)
        fs = OsFileSystem(Path(folder))
        _say("opening")
        create_replica(fs, SPEC, NAMES)
        replica = open_replica(fs, POLICY)
        contents = contents_of(replica)
        for work in (flush, improve):
            _start(lambda work=work: _maintain(replica, work))
        for writer, first in enumerate(map(int, numbers.split(","))):
            own = {id: known for id, known in contents.items() if writer_of(id) == writer}
            _start(lambda args=(int(seed), writer, first, own): _write(replica, *args))
        threading.Event().wait()


if __name__ == "__main__":
    main()
