"""Makes the golden replica `searched` of format 1 anew: `python -m tests.golden.make_searched`.

Only while format 1 is not released, as with those of `make.py`, which are of a time before texts
were indexed and graphs kept as links.
"""

import json
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import ShardDelete, ShardPatch, ShardUpsert
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.golden.contents import ALL, NOW, POLICY, opened
from tests.golden.search_contents import (
    SEARCHED,
    SEARCHED_EXPECTED,
    SEARCHED_SPEC,
    searched_answers,
    searched_documents,
)
from tests.unit.shard.shards import NAMES, SHARD, seal


def _put(replica: Replica, numbers: range, version: int = 0) -> None:
    replica.write(ShardUpsert(SHARD, searched_documents(numbers, version), ALL))


def _delete(replica: Replica, *numbers: int) -> None:
    ids = [f"document {number}" for number in numbers]
    replica.write(ShardDelete(SHARD, ALL, ids=ids))


def _fill(replica: Replica) -> None:
    """A merged segment with a graph that was extended, rows that were born dead, and tombstones; a
    small one; and documents that only the log knows.
    """
    _put(replica, range(40))
    seal(replica)
    _delete(replica, 1, 2)
    _put(replica, range(40, 65))
    seal(replica)
    _delete(replica, 3, 33)
    _put(replica, range(65, 75))
    _put(replica, range(4, 7), version=1)
    replica.freeze()
    while flush(replica):
        pass
    _put(replica, range(75, 85))
    patch = PayloadPatch({"words": ["zwei"], "title": "River film"}, unset=("half",))
    replica.write(ShardPatch(SHARD, ALL, patch, ids=["document 8", "document 76"]))


def _make(folder: Path) -> None:
    fs = OsFileSystem(folder)
    create_replica(fs, SEARCHED_SPEC, NAMES)
    replica = open_replica(fs, POLICY, Surroundings(clock=lambda: NOW))
    _fill(replica)
    replica.close()


def _answers() -> dict[str, Any]:
    """Of a copy, since opening goes on writing."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        shutil.copytree(SEARCHED, copy)
        replica = opened(copy)
        while maintain(replica):
            pass
        answers = searched_answers(replica)
        replica.close()
    return answers


def _check_no_near_ties(answers: dict[str, Any]) -> None:
    """Another machine may round otherwise, and must find the same order. Equal scores are equal
    everywhere.
    """
    for scores in answers["scores"]:
        gaps = [abs(left - right) for left, right in pairwise(scores) if left != right]
        assert min(gaps) > 1e-5


def main() -> None:
    shutil.rmtree(SEARCHED, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)
        _make(SEARCHED)
        answers = _answers()
    _check_no_near_ties(answers)
    text = json.dumps(answers, ensure_ascii=False, sort_keys=True)
    SEARCHED_EXPECTED.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
