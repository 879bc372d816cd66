"""Vectors in clusters, indexes over them made in every way, and how well those find neighbours.

Uniform noise is no test of a graph: in many dimensions all its points are about equally far.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.distance import Floats, RowNumbers, distances, nearest
from akidb_ray.index.flat import FlatIndex
from akidb_ray.index.graph_files import base_graph, load_graph, write_graph
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.storage.os_filesystem import OsFileSystem

DIMENSION = 32


@dataclass(frozen=True)
class Kind:
    """A way to an index; without an engine it is the exact one."""

    engine: HnswEngine | None = None
    extended: bool = False

    def __str__(self) -> str:
        how = "extended" if self.extended else "fresh"
        return f"{self.engine} {how}" if self.engine else "flat"


GRAPHS = [Kind(engine, extended) for engine in HnswEngine for extended in (False, True)]
KINDS = [Kind(), *GRAPHS]


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
    index: VectorIndex,
    metric: Metric,
    vectors: Floats,
    queries: Floats,
    limit: int,
    ef: int,
    allowed: np.ndarray | None = None,
) -> float:
    """The share of the nearest `limit` allowed rows that are found. Equally near rows are equally
    good.
    """
    hits = wanted = 0
    for query in queries:
        found = distances(metric, vectors, query)
        near = found if allowed is None else found[allowed]
        border = near[nearest(near, limit)].max()
        # Not all ways to the same distance round alike.
        border += 1e-6 * abs(border)
        rows = index.search(query, limit, ef, allowed)
        assert len(set(rows.tolist())) == len(rows)
        assert allowed is None or allowed[rows].all()
        hits += int(np.count_nonzero(found[rows] <= border))
        wanted += min(limit, len(near))
    return hits / wanted


def job_over(folder: Path, metric: Metric, vectors: Floats, **changes: object) -> GraphJob:
    """A job over a new file with `vectors`."""
    path = folder / f"{len(list(folder.iterdir()))}.f32"
    path.write_bytes(vectors.astype(np.float32).tobytes())
    rows, dimension = vectors.shape
    job = GraphJob(metric, dimension, rows, str(path), 16, 100, 2, HnswEngine.FAISS)
    return replace(job, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Made:
    """An index that was opened from files, and a way to open it once more."""

    index: VectorIndex
    open: Callable[[], VectorIndex]


class IndexFolder:
    """A folder in which indexes are made, through their files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.fs = OsFileSystem(folder / "files")
        self._count = 0

    def write(self, job: GraphJob) -> tuple[PurePosixPath, int]:
        self._count += 1
        path = PurePosixPath(f"indexes/{self._count}")
        return path, write_graph(self.fs, path, job, ThreadGraphBuilder(), lambda: False)

    def make(
        self,
        kind: Kind,
        metric: Metric,
        vectors: Floats,
        base_rows: int | None = None,
        base_engine: HnswEngine | None = None,
    ) -> Made:
        """Extended graphs begin with the first `base_rows`, by default half of them."""
        job = job_over(self._folder, metric, vectors, engine=kind.engine)
        mapped = np.memmap(job.vectors_path, np.float32, "r", shape=vectors.shape).view(np.ndarray)
        if kind.engine is None:
            return _made(lambda: FlatIndex(metric, mapped))
        if kind.extended:
            start = vectors[: base_rows or max(1, len(vectors) // 2)]
            engine = base_engine or kind.engine
            base_job = job_over(self._folder, metric, start, engine=engine)
            job = replace(job, base=base_graph(self.fs, *self.write(base_job)))
        written = self.write(job)
        return _made(lambda: load_graph(self.fs, *written, mapped))

    def index(self, kind: Kind, metric: Metric, vectors: Floats) -> VectorIndex:
        return self.make(kind, metric, vectors).index


def _made(open_index: Callable[[], VectorIndex]) -> Made:
    return Made(open_index(), open_index)
