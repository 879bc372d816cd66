"""Hierarchical navigable small world graphs, by hnswlib.

Y. Malkov, D. Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
Navigable Small World graphs", 2016, arXiv:1603.09320.
"""

import hnswlib
import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats, RowNumbers

_SPACES = {Metric.COSINE: "ip", Metric.DOT: "ip", Metric.L2: "l2"}
# hnswlib numbers rows by a random level generator: a fixed seed makes builds repeatable.
_SEED = 100


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
        index = hnswlib.Index(space=_SPACES[metric], dim=dimension)
        index.init_index(rows, ef_construction=ef_construction, M=m, random_seed=_SEED)
        index.add_items(vectors, np.arange(rows), num_threads=threads)
        return cls(metric, index)

    @classmethod
    def load(cls, metric: Metric, dimension: int, path: str) -> "HnswGraph":
        index = hnswlib.Index(space=_SPACES[metric], dim=dimension)
        index.load_index(path)
        return cls(metric, index)

    def save(self, path: str) -> None:
        self._index.save_index(path)

    def search(self, query: Floats, limit: int, ef: int) -> tuple[RowNumbers, Floats]:
        breadth = min(max(ef, limit), self._index.get_current_count())
        try:
            labels, found = self._index.knn_query(query, k=breadth, num_threads=1)
        except RuntimeError:
            # The graph reached fewer than `breadth` rows; hnswlib then returns none of them.
            return np.empty(0, np.int64), np.empty(0, np.float32)
        rows = labels[0, :limit].astype(np.int64)
        distances = found[0, :limit]
        # hnswlib's inner product distance is 1 - x.y.
        return rows, distances if self._metric is Metric.L2 else distances - np.float32(1.0)
