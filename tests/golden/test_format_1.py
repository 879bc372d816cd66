"""Files that an earlier version wrote in format 1 open, with all that they held.

They never change; `tests/golden/make.py` says how they were made.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from akidb_ray.domain.write import ShardUpsert, WriteOutcome
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.shard.inspection import inspect_replica
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.wal_format import RecordKind
from akidb_ray.storage.wal_reader import scan_file, wal_files
from tests.golden.contents import (
    ALL,
    FOLDER,
    SPECS,
    answers_of,
    documents,
    expected,
    keyed_writes,
    opened,
)
from tests.unit.shard.shards import SHARD

EXPECTED = expected()


@pytest.fixture(autouse=True)
def graphs_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although comparing would be cheaper in segments as small as these."""
    monkeypatch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)


@pytest.fixture(params=SPECS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def replica(name: str, tmp_path: Path) -> Iterator[Replica]:
    shutil.copytree(FOLDER / name, tmp_path / name)
    replica = opened(tmp_path / name)
    yield replica
    if not replica.failed:
        replica.close()


def _check_answers(replica: Replica, name: str) -> None:
    found, wanted = answers_of(replica), dict(EXPECTED[name])
    del wanted["keys"]
    for scores, former in zip(found.pop("scores"), wanted.pop("scores"), strict=True):
        assert scores == pytest.approx(former, rel=1e-4)
    assert found == wanted


def test_it_holds_and_answers_what_it_did(replica: Replica, name: str) -> None:
    assert replica.spec == SPECS[name]
    _check_answers(replica, name)


def test_writes_sent_again_get_their_first_answer(replica: Replica, name: str) -> None:
    for key, write in keyed_writes().items():
        assert replica.write(write) == WriteOutcome(*EXPECTED[name]["keys"][key])
    _check_answers(replica, name)


def test_it_goes_on_in_this_version(replica: Replica, name: str, tmp_path: Path) -> None:
    newest = max(document["version"] for document in EXPECTED[name]["documents"])
    replica.freeze()
    while maintain(replica):
        pass
    _check_answers(replica, name)
    replica.close()
    again = opened(tmp_path / name)
    _check_answers(again, name)
    outcome = again.write(ShardUpsert(SHARD, documents([200]), ALL))
    assert outcome.sequence > newest
    again.close()
    again = opened(tmp_path / name)
    assert len(again.view().get(["document 200"], ALL, with_vector=False)) == 1
    again.close()


def test_it_has_everything_that_a_folder_may_hold(replica: Replica, name: str) -> None:
    folder = FOLDER / name
    for pattern in ("keys/*", "tombstones/*", "indexes/*/graph.hnsw", "segments/*/ids.idx"):
        assert list(folder.glob(pattern)) or (pattern, name) == ("keys/*", "killed")
    logged = [r for _, path in wal_files(replica.fs) for r in scan_file(replica.fs, path).records]
    assert {record.kind for record in logged} == set(RecordKind)
    assert any(record.continues for record in logged)
    assert any(live.attached_at for live in replica.live.sealed)
    sealed = [live.segment for live in replica.live.sealed]
    born_dead = [s.born_dead is not None for s in sealed if isinstance(s, SealedSegment)]
    assert any(born_dead) == (name == "closed")


def test_files_are_as_they_were_written() -> None:
    assert inspect_replica(OsFileSystem(FOLDER / "closed")).ok
    report = inspect_replica(OsFileSystem(FOLDER / "killed"))
    assert report.ok
    assert [finding.reason.startswith("torn") for finding in report.findings if finding.reason] == [
        True
    ]
