"""What a replica holds after it is opened again, and what it refuses to open."""

import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import Corrupt, NotFound, Unavailable
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.status import status_of
from akidb_ray.storage.manifest import read_manifest
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import (
    INDEXED,
    NAMES,
    POLICY,
    SPEC,
    count,
    crashed,
    delete,
    get,
    ids_of,
    opened,
    reopened,
    seal,
    search,
    upsert,
    vectors_for,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

IDS = [f"{number:02}" for number in range(30)]
CURRENT = PurePosixPath("CURRENT")


@pytest.fixture(params=["closed", "crashed"])
def again(request: pytest.FixtureRequest) -> Callable[[Replica], Replica]:
    """Open again after a close in order, or after none."""
    return reopened if request.param == "closed" else crashed


@pytest.fixture
def folder(fs: WatchedFileSystem) -> Path:
    assert isinstance(fs.inner, OsFileSystem)
    return fs.inner.root


def _filled(replica: Replica) -> Replica:
    """A sealed segment with a graph and dead rows, a frozen one, and a growing one."""
    upsert(replica, *IDS)
    seal(replica)
    upsert(replica, *IDS[:3], "new", seed=1)
    delete(replica, *IDS[5:8])
    replica.freeze()
    upsert(replica, "newer", IDS[9], seed=2)
    delete(replica, "new")
    return replica


def _contents(replica: Replica) -> list[tuple[object, ...]]:
    found = get(replica, *ids_of(replica))
    return [(d.id, d.version, d.text, d.payload, d.vector.tobytes()) for d in found]


def test_everything_is_there_again(replica: Replica, again: Callable[[Replica], Replica]) -> None:
    before = _contents(_filled(replica))
    position = replica.view().sequence
    for _ in range(3):
        replica = again(replica)
        assert _contents(replica) == before
        assert replica.view().sequence > position
    assert status_of(replica).unindexed < count(replica)
    sequence = upsert(replica, "last").sequence
    assert sequence > position
    assert get(again(replica), "last")[0].version == sequence


def test_copy_of_the_folder_opens_as_after_a_crash(
    replica: Replica, folder: Path, tmp_path: Path
) -> None:
    before = _contents(_filled(replica))
    shutil.copytree(folder, tmp_path / "copy")
    copy = open_replica(OsFileSystem(tmp_path / "copy"), INDEXED)
    assert _contents(copy) == before
    upsert(copy, "only in the copy")
    assert "only in the copy" not in ids_of(replica)


def test_replay_freezes_segments_that_are_full(
    fs: WatchedFileSystem, again: Callable[[Replica], Replica]
) -> None:
    policy = ShardPolicy(seal_rows=10, disk_reserve_bytes=0, lock_wait_s=0.0, seal_idle_s=1e9)
    replica = opened(fs, policy)
    for id in IDS:
        upsert(replica, id)
    upsert(replica, *IDS[5:15], seed=1)
    before = _contents(replica)
    replica = again(replica)
    assert _contents(replica) == before
    assert [len(live.live) for live in replica.live.frozen] == [10, 10, 10, 10]
    seal(replica)
    assert _contents(replica) == before
    assert _contents(again(replica)) == before


def test_opening_without_a_write_changes_nothing(replica: Replica, folder: Path) -> None:
    def files() -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "CURRENT" and "manifest-" not in path.name
        }

    _filled(replica)
    before = files()
    for _ in range(3):
        replica = crashed(replica)
        assert files() == before
        replica = reopened(replica)
        assert files() == before


def test_rubbish_of_interrupted_changes_is_removed(replica: Replica, folder: Path) -> None:
    _filled(replica)
    for rubbish in ("segments/x/vectors.f32", "indexes/y/graph.links", "tombstones/z-1"):
        path = folder / rubbish
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    (folder / "wal" / "000000000001.wal.scratch").write_bytes(b"half")
    crashed(replica)
    assert len(list((folder / "segments").iterdir())) == 1
    assert len(list((folder / "indexes").iterdir())) == 1
    assert not list(folder.rglob("*.scratch"))


def test_what_cannot_be_read_is_not_removed_as_rubbish(replica: Replica, folder: Path) -> None:
    _filled(replica)
    (folder / "segments" / "x").mkdir()
    wal = folder / "wal" / "000000000002.wal"
    wal.write_bytes(b"damaged" + wal.read_bytes()[7:])
    with pytest.raises(Corrupt):
        reopened(replica)
    assert (folder / "segments" / "x").exists()


@pytest.mark.parametrize("change", ["flipped", "cut", "missing"])
def test_damaged_graph_is_built_again(replica: Replica, folder: Path, change: str) -> None:
    _filled(replica)
    before = search(replica, vectors_for(["q"])[0], limit=30)
    (graph,) = folder.rglob("graph.links")
    content = graph.read_bytes()
    graph.unlink()
    if change != "missing":
        damaged = content[:-1] if change == "cut" else bytes([content[0] ^ 1]) + content[1:]
        graph.write_bytes(damaged)
    replica = crashed(replica)
    assert status_of(replica).unindexed == count(replica)
    seal(replica)
    assert replica.live.sealed[0].graph is not None
    after = search(replica, vectors_for(["q"])[0], limit=30)
    assert [(h.id, h.score) for h in after] == [(h.id, h.score) for h in before]
    again = crashed(replica)
    assert again.live.sealed[0].graph is not None
    assert len(list((folder / "indexes").iterdir())) == 1


def test_graph_that_the_library_refuses_is_built_again(replica: Replica) -> None:
    upsert(replica, *IDS)
    replica.freeze()
    fs = replica.fs
    assert isinstance(fs, WatchedFileSystem)
    # The checksum is of what was written, so only the library can tell.
    original = fs.inner.import_file

    def half(path: PurePosixPath, produce: Callable[[str], None]) -> None:
        def produce_half(scratch: str) -> None:
            produce(scratch)
            content = Path(scratch).read_bytes()
            Path(scratch).write_bytes(content[: len(content) // 2])

        original(path, produce_half)

    fs.inner.import_file = half  # type: ignore[method-assign]
    with pytest.raises(Corrupt):
        seal(replica)
    del fs.inner.import_file  # type: ignore[attr-defined]
    assert replica.live.sealed[0].graph is None
    assert not fs.list(PurePosixPath("indexes"))
    seal(replica)
    assert crashed(replica).live.sealed[0].graph is not None


@pytest.mark.parametrize("name", ["tombstones/*", "segments/*/*", "manifest-*", "CURRENT"])
@pytest.mark.parametrize("change", ["flipped", "missing"])
def test_damaged_file_stops_the_replica_and_is_named(
    replica: Replica, folder: Path, name: str, change: str
) -> None:
    _filled(replica)
    seal(replica)
    replica.close()
    for path in sorted(folder.glob(name)):
        content = path.read_bytes()
        path.unlink()
        if change == "flipped":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 0x80]))
        with pytest.raises(Corrupt) as stopped:
            open_replica(replica.fs, POLICY)
        named = folder / stopped.value.fields["file"]
        assert named == path or (name == "manifest-*" and named.name == "CURRENT")
        path.write_bytes(content)
    open_replica(replica.fs, POLICY).close()


def test_damaged_log_stops_the_replica_after_a_clean_close(replica: Replica, folder: Path) -> None:
    upsert(replica, "a")
    replica.close()
    (wal,) = folder.glob("wal/*.wal")
    wal.write_bytes(wal.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="wal"):
        open_replica(replica.fs, POLICY)
    wal.unlink()
    with pytest.raises(Corrupt, match="wal"):
        open_replica(replica.fs, POLICY)


def test_refused_opening_lets_go_of_the_folder(replica: Replica) -> None:
    upsert(replica, "a")
    replica.close()
    current = replica.fs.read(CURRENT)
    replica.fs.replace(CURRENT, b"nonsense")
    for _ in range(2):
        with pytest.raises(Corrupt):
            open_replica(replica.fs, POLICY)
    replica.fs.replace(CURRENT, current)
    assert ids_of(open_replica(replica.fs, POLICY)) == ["a"]


def test_documents_without_a_manifest_are_corrupt_and_never_made_anew(replica: Replica) -> None:
    _filled(replica).close()
    replica.fs.remove(CURRENT)
    with pytest.raises(Corrupt):
        create_replica(replica.fs, SPEC, NAMES)
    with pytest.raises(Corrupt):
        open_replica(replica.fs, POLICY)


def test_making_a_replica_that_is_there_changes_nothing(replica: Replica) -> None:
    before = _contents(_filled(replica))
    manifest = read_manifest(replica.fs)
    create_replica(replica.fs, SPEC, {"tenant": "other"})
    assert read_manifest(replica.fs) == manifest
    assert manifest.collection["tenant"] == "acme"
    assert _contents(replica) == before


def test_missing_replica_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_replica(OsFileSystem(tmp_path / "missing"), POLICY)


def test_open_replica_is_held(replica: Replica) -> None:
    with pytest.raises(Unavailable):
        open_replica(replica.fs, POLICY)
    replica.close()
    open_replica(replica.fs, POLICY).close()
