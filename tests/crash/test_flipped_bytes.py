"""A byte of a closed replica changes on disk: it is found, or it changes no answer."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from akidb_ray.domain.errors import Corrupt
from akidb_ray.domain.query import VectorQuery
from akidb_ray.shard.recovery import create_replica
from akidb_ray.storage.memory_disk import Directory, File, MemoryDisk
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem
from tests.crash.histories import ALL, SPEC, Driver, Oracle, contents_of
from tests.crash.scripted import history_to_damage, small_limits
from tests.unit.shard.shards import NAMES, Clock, vectors_for

pytestmark = pytest.mark.crash
# Files up to this size are flipped at each byte, larger ones at as many places or so.
EVERY_BYTE_UP_TO = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Closed:
    """A replica that was closed in order, what it answers, and what its writer knows."""

    root: Directory
    now: float
    oracle: Oracle
    answers: Any

    def opened(self, path: PurePosixPath, position: int, flip: int) -> Driver:
        fs = MemoryFileSystem()
        fs.disk = MemoryDisk(root=copy.deepcopy(self.root))
        file = fs.disk.open(path).file
        content = bytearray(file.seen)
        content[position] ^= flip
        file.seen = file.disk = bytes(content)
        clock = Clock()
        clock.now = self.now
        return Driver.opened(fs, clock, self.oracle)


def _answers(driver: Driver) -> Any:
    view = driver.replica.view()
    searches = [
        [(hit.id, hit.version, hit.score, hit.payload) for hit in view.search(query, ALL)]
        for query in (
            VectorQuery(vectors_for(["q"])[0], limit=9, ef=60),
            VectorQuery(vectors_for(["r"])[0], limit=9, exact=True),
        )
    ]
    return contents_of(driver.replica), searches


@pytest.fixture(scope="module")
def closed() -> Iterator[_Closed]:
    """All that a scripted history leaves; its log is kept from the beginning."""
    fs, clock = FaultyFileSystem(), Clock()
    with pytest.MonkeyPatch.context() as patch, small_limits():
        # Graphs answer although comparing would be cheaper in segments as small as these.
        patch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)
        create_replica(fs, replace(SPEC, wal_retention_seconds=10**6), NAMES)
        driver = Driver.opened(fs, clock, Oracle())
        history_to_damage(driver, fs.machine)
        driver.replica.close()
        root = copy.deepcopy(fs.machine.root)
        driver = Driver.opened(fs, clock, driver.oracle)
        yield _Closed(root, clock.now, driver.oracle, _answers(driver))


def _files(directory: Directory, path: PurePosixPath = PurePosixPath()) -> Iterator[Any]:
    for name, node in sorted(directory.seen.items()):
        if isinstance(node, File):
            yield path / name, len(node.seen)
        else:
            yield from _files(node, path / name)


def test_replica_has_files_of_every_kind(closed: _Closed) -> None:
    names = [str(path) for path, _ in _files(closed.root)]
    for kind in ("CURRENT", "LOCK", "manifest-", "keys/", "tombstones/", "graph.links", "ids.idx"):
        assert any(kind in name for name in names), f"no {kind} in {names}"
    assert sum(name.endswith(".wal") for name in names) > 5


@pytest.mark.parametrize("flip", ["all bits", "one bit"])
def test_flipped_byte_is_found_or_changes_no_answer(closed: _Closed, flip: str) -> None:
    rng, named, unchanged = random.Random(11), [], 0
    for path, size_bytes in _files(closed.root):
        stride = max(1, size_bytes // EVERY_BYTE_UP_TO)
        for start in range(0, size_bytes, stride):
            position = min(start + rng.randrange(stride), size_bytes - 1)
            bits = 0xFF if flip == "all bits" else 1 << rng.randrange(8)
            try:
                driver = closed.opened(path, position, bits)
            except Corrupt as error:
                named.append((str(path), error.fields["file"]))
                continue
            unchanged += 1
            assert _answers(driver) == closed.answers, (path, position)
            for write, outcome in closed.oracle.answers.values():
                assert driver.replica.write(write) == outcome
    assert [pair for pair in named if pair[0] != pair[1]] == []
    assert len(named) > 100
    assert unchanged > 100
