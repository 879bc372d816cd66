"""Vectors in clusters, graphs over them made in every way, and how well those find neighbours.

Uniform noise is no test of a graph: in many dimensions all its points are about equally far.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.distance import Floats, RowNumbers, distances, nearest
from akidb_ray.index.graph_files import base_graph, load_graph, write_graph
from akidb_ray.index.hnsw import HnswGraph
from akidb_ray.storage.os_filesystem import OsFileSystem

DIMENSION = 32
Make = Callable[[Metric, Floats], HnswGraph]


def clustered(rows: int, seed: int, metric: Metric, clusters: int = 40) -> Floats:
    """Float32 (rows, DIMENSION). All seeds share their clusters; cosine vectors have length 1."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(clusters, DIMENSION)) * 3
    vectors = centres[rng.integers(0, clusters, rows)] + rng.normal(size=(rows, DIMENSION))
    if metric is Metric.COSINE:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def exactly(metric: Metric, vectors: Floats, query: Floats, limit: int) -> RowNumbers:
    return nearest(distances(metric, vectors, query), limit)


def recall(
    graph: HnswGraph, metric: Metric, vectors: Floats, queries: Floats, limit: int, ef: int
) -> float:
    """The share of the nearest `limit` rows that are found. Equally near rows are equally good."""
    hits = 0
    for query in queries:
        found = distances(metric, vectors, query)
        border = found[exactly(metric, vectors, query, limit)].max()
        rows = graph.search(query, limit, ef)
        assert len(set(rows.tolist())) == len(rows)
        hits += int(np.count_nonzero(found[rows] <= border))
    return hits / (min(limit, len(vectors)) * len(queries))


def job_over(folder: Path, metric: Metric, vectors: Floats, **changes: object) -> GraphJob:
    """A job over a new file with `vectors`."""
    path = folder / f"{len(list(folder.iterdir()))}.f32"
    path.write_bytes(vectors.astype(np.float32).tobytes())
    job = GraphJob(metric, vectors.shape[1], len(vectors), str(path), 16, 100, threads=2)
    return replace(job, **changes)  # type: ignore[arg-type]


class GraphFolder:
    """A folder in which graphs are built, through their files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.fs = OsFileSystem(folder / "files")
        self._count = 0

    def write(self, job: GraphJob) -> tuple[PurePosixPath, int]:
        self._count += 1
        path = PurePosixPath(f"indexes/{self._count}")
        return path, write_graph(self.fs, path, job, ThreadGraphBuilder(), lambda: False)

    def fresh(self, metric: Metric, vectors: Floats) -> HnswGraph:
        return load_graph(self.fs, *self.write(job_over(self._folder, metric, vectors)))

    def extended(self, metric: Metric, vectors: Floats, base_rows: int | None = None) -> HnswGraph:
        """Begun with the first `base_rows`, by default half of them."""
        start = vectors[: base_rows or max(1, len(vectors) // 2)]
        base = base_graph(self.fs, *self.write(job_over(self._folder, metric, start)))
        job = job_over(self._folder, metric, vectors, base=base)
        return load_graph(self.fs, *self.write(job))
