import gc
import random
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import StorageFull
from akidb_ray.storage.memory_disk import Keep
from akidb_ray.storage.memory_filesystem import MemoryFileSystem

HERE = PurePosixPath()
A = PurePosixPath("a")
B = PurePosixPath("b")
DEEP = PurePosixPath("one/two")


def test_room_is_what_no_file_takes() -> None:
    fs = MemoryFileSystem(capacity_bytes=100)
    fs.create_directory(DEEP)
    fs.write(DEEP / "a", [b"x" * 60])
    assert fs.free_bytes() == fs.subtree(DEEP).free_bytes() == 40
    with pytest.raises(StorageFull):
        fs.write(A, [b"x" * 41])
    fs.truncate(DEEP / "a", 50)
    fs.write(A, [b"x" * 50])
    assert fs.free_bytes() == 0
    fs.remove_tree(PurePosixPath("one"))
    assert fs.free_bytes() == 50
    fs.write(B, [b"no name on the disk"])
    assert fs.free_bytes() == 31
    assert fs.power_loss(Keep.SYNCED, random.Random(0)).free_bytes() == 50


def test_replacing_needs_room_for_both() -> None:
    fs = MemoryFileSystem(capacity_bytes=100)
    fs.replace(A, b"x" * 60)
    with pytest.raises(StorageFull):
        fs.replace(A, b"y" * 60)
    assert fs.read(A) == b"x" * 60
    fs.replace(A, b"y" * 40)
    assert fs.free_bytes() == 60


def test_content_is_held_once() -> None:
    fs, content = MemoryFileSystem(), b"x" * 1000
    fs.write(A, [content])
    fs.copy_in(B, fs, A)
    assert fs.read(A) is content
    assert fs.map(B).obj is content


def test_copies_for_libraries_go_with_their_files() -> None:
    fs = MemoryFileSystem()
    fs.create_directory(DEEP)
    for path in (A, DEEP / "a"):
        fs.write(path, [b"content"])
    paths = [Path(fs.library_path(path)) for path in (A, DEEP / "a")]
    assert [path.read_bytes() for path in paths] == [b"content", b"content"]
    fs.remove(A)
    assert [path.exists() for path in paths] == [False, True]
    fs.remove_tree(PurePosixPath("one"))
    assert not paths[1].exists()
    fs.create_directory(A)
    fs.write(A / "a", [b"where a file was"])
    assert Path(fs.library_path(A / "a")).read_bytes() == b"where a file was"


def test_copies_for_libraries_go_with_the_file_system() -> None:
    fs = MemoryFileSystem()
    fs.write(A, [b"content"])
    former = Path(fs.library_path(A))
    fs.sync_directory(HERE)
    left = fs.power_loss(Keep.SYNCED, random.Random(0)).subtree(HERE)
    path = Path(left.library_path(A))
    assert path.parents[1].stat().st_mode & 0o077 == 0
    del fs
    gc.collect()
    assert not former.exists()
    assert path.read_bytes() == b"content"
    del left
    gc.collect()
    assert not path.parents[1].exists()


def test_mapped_copy_of_a_library_keeps_its_content() -> None:
    fs = MemoryFileSystem()
    fs.write(A, [b"former"])
    with Path(fs.library_path(A)).open("rb") as held:
        fs.replace(A, b"content")
        assert Path(fs.library_path(A)).read_bytes() == b"content"
        assert held.read() == b"former"
