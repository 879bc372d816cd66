"""Hierarchical navigable small world graphs, by hnswlib: all are built here, some searched.

Y. Malkov, D. Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
Navigable Small World graphs", 2016, arXiv:1603.09320.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import Corrupt, Exhausted, StorageFailed, StorageFull
from akidb_ray.index.distance import Floats, RowNumbers
from akidb_ray.index.hnswlib_file import write_file
from akidb_ray.index.links import Links
from akidb_ray.index.vector_index import Scored
from akidb_ray.storage.os_filesystem import translated

_SPACES = {Metric.COSINE: "ip", Metric.DOT: "ip", Metric.L2: "l2"}
# hnswlib numbers rows by a random level generator: a fixed seed makes builds repeatable.
_SEED = 100
_TINY, _HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
# What hnswlib keeps beside vectors and links: a lock, a level, a pointer, a label's place in a hash
# table and a mark per row, and a table of 65,536 locks. Measured with glibc.
_BESIDE_BYTES_PER_ROW = 105
_BESIDE_BYTES = 65_536 * 40
# How far repeated vectors are moved, in lengths. Less would drown in the rounding of inner
# products; squared differences show less, and more could matter to vectors far from zero.
_MOVED = {Metric.COSINE: 1e-5, Metric.DOT: 1e-5, Metric.L2: 1e-6}


class HnswlibGraph:
    """A graph with a copy of its vectors, which changes no more. Searching releases the GIL.

    It knows no masks: hnswlib would ask a Python function about each row on its way. Its
    `memory_bytes` are without the 2 bytes per row that each search at work needs.
    """

    takes_mask = False

    def __init__(self, metric: Metric, index: hnswlib.Index, even: bool = False) -> None:
        self._index = index
        # hnswlib searches with the larger of its `ef` and the number of results asked for. With an
        # `ef` of 1 the latter alone decides, so each query chooses its own and no state is shared.
        index.set_ef(1)
        index.set_num_threads(1)
        self.metric = metric
        self.reaches_all = even or metric is not Metric.DOT
        self.dimension = int(index.dim)
        self.rows = int(index.get_current_count())
        beside = self.rows * _BESIDE_BYTES_PER_ROW + _BESIDE_BYTES
        self.memory_bytes = int(index.index_file_size()) + beside

    @classmethod
    def load(cls, metric: Metric, dimension: int, path: str, even: bool = False) -> "HnswlibGraph":
        """Raises Corrupt, Exhausted (memory). Holds the GIL.

        hnswlib believes what it reads: a damaged file may end the process. Compare its checksum
        first.
        """
        return cls(metric, _load(metric, dimension, path, 0), even)

    def search(
        self, query: Floats, limit: int, ef: int, allowed: NDArray[np.bool_] | None = None
    ) -> RowNumbers:
        return self.search_many(query[None, :], limit, ef, 1, allowed)[0]

    def search_many(
        self,
        queries: Floats,
        limit: int,
        ef: int,
        threads: int,
        allowed: NDArray[np.bool_] | None = None,
    ) -> list[RowNumbers]:
        if self.metric is Metric.DOT:
            lengths = np.linalg.norm(queries, axis=1, keepdims=True)
            queries = queries / np.maximum(lengths, _TINY)
        breadth = min(max(ef, limit), self.rows)
        try:
            labels, _ = self._index.knn_query(queries, k=breadth, num_threads=threads)
        except RuntimeError:
            # The graph reached fewer than `breadth` rows; hnswlib then returns none of them.
            return [np.empty(0, np.int64) for _ in queries]
        found = labels.astype(np.int64)
        if allowed is None:
            return list(found[:, :limit])
        return [rows[allowed[rows]][:limit] for rows in found]

    def search_scored(self, queries: Floats, limit: int, ef: int, threads: int) -> list[Scored]:
        """Without distances: those of hnswlib are of scaled and moved copies."""
        found = self.search_many(queries, limit, ef, threads)
        return [Scored(rows.tolist(), None) for rows in found]


class HnswBuild:
    """A graph in the making, to which rows are added in their order; not to be searched.

    Its copy of the vectors differs from them in two ways, so scores are not to be taken from it:

    - Under `dot` they are divided by `scale`, about the largest length among them: hnswlib compares
      1 - x.y, and of small products rounding would leave nothing. All rows of a graph must have the
      same scale, those that are added to a saved one too.
    - Vectors that repeat others are moved a little. Equal ones would be linked to each other alone:
      with a tenth of equal rows, searches that come upon one do not get out again, and recall falls
      to 0.9 and below (0.5 with a half).
    """

    def __init__(self, metric: Metric, index: hnswlib.Index, scale: float) -> None:
        self._metric = metric
        self._index = index
        self.scale = scale

    @classmethod
    def start(
        cls,
        metric: Metric,
        dimension: int,
        capacity: int,
        m: int,
        ef_construction: int,
        scale: float,
    ) -> "HnswBuild":
        """An empty graph with room for `capacity` rows. Raises Exhausted (memory)."""
        index = hnswlib.Index(space=_SPACES[metric], dim=dimension)
        with _lack_of_memory_translated():
            index.init_index(capacity, ef_construction=ef_construction, M=m, random_seed=_SEED)
        return cls(metric, index, scale)

    @classmethod
    def resume(
        cls, metric: Metric, dimension: int, path: str, capacity: int, scale: float
    ) -> "HnswBuild":
        """A saved graph, to go on from. Raises and warns as `HnswlibGraph.load` does."""
        return cls(metric, _load(metric, dimension, path, capacity), scale)

    @classmethod
    def resume_links(
        cls,
        metric: Metric,
        links: Links,
        vectors: Callable[[slice], Floats],
        dimension: int,
        capacity: int,
        ef_construction: int,
        scale: float,
        scratch: str,
    ) -> "HnswBuild":
        """A graph of which the links are known, to go on from.

        `vectors` gives those of a slice of its rows, of which none repeats another. `scratch` is a
        path for a file that is gone afterwards. Raises and warns as `HnswlibGraph.load` does.
        """

        def indexed(rows: slice) -> Floats:
            return _scaled(metric, vectors(rows), scale)

        try:
            with translated(Path(scratch)):
                write_file(scratch, links, dimension, ef_construction, indexed)
            return cls.resume(metric, dimension, scratch, capacity, scale)
        finally:
            Path(scratch).unlink(missing_ok=True)

    @property
    def rows(self) -> int:
        return int(self._index.get_current_count())

    def add(self, vectors: Floats, repeated: NDArray[np.bool_], threads: int) -> None:
        """Add `vectors`, float32 (n, d), as the next n rows. Releases the GIL.

        `repeated`, bool (n,), says which are equal to an earlier row. Raises Exhausted (memory).
        """
        first = self.rows
        if repeated.any():
            vectors = _moved_apart(vectors, repeated, _MOVED[self._metric], seed=first)
        vectors = _scaled(self._metric, vectors, self.scale)
        with _lack_of_memory_translated():
            labels = np.arange(first, first + len(vectors))
            self._index.add_items(vectors, labels, num_threads=threads)

    def save(self, path: str) -> None:
        """Raises StorageFull, StorageFailed, and then leaves no file. Holds the GIL."""
        self._index.save_index(path)
        # hnswlib does not look whether it could open and write the file.
        if not Path(path).exists():
            raise StorageFailed(f"{path}: cannot be written", file=path)
        wanted, written = self._index.index_file_size(), Path(path).stat().st_size
        if written != wanted:
            Path(path).unlink()
            raise StorageFull(f"{path}: only {written} of {wanted} bytes were written", file=path)


def scale_for(metric: Metric, lengths: NDArray[np.float64]) -> float:
    """The `scale` of a graph of vectors of these lengths; never 0."""
    if metric is not Metric.DOT:
        return 1.0
    return float(np.clip(lengths.max(initial=0.0), _TINY, _HUGE))


def _scaled(metric: Metric, vectors: Floats, scale: float) -> Floats:
    return vectors / np.float32(scale) if metric is Metric.DOT else vectors


def _moved_apart(
    vectors: Floats, repeated: NDArray[np.bool_], distance: float, seed: int
) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1)
    # Zeros have no length to measure by.
    steps = np.where(lengths > 0, lengths, lengths.mean())[repeated, None] * distance
    noise = np.random.default_rng(seed).standard_normal((len(steps), vectors.shape[1]))
    moved = vectors.copy()
    moved[repeated] += (noise * steps / np.sqrt(vectors.shape[1])).astype(np.float32)
    return moved


def _load(metric: Metric, dimension: int, path: str, capacity: int) -> hnswlib.Index:
    index = hnswlib.Index(space=_SPACES[metric], dim=dimension)
    try:
        with _lack_of_memory_translated():
            index.load_index(path, max_elements=capacity)
    except RuntimeError as error:
        raise Corrupt(path, str(error)) from error
    return index


@contextlib.contextmanager
def _lack_of_memory_translated() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise Exhausted(f"there is no memory for a graph: {error}") from error
