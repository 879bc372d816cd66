"""Looking at a replica's files, and making derived ones again."""

import copy
from collections.abc import Callable
from pathlib import Path, PurePath, PurePosixPath

import orjson
import pytest

from akidb_ray.domain.errors import Corrupt, Unavailable
from akidb_ray.domain.write import WriteOptions
from akidb_ray.segment.checking import check_segment, rebuild_derived
from akidb_ray.segment.sealed import DERIVED
from akidb_ray.shard.attaching import SegmentFiles, attach, build_segment
from akidb_ray.shard.inspection import Finding, inspect_log, inspect_replica, repair
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import read_manifest
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.wal_reader import wal_files
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, Machine, run_until
from tests.unit.shard.shards import (
    INDEXED,
    SPEC,
    batch,
    crashed,
    delete,
    get,
    ids_of,
    opened,
    seal,
    search,
    upsert,
    vectors_for,
)

IDS = [f"{number:02}" for number in range(30)]


def _write(fs: FileSystem) -> Replica:
    """Two sealed segments, one with a graph, tombstones, keys, and a log behind them."""
    replica = opened(fs, INDEXED)
    upsert(replica, *IDS, payload={"n": 1}, options=WriteOptions(idempotency_key="first"))
    seal(replica)
    delete(replica, *IDS[:3])
    upsert(replica, "03", "new", payload={"n": 2})
    seal(replica)
    upsert(replica, "last")
    delete(replica, "04")
    return replica


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    """A replica that was closed in order."""
    fs = OsFileSystem(tmp_path / "shard")
    _write(fs).close()
    return fs


def _answers(fs: FileSystem) -> object:
    """What a replica says: every document, and a search through the graph."""
    replica = open_replica(fs, INDEXED)
    hits = search(replica, vectors_for(["q"])[0], limit=99)
    documents = get(replica, *ids_of(replica))
    found = [(d.id, d.version, d.text, d.payload, d.expires_at) for d in documents]
    has_graphs = [live.graph is not None for live in replica.live.sealed]
    replica.close()
    return found, [(hit.id, hit.score) for hit in hits], has_graphs


def _flip(fs: FileSystem, file: PurePath) -> None:
    content = bytearray(fs.read(file))
    content[len(content) // 2] ^= 1
    fs.write(file, [content])


def _remove(fs: FileSystem, file: PurePath) -> None:
    fs.remove(file)


DAMAGES: dict[str, Callable[[FileSystem, PurePath], None]] = {"flip": _flip, "remove": _remove}


def _damaged(fs: FileSystem) -> list[Finding]:
    return [finding for finding in inspect_replica(fs).findings if not finding.ok]


def _files(fs: OsFileSystem) -> dict[str, bytes]:
    paths = [path for path in fs.root.rglob("*") if path.is_file()]
    return {str(path.relative_to(fs.root)): path.read_bytes() for path in paths}


def _of(fs: FileSystem, *names: str) -> list[PurePosixPath]:
    """Files of the replica with these names, of all segments."""
    files = [PurePosixPath(finding.file) for finding in inspect_replica(fs).findings]
    return [file for file in files if file.name in names]


def test_every_file_of_a_sound_replica_is_found_sound(fs: OsFileSystem) -> None:
    before = _files(fs)
    report = inspect_replica(fs)
    assert report.ok
    looked_at = {finding.file for finding in report.findings}
    known = {"LOCK", f"manifest-{report.manifest.generation:06d}"} if report.manifest else set()
    assert before.keys() == looked_at | known
    assert {f.file: f.size_bytes for f in report.findings}.items() <= {
        (file, len(content)) for file, content in before.items()
    }
    assert not any(finding.repairable or finding.reason for finding in report.findings)
    assert _files(fs) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_of_each_file_is_found_in_that_file(fs: OsFileSystem, damage: str) -> None:
    oldest_log = wal_files(fs)[0][1]
    for finding in inspect_replica(fs).findings:
        file = PurePosixPath(finding.file)
        if damage == "remove" and file == oldest_log:
            continue  # as it is when its time is over
        content = fs.read(file)
        DAMAGES[damage](fs, file)
        before = _files(fs)
        found = {f.file: f.repairable for f in _damaged(fs)}
        if damage == "remove" and file.parts[0] == "wal":
            # The file behind it says so, or nothing but the log as a whole.
            assert all(name.startswith("wal") for name in found)
        else:
            assert found.keys() == {str(file)}
        derived = file.parts[0] == "indexes" or file.name in DERIVED
        assert set(found.values()) == {derived}
        assert _files(fs) == before
        fs.write(file, [content])
        assert not _damaged(fs)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("names", [["ids.idx"], ["columns.arrow"], ["graph.links"], ["index.json"],
                                   ["ids.idx", "columns.arrow", "graph.links"]])  # fmt: skip
def test_derived_files_are_made_again(fs: OsFileSystem, damage: str, names: list[str]) -> None:
    before = _answers(fs)
    files = _of(fs, *names)
    for file in files:
        DAMAGES[damage](fs, file)
    assert repair(fs, INDEXED) == [str(file) for file in files]
    assert not _damaged(fs)
    assert _answers(fs) == before
    assert repair(fs, INDEXED) == []


def test_nothing_is_changed_where_nothing_is_damaged(fs: OsFileSystem) -> None:
    before = _files(fs)
    assert repair(fs, INDEXED) == []
    assert _files(fs) == before


@pytest.mark.parametrize("name", ["vectors.f32", "documents.arrow", "segment.json"])
def test_what_was_written_is_not_made_again_and_nothing_is_changed(
    fs: OsFileSystem, name: str
) -> None:
    _flip(fs, _of(fs, "columns.arrow")[0])
    lost = _of(fs, name)[-1]
    _flip(fs, lost)
    before = _files(fs)
    with pytest.raises(Corrupt, match=name) as error:
        repair(fs, INDEXED)
    assert error.value.fields["file"] == str(lost)
    assert _files(fs) == before


@pytest.mark.parametrize("folder", ["tombstones", "keys", "wal", "CURRENT"])
def test_damage_beside_the_segments_is_not_made_good(fs: OsFileSystem, folder: str) -> None:
    _flip(fs, _of(fs, "columns.arrow")[0])
    files = [PurePosixPath(finding.file) for finding in inspect_replica(fs).findings]
    _flip(fs, [file for file in files if file.parts[0] == folder][-1])
    before = _files(fs)
    with pytest.raises(Corrupt):
        repair(fs, INDEXED)
    assert _files(fs) == before


def test_open_replica_is_not_repaired(fs: OsFileSystem) -> None:
    replica = open_replica(fs, INDEXED)
    _flip(fs, _of(fs, "columns.arrow")[0])
    before = _files(fs)
    with pytest.raises(Unavailable):
        repair(fs, INDEXED)
    assert _files(fs) == before
    replica.close()


def test_file_that_this_version_does_not_know_is_carried_on(fs: OsFileSystem) -> None:
    segment = _of(fs, "segment.json")[0].parent
    description = orjson.loads(fs.read(segment / "segment.json"))
    description["files"]["words.idx"] = {"size_bytes": 4, "crc32c": crc32c(b"more")}
    raw = orjson.dumps(description)
    fs.write(segment / "segment.json", [raw])
    fs.write(segment / "words.idx", [b"more"])
    _flip(fs, segment / "columns.arrow")
    target = segment.with_name("target")
    checksum = rebuild_derived(fs, segment, target, crc32c(raw))
    assert fs.read(target / "words.idx") == b"more"
    assert all(check.ok for check in check_segment(fs, target, checksum))
    _flip(fs, segment / "words.idx")
    with pytest.raises(Corrupt, match=r"words\.idx"):
        rebuild_derived(fs, segment, segment.with_name("another"), crc32c(raw))


def test_damaged_file_of_the_log_that_no_opening_needs_is_in_no_way(fs: OsFileSystem) -> None:
    first = wal_files(fs)[0][1]
    _flip(fs, first)
    assert [finding.file for finding in _damaged(fs)] == [str(first)]
    before = _answers(fs)
    columns = _of(fs, "columns.arrow")
    _flip(fs, columns[0])
    assert repair(fs, INDEXED) == [str(columns[0])]
    assert _answers(fs) == before


def test_missing_file_of_the_log_is_found(fs: OsFileSystem) -> None:
    files = [path for _, path in wal_files(fs)]
    fs.remove(files[1])
    assert [finding.file for finding in _damaged(fs)] == [str(files[2])]
    for path in files[2:]:
        fs.remove(path)
    assert [finding.file for finding in _damaged(fs)] == ["wal"]


def test_without_a_manifest_the_log_is_looked_at(fs: OsFileSystem) -> None:
    logs = [str(path) for _, path in wal_files(fs)]
    fs.remove(PurePosixPath("CURRENT"))
    report = inspect_replica(fs)
    assert report.manifest is None
    assert [(f.file, f.ok) for f in report.findings] == [
        ("CURRENT", False), *((log, True) for log in logs),
    ]  # fmt: skip
    assert report.findings[0].reason == "is missing"
    assert [f.file for f in inspect_log(fs)] == logs


def _killed(fs: FileSystem) -> None:
    replica = _write(fs)
    replica.wal.close()
    replica.lock.release()


def test_torn_end_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path / "shard")
    _killed(fs)
    assert not any(finding.reason for finding in inspect_log(fs))
    newest = wal_files(fs)[-1][1]
    fs.truncate(newest, fs.size_bytes(newest) - 3)
    before = _files(fs)
    report = inspect_replica(fs)
    assert report.ok
    (torn,) = [finding for finding in report.findings if finding.reason]
    assert torn.file == str(newest)
    assert torn.reason.startswith("torn at byte ")
    assert repair(fs, INDEXED) == []
    assert _files(fs) == before
    replica = open_replica(fs, INDEXED)
    assert "04" in ids_of(replica), "its delete was torn"
    replica.close()
    assert not any(finding.reason for finding in inspect_replica(fs).findings)


def test_what_was_synced_is_not_called_torn(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path / "shard")
    _killed(fs)
    # The upsert of "last"; the delete behind it says that it was on disk.
    newest = wal_files(fs)[-1][1]
    content = bytearray(fs.read(newest))
    content[200] ^= 1
    fs.write(newest, [content])
    assert [finding.file for finding in _damaged(fs)] == [str(newest)]


def test_end_that_was_noted_at_a_clean_close_is_not_called_torn(fs: OsFileSystem) -> None:
    newest = wal_files(fs)[-1][1]
    fs.truncate(newest, fs.size_bytes(newest) - 3)
    assert [finding.file for finding in _damaged(fs)] == [str(newest)]


def _attached(fs: FileSystem) -> None:
    """A segment that only the log names, since the process was killed before the checkpoint."""
    replica = opened(fs, INDEXED)
    upsert(replica, *IDS)
    source = MemoryFileSystem()
    files = build_segment(source, PurePosixPath("built"), batch(["a", "b"]), SPEC)
    attach(replica, source, [SegmentFiles(files.segment)])
    replica.wal.close()
    replica.lock.release()


@pytest.mark.parametrize("name", ["vectors.f32", "columns.arrow"])
def test_segment_that_only_the_log_names_is_looked_at(tmp_path: Path, name: str) -> None:
    fs = OsFileSystem(tmp_path / "shard")
    _attached(fs)
    assert read_manifest(fs).segments == ()
    (file,) = _of(fs, name)
    _flip(fs, file)
    before = _files(fs)
    # Made again it would have another name, and the log has this one.
    assert [(f.file, f.repairable) for f in _damaged(fs)] == [(str(file), False)]
    with pytest.raises(Corrupt, match=name):
        repair(fs, INDEXED)
    assert _files(fs) == before


@pytest.mark.parametrize("keep", Keep)
def test_repair_that_ends_at_any_step_does_no_harm(keep: Keep) -> None:
    whole = FaultyFileSystem()
    _write(whole).close()
    before = _answers(whole)
    for file in _of(whole, "columns.arrow", "ids.idx", "graph.links"):
        _flip(whole, file)
    steps, ended = 0, False
    while not ended:
        fs = FaultyFileSystem(Machine(root=copy.deepcopy(whole.machine.root)))
        ended = run_until(fs.machine, steps, lambda fs=fs: repair(fs, INDEXED))
        fs = fs.machine.after_end(keep, seed=steps)
        assert all(finding.repairable for finding in _damaged(fs))
        repair(fs, INDEXED)
        assert not _damaged(fs)
        found, hits, _ = _answers(fs)
        assert (found, hits) == before[:2]
        steps += 1
    assert steps > 40


def test_replica_with_a_damaged_graph_is_opened_and_indexed_again(fs: OsFileSystem) -> None:
    before = _answers(fs)
    for file in _of(fs, "graph.links"):
        _flip(fs, file)
    replica = open_replica(fs, INDEXED)
    seal(replica)
    replica = crashed(replica)
    replica.close()
    assert not _damaged(fs)
    assert _answers(fs)[0] == before[0]
