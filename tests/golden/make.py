"""Makes the golden files of format 1 anew: `python -m tests.golden.make`.

Only while format 1 is not released: from then on every version must open the files that are there,
and what they lack comes in a folder beside them, as in `make_searched.py`.

`closed` is a replica that was closed in order, `killed` a copy of the folder of an open one, with
the beginning of a record at the end of its log. `expected.json` says what they held.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import Durability, ShardDelete, ShardPatch, ShardUpsert, WriteOptions
from akidb_ray.shard.attaching import attach, build_segment
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.golden.contents import (
    ALL,
    EXPECTED,
    FOLDER,
    NOW,
    POLICY,
    SPECS,
    answers_of,
    documents,
    keyed_writes,
)
from tests.unit.shard.shards import NAMES, SHARD

BUFFERED = WriteOptions(Durability.BUFFERED)


def _put(replica: Replica, numbers: Sequence[int], version: int = 0) -> None:
    replica.write(ShardUpsert(SHARD, documents(numbers, version), ALL))


def _delete(replica: Replica, *numbers: int, options: WriteOptions = WriteOptions()) -> None:
    ids = [f"document {number}" for number in numbers]
    replica.write(ShardDelete(SHARD, ALL, ids=ids, options=options))


def _patch(replica: Replica, *numbers: int, options: WriteOptions = WriteOptions()) -> None:
    ids = [f"document {number}" for number in numbers]
    patch = PayloadPatch({"patched": "yes", "inner.more": [1, 2]}, unset=("half",))
    replica.write(ShardPatch(SHARD, ALL, patch, ids=ids, options=options))


def _attach(replica: Replica, numbers: Sequence[int], version: int) -> None:
    source = MemoryFileSystem()
    batch, folder = documents(numbers, version), PurePosixPath("built")
    attach(replica, source, [build_segment(source, folder, batch, replica.spec)])


def _seal(replica: Replica, work: Callable[[Replica], bool] = maintain) -> None:
    replica.freeze()
    while work(replica):
        pass


def _send_keyed(replica: Replica) -> dict[str, Any]:
    outcomes = {key: replica.write(write) for key, write in keyed_writes().items()}
    return {key: [o.sequence, o.affected, o.skipped] for key, o in outcomes.items()}


def _fill_closed(replica: Replica) -> dict[str, Any]:
    """A merged segment with a graph, rows that were born dead, and tombstones; a small one; an
    attached one that only the log knows; and a log from its beginning.
    """
    _put(replica, range(40))
    _seal(replica)
    _delete(replica, 1, 2)
    _put(replica, range(40, 65))
    _seal(replica)
    _delete(replica, 3)
    _patch(replica, 4, 5)
    _put(replica, [6], version=1)
    _put(replica, range(70, 76))
    keys = _send_keyed(replica)
    _seal(replica, flush)
    _attach(replica, [8, 90, 91, 92], version=2)
    _patch(replica, 90, 9, options=BUFFERED)
    return keys


def _fill_killed(replica: Replica) -> dict[str, Any]:
    """A segment with a graph, a small one, tombstones, and a log with records of every kind."""
    _put(replica, range(30))
    _seal(replica)
    _delete(replica, 1)
    _put(replica, [2], version=1)
    _put(replica, range(30, 36))
    _seal(replica, flush)
    _put(replica, range(40, 61))
    _delete(replica, 3, 40, 41)
    _patch(replica, 4, 42)
    keys = _send_keyed(replica)
    _attach(replica, [8, 90, 91, 92], version=2)
    _put(replica, [91, 93], version=3)
    _delete(replica, 92, 43, options=BUFFERED)
    return keys


def _made(name: str, folder: Path) -> Replica:
    fs = OsFileSystem(folder)
    create_replica(fs, SPECS[name], NAMES)
    return open_replica(fs, POLICY, Surroundings(clock=lambda: NOW))


def _make_closed(folder: Path) -> dict[str, Any]:
    replica = _made("closed", folder)
    keys = _fill_closed(replica)
    answers = answers_of(replica)
    replica.close()
    return {"keys": keys, **answers}


def _make_killed(folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        opened = Path(place) / "open"
        replica = _made("killed", opened)
        keys = _fill_killed(replica)
        answers = answers_of(replica)
        _put(replica, [99])
        shutil.copytree(opened, folder)
        replica.close()
    # The kill came when half of the last record was written.
    log = max(folder.glob("wal/*.wal"))
    log.write_bytes(log.read_bytes()[:-400])
    return {"keys": keys, **answers}


def _check_no_ties(answers: dict[str, Any]) -> None:
    """Another machine may round otherwise, and must find the same order."""
    for scores in answers["scores"]:
        assert min(abs(left - right) for left, right in pairwise(scores)) > 1e-5


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SPECS:
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        # So that a group of several records is small, and graphs answer searches.
        patch.setattr("akidb_ray.shard.operations.MAX_CONTENT_BYTES", 4000)
        patch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)
        expected = {
            "closed": _make_closed(FOLDER / "closed"),
            "killed": _make_killed(FOLDER / "killed"),
        }
    for answers in expected.values():
        _check_no_ties(answers)
    text = json.dumps(expected, ensure_ascii=False, sort_keys=True)
    EXPECTED.write_text(text + "\n", "utf-8")
    (FOLDER / ".gitattributes").write_text("* -text\n", "utf-8")


if __name__ == "__main__":
    main()
