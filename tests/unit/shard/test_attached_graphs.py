"""A graph that comes with a segment must be one that the collection can use."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import write_graph
from akidb_ray.shard.attaching import attach, build_segment
from akidb_ray.shard.checkpoint import INDEXES, SEGMENTS
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.unit.shard.shards import SPEC, batch, ids_of


def test_graph_of_another_metric_is_refused_and_leaves_nothing(replica: Replica) -> None:
    source = MemoryFileSystem()
    ids = [f"{number:02}" for number in range(30)]
    files = build_segment(source, PurePosixPath("segment"), batch(ids), SPEC)
    vectors = source.library_path(files.segment / "vectors.f32")
    job = GraphJob(Metric.DOT, 16, 30, vectors, 8, 64, 1, SPEC.hnsw_engine)
    graph = PurePosixPath("graph")
    write_graph(source, graph, job, ThreadGraphBuilder(), stopped=lambda: False)
    with pytest.raises(InvalidArgument, match="metric"):
        attach(replica, source, [replace(files, graph=graph)])
    assert ids_of(replica) == []
    assert replica.fs.list(SEGMENTS) == replica.fs.list(INDEXES) == []
