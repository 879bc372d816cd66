"""`akidb inspect` over folders of real shards."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.cli.main import main
from akidb_ray.shard.recovery import open_replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import INDEXED, ids_of, opened, seal, search, upsert, vectors_for

IDS = [f"{number:02}" for number in range(30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed shard: a sealed segment with graph and tombstones, and a log."""
    replica = opened(OsFileSystem(tmp_path / "shard"), INDEXED)
    upsert(replica, *IDS, payload={"n": 1})
    seal(replica)
    upsert(replica, "00", "new", payload={"n": 2})
    replica.freeze()
    seal(replica)
    upsert(replica, "last")
    replica.close()
    return tmp_path / "shard"


Inspect = Callable[..., tuple[int, str]]


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inspect:
    """Run the command; return its exit code and what it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["akidb", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return run


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sound_shard_is_told_so_and_not_changed(folder: Path, inspect: Inspect) -> None:
    before = _files(folder)
    code, printed = inspect("shard", folder)
    assert code == 0
    assert "DAMAGED" not in printed
    for name in ("CURRENT", "vectors.f32", "index.json", "tombstones/", ".wal"):
        assert name in printed
    assert _files(folder) == before


def test_manifest_names_collection_and_segments(folder: Path, inspect: Inspect) -> None:
    code, printed = inspect("manifest", folder)
    assert code == 0
    assert "acme" in printed
    code, printed = inspect("manifest", folder, "--json")
    live: dict[str, Any] = json.loads(printed)
    assert live["collection"]["tenant"] == "acme"
    assert sum(entry["rows"] for entry in live["segments"]) == 32


def test_log_is_listed_record_by_record(folder: Path, inspect: Inspect) -> None:
    code, printed = inspect("wal", folder, "--json")
    assert code == 0
    records = [record for scan in json.loads(printed) for record in scan["records"]]
    assert [record["kind"] for record in records] == ["upsert"] * 3
    newest = max((folder / "wal").iterdir())
    code, printed = inspect("wal", newest)
    assert code == 0
    assert "upsert" in printed
    _flip(newest)
    code, printed = inspect("wal", newest)
    assert code == 1
    assert "DAMAGED at byte" in printed


def test_segment_is_verified_by_itself(folder: Path, inspect: Inspect) -> None:
    segment = next((folder / "segments").iterdir())
    assert inspect("segment", segment)[0] == 0
    _flip(segment / "documents.arrow")
    code, printed = inspect("segment", segment)
    assert code == 1
    assert "DAMAGED" in printed


@pytest.mark.parametrize("name", ["ids.idx", "columns.arrow", "graph.links", "index.json"])
@pytest.mark.parametrize("missing", [False, True])
def test_derived_file_is_made_again(
    folder: Path, inspect: Inspect, name: str, missing: bool
) -> None:
    asked = vectors_for(["q"])[0]
    replica = open_replica(OsFileSystem(folder), INDEXED)
    before = [(hit.id, hit.score) for hit in search(replica, asked, limit=99)]
    replica.close()
    for path in folder.rglob(name):
        if missing:
            path.unlink()
        else:
            _flip(path)
    code, printed = inspect("shard", folder)
    assert code == 1
    assert "repairable" in printed
    code, printed = inspect("shard", folder, "--repair")
    assert (code, "made again" in printed) == (0, True), printed
    assert inspect("shard", folder)[0] == 0
    replica = open_replica(OsFileSystem(folder), INDEXED)
    assert [(hit.id, hit.score) for hit in search(replica, asked, limit=99)] == before
    assert ids_of(replica) == sorted([*IDS, "last", "new"])
    replica.close()


@pytest.mark.parametrize("name", ["vectors.f32", "documents.arrow", "segment.json"])
def test_what_was_written_is_not_made_again(folder: Path, inspect: Inspect, name: str) -> None:
    _flip(next(folder.rglob(name)))
    before = _files(folder)
    code, printed = inspect("shard", folder, "--repair")
    assert code == 1
    assert name in printed
    assert {k: v for k, v in _files(folder).items() if "manifest" not in k} == {
        k: v for k, v in before.items() if "manifest" not in k
    }


def test_open_shard_is_not_repaired(folder: Path, inspect: Inspect) -> None:
    replica = open_replica(OsFileSystem(folder), INDEXED)
    code, printed = inspect("shard", folder, "--repair")
    assert code == 1
    assert "is held by another process" in printed
    assert inspect("shard", folder)[0] == 0
    replica.close()


@pytest.mark.parametrize("what", ["shard", "manifest", "wal", "segment"])
def test_folder_that_is_none_is_refused_and_not_made(
    tmp_path: Path, inspect: Inspect, what: str
) -> None:
    code, printed = inspect(what, tmp_path / "nothing")
    assert code == 2
    assert "PATH" in printed
    assert not (tmp_path / "nothing").exists()


def test_json_says_what_the_table_says(folder: Path, inspect: Inspect) -> None:
    code, printed = inspect("shard", folder, "--json")
    told = json.loads(printed)
    assert (code, told["ok"], told["made_again"]) == (0, True, [])
    columns = next(folder.rglob("columns.arrow"))
    _flip(columns)
    code, printed = inspect("shard", folder, "--json")
    told = json.loads(printed)
    assert (code, told["ok"]) == (1, False)
    (damaged,) = [file for file in told["files"] if not file["ok"]]
    assert damaged["file"] == str(columns.relative_to(folder))
    assert damaged["repairable"]
    code, printed = inspect("segment", columns.parent, "--json")
    assert code == 1
    assert [file["file"] for file in json.loads(printed) if not file["ok"]] == ["columns.arrow"]
    code, printed = inspect("shard", folder, "--repair", "--json")
    assert (code, json.loads(printed)["made_again"]) == (0, [damaged["file"]])


def test_reason_is_told_in_a_line_of_its_own(folder: Path, inspect: Inspect) -> None:
    vectors = next(folder.rglob("vectors.f32"))
    _flip(vectors)
    _, printed = inspect("shard", folder)
    name = vectors.relative_to(folder)
    assert f"{name}: its size or checksum does not fit" in printed.splitlines()


def test_end_that_a_kill_left_torn_is_no_damage(tmp_path: Path, inspect: Inspect) -> None:
    replica = opened(OsFileSystem(tmp_path / "shard"), INDEXED)
    upsert(replica, "a")
    upsert(replica, "b")
    replica.wal.close()
    replica.lock.release()
    (log,) = (tmp_path / "shard" / "wal").iterdir()
    log.write_bytes(log.read_bytes()[:-5])
    before = _files(tmp_path)
    for what in ("shard", "wal"):
        code, printed = inspect(what, tmp_path / "shard")
        assert code == 0
        assert "torn at byte" in printed
        assert "DAMAGED" not in printed
    (told,) = json.loads(inspect("wal", tmp_path / "shard", "--json")[1])
    assert (told["ok"], len(told["records"])) == (True, 1)
    # Of a file alone nobody can say so.
    assert inspect("wal", log)[0] == 1
    assert _files(tmp_path) == before


def test_lost_name_of_the_manifest_is_damage_and_no_wrong_path(
    folder: Path, inspect: Inspect
) -> None:
    (folder / "CURRENT").unlink()
    code, printed = inspect("shard", folder)
    assert code == 1
    assert "CURRENT: is missing" in printed.splitlines()
    assert inspect("wal", folder)[0] == 0
    code, printed = inspect("shard", folder, "--repair")
    assert code == 1
    assert printed.count("\n") == 1


def test_lost_file_of_the_log_is_told(folder: Path, inspect: Inspect) -> None:
    for path in (folder / "wal").iterdir():
        path.unlink()
    for what in ("shard", "wal"):
        code, printed = inspect(what, folder)
        assert code == 1
        assert "are missing" in printed


@pytest.mark.parametrize("what", ["shard", "manifest", "wal", "segment"])
@pytest.mark.parametrize("inside", [".", "wal", "segments"])
def test_folder_of_another_kind_is_refused_and_left_alone(
    folder: Path, inspect: Inspect, what: str, inside: str
) -> None:
    wrong = folder.parent if inside == "." else folder / inside
    before = sorted(folder.parent.rglob("*"))
    code, printed = inspect(what, wrong)
    assert code == 2
    assert "`find DATA -name" in printed
    assert sorted(folder.parent.rglob("*")) == before
