"""Segments written elsewhere are taken in whole, with the meaning of an upsert."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.errors import AkiDBError, Corrupt, InvalidArgument, StorageFull
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import write_graph
from akidb_ray.shard.attaching import SegmentFiles, attach, build_segment
from akidb_ray.shard.merging import merge, tasks_of
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.unit.shard.shards import (
    SPEC,
    batch,
    count,
    crashed,
    delete,
    get,
    ids_of,
    only,
    reopened,
    seal,
    search,
    upsert,
    vectors_for,
    work,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Settle = Callable[[Replica], None]
IDS = [f"{number:02}" for number in range(30)]


@pytest.fixture
def source() -> MemoryFileSystem:
    return MemoryFileSystem()


def built(source: MemoryFileSystem, name: str, *ids: str, **contents: Any) -> SegmentFiles:
    return build_segment(source, PurePosixPath(name), batch(ids, **contents), SPEC)


def contents(replica: Replica) -> dict[str, tuple[int, str | None]]:
    return {d.id: (d.version, d.text) for d in get(replica, *ids_of(replica))}


def test_attached_documents_replace_those_with_the_same_ids(
    replica: Replica, source: MemoryFileSystem, settle: Settle
) -> None:
    upsert(replica, *IDS)
    settle(replica)
    upsert(replica, "00", "growing", seed=1)
    files = built(source, "new", "00", "growing", *IDS[20:], "new", seed=5, payload={"n": 1})
    outcome = attach(replica, source, [files])
    assert outcome.affected == 13
    for now in (replica, crashed(replica)):
        assert ids_of(now, only("n", 1)) == sorted(["00", "growing", *IDS[20:], "new"])
        assert count(now) == 32
        assert contents(now)["00"] == (outcome.sequence, "text 5 of 00")
        assert get(now, "new")[0].vector.tolist() == vectors_for(["new"], 5)[0].tolist()


def test_later_segment_wins_over_an_earlier_one(replica: Replica, source: MemoryFileSystem) -> None:
    first, second = built(source, "1", "a", "b", seed=1), built(source, "2", "b", "c", seed=2)
    assert attach(replica, source, [first, second]).affected == 3
    texts = {id: text for id, (_, text) in contents(replica).items()}
    assert texts == {"a": "text 1 of a", "b": "text 2 of b", "c": "text 2 of c"}


def test_writes_after_it_are_kept_through_seal_merge_and_replay(
    replica: Replica, source: MemoryFileSystem
) -> None:
    upsert(replica, *IDS)
    attach(replica, source, [built(source, "new", *IDS[10:], "x", "y", seed=5)])
    upsert(replica, "x", "10", seed=6)
    delete(replica, "y", "11")
    wanted = contents(replica)
    for step in (crashed, _sealed, crashed, _merged, reopened):
        replica = step(replica)
        assert contents(replica) == wanted, step


def _sealed(replica: Replica) -> Replica:
    seal(replica)
    return replica


def _merged(replica: Replica) -> Replica:
    merge(replica, replica.live.sealed, replica.live.sealed[0])
    return replica


def test_attached_segment_is_not_merged_before_the_checkpoint_has_passed_it(
    replica: Replica, source: MemoryFileSystem
) -> None:
    attach(replica, source, [built(source, "new", *IDS)])
    delete(replica, *IDS)
    assert tasks_of(replica) == []
    work(replica)
    assert replica.live.sealed == []
    assert replica.manifest.checkpoint > 0
    assert contents(crashed(replica)) == {}


def test_graph_comes_with_its_segment(replica: Replica, source: MemoryFileSystem) -> None:
    files = built(source, "new", *IDS)
    vectors = source.library_path(files.segment / "vectors.f32")
    job = GraphJob(Metric.L2, 16, 30, vectors, 8, 64, 1, SPEC.hnsw_engine)
    folder = PurePosixPath("graph")
    write_graph(source, folder, job, ThreadGraphBuilder(), stopped=lambda: False)
    attach(replica, source, [replace(files, graph=folder)])
    assert replica.live.sealed[0].graph is not None
    asked = vectors_for(["q"])[0]
    before = [hit.id for hit in search(replica, asked, limit=5)]
    again = crashed(replica)
    assert again.live.sealed[0].graph is not None
    assert [hit.id for hit in search(again, asked, limit=5)] == before


def _in_other_dimension(source: MemoryFileSystem) -> SegmentFiles:
    wide = batch(["a"], vectors=np.ones((1, 32), np.float32))
    return build_segment(source, PurePosixPath("w"), wide, CollectionSpec(32, Metric.L2))


def _flipped(source: MemoryFileSystem) -> SegmentFiles:
    files = built(source, "flipped", "a", "b")
    path = files.segment / "vectors.f32"
    content = bytearray(source.read(path))
    content[3] ^= 1
    source.write(path, [content])
    return files


def _reaching_out(source: MemoryFileSystem) -> SegmentFiles:
    files = built(source, "reaching/out", "a", "b")
    path = files.segment / "segment.json"
    source.write(PurePosixPath("reaching/ids.idx"), [source.read(files.segment / "ids.idx")])
    source.write(path, [source.read(path).replace(b'"ids.idx"', b'"../ids.idx"')])
    return files


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (_in_other_dimension, InvalidArgument),
        (_flipped, Corrupt),
        (_reaching_out, InvalidArgument),
    ],
)
def test_segment_that_cannot_be_attached_leaves_nothing(
    replica: Replica,
    source: MemoryFileSystem,
    make: Callable[[MemoryFileSystem], SegmentFiles],
    error: type[AkiDBError],
) -> None:
    upsert(replica, "a")
    before = contents(replica)
    good = built(source, "good", "b")
    with pytest.raises(error):
        attach(replica, source, [good, make(source)])
    assert contents(replica) == before
    assert replica.fs.list(PurePosixPath("segments")) == []
    attach(replica, source, [good])
    assert ids_of(replica) == ["a", "b"]


@pytest.mark.parametrize(("operation", "path"), [("copy_in", "segments"), ("append", "wal")])
def test_full_disk_keeps_nothing_of_it(
    replica: Replica, fs: WatchedFileSystem, source: MemoryFileSystem, operation: str, path: str
) -> None:
    upsert(replica, "a")
    files = built(source, "new", *IDS)
    fs.watch.fail(operation, path, StorageFull("no room"))
    with pytest.raises(StorageFull):
        attach(replica, source, [files])
    assert ids_of(replica) == ["a"]
    assert fs.list(PurePosixPath("segments")) == []
    attach(replica, source, [files])
    assert count(crashed(replica)) == 31
