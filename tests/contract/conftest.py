"""The implementations that a suite runs on."""

from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem


@pytest.fixture(params=["os", "os subtree", "memory", "memory subtree", "faulty"])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    name, _, subtree = request.param.partition(" ")
    fs: FileSystem
    if name == "os":
        fs = OsFileSystem(tmp_path / "root")
    else:
        fs = MemoryFileSystem() if name == "memory" else FaultyFileSystem()
    if subtree:
        fs = fs.subtree(PurePosixPath("sub/tree"))
    fs.create_directory(PurePosixPath())
    return fs


@pytest.fixture(params=["from os", "from memory"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    if request.param == "from os":
        return OsFileSystem(tmp_path / "source")
    return MemoryFileSystem()
