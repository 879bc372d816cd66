"""The constants of the planner's model of costs, measured.

Every figure comes from the classes that searches use. Each kind of cost is fitted by least squares
to the medians over several dimensions and sizes.
"""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import faiss
import numpy as np

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.flat import FlatIndex
from akidb_ray.index.graph_files import load_graph, write_graph
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.cost import MEASURED
from akidb_ray.storage.os_filesystem import OsFileSystem
from bench.engine_indexes import EF_CONSTRUCTION, M
from bench.engine_measuring import K
from bench.vectors import SEED, Floats

_DIMENSIONS = (64, 384, 1024)
_SIZES = (1_000, 4_000, 16_000, 64_000)
_PICKED_SHARES = (0.01, 0.05, 0.2, 0.5)
_EFS = (16, 64, 200, 500)
_QUERIES = 40
Sample = tuple[Sequence[float], float]


@dataclass(frozen=True)
class CostFigures:
    """`error` is the median of how far the fitted model is off, as a share of what was measured."""

    constant: str
    measured: float
    in_the_file: float
    error: float


def costs(base: Floats, queries: Floats, folder: Path, threads: int) -> list[CostFigures]:
    scans: list[Sample] = []
    picks: list[Sample] = []
    visits: list[Sample] = []
    times: list[Sample] = []
    for dimension in _DIMENSIONS:
        vectors, asked = _turned(base, dimension), _turned(queries[:_QUERIES], dimension)
        for rows in sorted({min(size, len(base)) for size in _SIZES}):
            indexes = _parts(vectors, rows)
            scans.append(([1.0, rows, rows * dimension], _median_ns(indexes, asked)))
            picks += _picks(indexes, asked, dimension)
        for ndis, ef, took_ns in _visits(vectors, asked, folder, threads):
            visits.append(([1.0, ef], ndis))
            times.append(([1.0, ndis, ndis * dimension], took_ns))
    found: list[CostFigures] = []
    found += _fitted(scans, ("scan call", "scan_ns", "scan_ns_per_dimension"))
    found += _fitted(picks, ("pick call", "pick_ns", "pick_ns_per_dimension", "pick_row_of_mask"))
    found += _fitted(times, ("graph call", "visit_ns", "visit_ns_per_dimension"))
    found += _fitted(visits, ("visits", "visits_per_ef"))
    return found


def _turned(vectors: Floats, dimension: int) -> Floats:
    """The same vectors, as far as so many dimensions can hold them: a seeded projection."""
    random = np.random.default_rng(SEED)
    turn = random.standard_normal((vectors.shape[1], dimension)).astype(np.float32)
    turned = vectors @ turn
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)


def _parts(vectors: Floats, rows: int) -> list[FlatIndex]:
    """So many rows for each query, each time others: what was compared last is in the caches, and
    in use it is seldom asked for again at once.
    """
    starts = (np.arange(_QUERIES) * rows) % (len(vectors) - rows + 1)
    return [FlatIndex(Metric.COSINE, vectors[start : start + rows]) for start in starts]


def _median_ns(
    indexes: Sequence[FlatIndex], asked: Floats, allowed: np.ndarray | None = None
) -> float:
    searches = [lambda query, one=one: one.search(query, K + 1, allowed=allowed) for one in indexes]
    return _median(searches, asked)


def _median(searches: Sequence[Callable[[Floats], object]], asked: Floats) -> float:
    took_ns = []
    for search, query in zip(searches, asked, strict=True):
        started = time.perf_counter_ns()
        search(query)
        took_ns.append(time.perf_counter_ns() - started)
    return float(statistics.median(took_ns))


def _picks(indexes: Sequence[FlatIndex], asked: Floats, dimension: int) -> list[Sample]:
    random, rows = np.random.default_rng(SEED), indexes[0].rows
    samples: list[Sample] = []
    for share in _PICKED_SHARES:
        allowed = random.random(rows) < share
        count = int(np.count_nonzero(allowed))
        took_ns = _median_ns(indexes, asked, allowed)
        samples.append(([1.0, count, count * dimension, rows], took_ns))
    return samples


def _visits(
    vectors: Floats, asked: Floats, folder: Path, threads: int
) -> list[tuple[float, int, float]]:
    """How many distances a search of each breadth computes, and how long it takes."""
    vectors = vectors[: _SIZES[-1]]
    path = folder / "costs.f32"
    vectors.tofile(path)
    graph = _graph(np.memmap(path, np.float32, "r", shape=vectors.shape), path, threads)
    found = []
    for ef in _EFS:
        faiss.cvar.hnsw_stats.reset()
        search = functools.partial(graph.search, limit=K + 1, ef=ef)
        took_ns = _median([search] * len(asked), asked)
        found.append((faiss.cvar.hnsw_stats.ndis / len(asked), ef, took_ns))
    path.unlink()
    return found


def _graph(vectors: Floats, path: Path, threads: int) -> VectorIndex:
    fs, place = OsFileSystem(path.parent), PurePosixPath("costs.graph")
    if fs.exists(place):
        fs.remove_tree(place)
    rows, dimension = vectors.shape
    job = GraphJob(
        Metric.COSINE, dimension, rows, str(path), M, EF_CONSTRUCTION, threads, HnswEngine.FAISS
    )
    checksum = write_graph(fs, place, job, ThreadGraphBuilder(), lambda: False)
    return load_graph(fs, place, checksum, vectors)


def _fitted(samples: Sequence[Sample], names: Sequence[str]) -> list[CostFigures]:
    """Each sample counts alike, however long it took. What would cost less than nothing is taken
    to cost nothing.
    """
    factors = np.array([sample[0] for sample in samples])
    took = np.array([sample[1] for sample in samples])
    constants, used = np.full(len(names), -1.0), np.ones(len(names), np.bool_)
    while constants.min() < 0:
        constants = np.zeros(len(names))
        shares = factors[:, used] / took[:, None]
        constants[used] = np.linalg.lstsq(shares, np.ones(len(took)), rcond=None)[0]
        used &= constants > 0
    error = float(np.median(np.abs(factors @ constants / took - 1)))
    written = asdict(MEASURED)
    return [
        CostFigures(name, float(value), float(written.get(name, 0.0)), error)
        for name, value in zip(names, constants, strict=True)
    ]
