"""Hierarchical navigable small world graphs, by hnswlib.

Y. Malkov, D. Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
Navigable Small World graphs", 2016, arXiv:1603.09320.
"""

from pathlib import Path

import hnswlib
import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import Corrupt, StorageFailed, StorageFull
from akidb_ray.index.distance import Floats, RowNumbers

_SPACES = {Metric.COSINE: "ip", Metric.DOT: "ip", Metric.L2: "l2"}
# hnswlib numbers rows by a random level generator: a fixed seed makes builds repeatable.
_SEED = 100
_TINY = float(np.finfo(np.float32).tiny)


class HnswGraph:
    """A graph with a copy of its vectors. Searching releases the GIL."""

    def __init__(self, metric: Metric, index: hnswlib.Index) -> None:
        self._metric = metric
        self._index = index
        # hnswlib searches with the larger of its `ef` and the number of results asked for. With an
        # `ef` of 1 the latter alone decides, so each query chooses its own and no state is shared.
        index.set_ef(1)
        index.set_num_threads(1)

    @classmethod
    def build(
        cls, metric: Metric, vectors: Floats, m: int, ef_construction: int, threads: int
    ) -> "HnswGraph":
        """Index `vectors`, float32 (n, d); cosine vectors must have unit length. Releases the
        GIL.
        """
        rows, dimension = vectors.shape
        if metric is Metric.DOT:
            # hnswlib compares 1 - x.y: of small products rounding would leave nothing.
            vectors = vectors / max(float(np.linalg.norm(vectors, axis=1).max()), _TINY)
        index = hnswlib.Index(space=_SPACES[metric], dim=dimension)
        index.init_index(rows, ef_construction=ef_construction, M=m, random_seed=_SEED)
        index.add_items(vectors, np.arange(rows), num_threads=threads)
        return cls(metric, index)

    @classmethod
    def load(cls, metric: Metric, dimension: int, path: str) -> "HnswGraph":
        """Raises Corrupt."""
        index = hnswlib.Index(space=_SPACES[metric], dim=dimension)
        try:
            index.load_index(path)
        except RuntimeError as error:
            raise Corrupt(path, str(error)) from error
        return cls(metric, index)

    def save(self, path: str) -> None:
        """Raises StorageFull, StorageFailed."""
        self._index.save_index(path)
        # hnswlib does not look whether it could open and write the file.
        if not Path(path).exists():
            raise StorageFailed(f"{path}: cannot be written", file=path)
        wanted, written = self._index.index_file_size(), Path(path).stat().st_size
        if written != wanted:
            raise StorageFull(f"{path}: only {written} of {wanted} bytes were written", file=path)

    def search(self, query: Floats, limit: int, ef: int) -> RowNumbers:
        if self._metric is Metric.DOT:
            query = query / max(float(np.linalg.norm(query)), _TINY)
        breadth = min(max(ef, limit), self._index.get_current_count())
        try:
            labels, _ = self._index.knn_query(query, k=breadth, num_threads=1)
        except RuntimeError:
            # The graph reached fewer than `breadth` rows; hnswlib then returns none of them.
            return np.empty(0, np.int64)
        rows: RowNumbers = labels[0, :limit].astype(np.int64)
        return rows
