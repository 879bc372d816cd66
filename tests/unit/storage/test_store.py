import subprocess
import sys
import threading
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import Corrupt, InvalidState, Unavailable
from akidb_ray.domain.ids import ClusterId
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.store import open_store

OURS = ClusterId.new()
HOLD = """
import sys, pathlib
from akidb_ray.storage.os_filesystem import OsFileSystem
lock = OsFileSystem(pathlib.Path(sys.argv[1])).lock(pathlib.PurePath("LOCK"), 0.0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path / "store")


def test_store_keeps_its_identity(fs: OsFileSystem) -> None:
    store = open_store(fs, OURS, 0.0)
    store.close()
    again = open_store(fs, OURS, 0.0)
    again.close()
    assert again.store_id == store.store_id
    assert again.cluster_id == OURS


def test_store_of_another_cluster_is_refused_and_let_go(fs: OsFileSystem) -> None:
    open_store(fs, OURS, 0.0).close()
    with pytest.raises(InvalidState, match="part of cluster"):
        open_store(fs, ClusterId.new(), 0.0)
    open_store(fs, OURS, 0.0).close()


@pytest.mark.parametrize(
    "identity",
    [b"", b"{}", b"[]", b"5", b'{"format": 2}', b'{"format": 1, "store_id": 5}', b"\xff"],
)
def test_damaged_identity_is_corrupt_and_never_made_anew(fs: OsFileSystem, identity: bytes) -> None:
    open_store(fs, OURS, 0.0).close()
    fs.write(PurePosixPath("store.json"), [identity])
    with pytest.raises(Corrupt):
        open_store(fs, OURS, 0.0)
    assert fs.read(PurePosixPath("store.json")) == identity


def test_identity_with_a_wrong_id_is_corrupt(fs: OsFileSystem) -> None:
    open_store(fs, OURS, 0.0).close()
    path = PurePosixPath("store.json")
    fs.write(path, [fs.read(path).replace(b'"cluster_id":"', b'"cluster_id":"x')])
    with pytest.raises(Corrupt):
        open_store(fs, OURS, 0.0)


def test_held_store_is_refused_after_the_wait(fs: OsFileSystem) -> None:
    store = open_store(fs, OURS, 0.0)
    with pytest.raises(Unavailable, match="held by another process"):
        open_store(fs, OURS, 0.06)
    store.close()
    open_store(fs, OURS, 0.0).close()


def test_new_opener_waits_for_the_former_holder(fs: OsFileSystem) -> None:
    store = open_store(fs, OURS, 0.0)
    opened = threading.Event()

    def wait_for_it() -> None:
        open_store(fs, OURS, 60.0).close()
        opened.set()

    waiting = threading.Thread(target=wait_for_it)
    waiting.start()
    assert not opened.is_set()
    store.close()
    waiting.join()
    assert opened.is_set()


def test_lock_goes_with_the_process_that_held_it(fs: OsFileSystem) -> None:
    fs.create_directory(PurePosixPath())
    command = [sys.executable, "-c", HOLD, str(fs.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable):
            fs.lock(PurePosixPath("LOCK"), 0.0)
        holder.kill()
    fs.lock(PurePosixPath("LOCK"), 60.0).release()


def test_releasing_twice_is_harmless(fs: OsFileSystem) -> None:
    fs.create_directory(PurePosixPath())
    first = fs.lock(PurePosixPath("LOCK"), 0.0)
    first.release()
    second = fs.lock(PurePosixPath("LOCK"), 0.0)
    first.release()
    with pytest.raises(Unavailable):
        fs.lock(PurePosixPath("LOCK"), 0.0)
    second.release()
