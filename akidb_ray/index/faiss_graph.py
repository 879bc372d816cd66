"""Graphs searched by faiss: mapped links over mapped vectors, nothing copied.

M. Douze et al., "The Faiss library", 2024, arXiv:2401.08281. The links are hnswlib's, see
docs/adr/0009: at the same breadth they find more than those that faiss makes.
"""

import functools

import faiss
import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats, RowNumbers
from akidb_ray.index.faiss_threads import use_threads
from akidb_ray.index.links import REPEATED, Links

_METRICS = {
    Metric.COSINE: faiss.METRIC_INNER_PRODUCT,
    Metric.DOT: faiss.METRIC_INNER_PRODUCT,
    Metric.L2: faiss.METRIC_L2,
}


class FaissGraph:
    """A graph over the rows of `vectors`, float32 (n, d), which must stay where they are."""

    takes_mask = True

    def __init__(self, metric: Metric, vectors: Floats, links: Links, even: bool = False) -> None:
        self.metric = metric
        self.reaches_all = even or metric is not Metric.DOT
        self.rows, self.dimension = len(vectors), int(vectors.shape[1])
        # Views hold addresses alone, so what they look at is kept here.
        self._vectors, self._links = vectors, links
        self._flat = faiss.IndexFlat(self.dimension, _METRICS[metric])
        _look_at(self._flat.codes, vectors.view(np.uint8))
        self._flat.ntotal = self.rows
        self._index = faiss.IndexHNSWFlat(self.dimension, links.m, _METRICS[metric])
        self._index.storage, self._index.own_fields = self._flat, False
        self._index.ntotal = self.rows
        graph = self._index.hnsw
        offsets, repeated = links.offsets, links.levels == REPEATED
        # For faiss the lowest level is number 1. No link leads to a repeated row.
        levels = np.where(repeated, 0, links.levels).astype(np.int32) + 1
        faiss.copy_array_to_vector(levels, graph.levels)
        faiss.copy_array_to_vector(offsets.astype(np.uint64), graph.offsets)
        _look_at(graph.neighbors, links.slots)
        graph.entry_point = links.entry
        graph.max_level = int(links.levels[links.entry])
        # How many slots lie below each level. faiss has made ready for the levels that it would
        # give to a thousand million rows, reads beyond them for a higher one, and so ends.
        below = links.m * np.array([0, *range(2, graph.max_level + 3)], np.int32)
        faiss.copy_array_to_vector(below, graph.cum_nneighbor_per_level)
        firsts = links.slots[offsets[:-1][repeated]].astype(np.int64)
        order = np.argsort(firsts, kind="stable")
        self._repeated, self._firsts = np.flatnonzero(repeated)[order], firsts[order]

    @property
    def memory_bytes(self) -> int:
        """Levels, offsets and repeated rows; what is mapped does not count, nor a byte per row for
        each search at work.
        """
        return 12 * self.rows + 16 * len(self._repeated)

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
        queries = np.ascontiguousarray(queries, np.float32)
        limit = min(limit, self.rows)
        found = np.empty((len(queries), limit), np.int64)
        distances = np.empty((len(queries), limit), np.float32)
        how = _of_breadth(max(ef, limit))
        if allowed is not None:
            how = faiss.SearchParametersHNSW()
            how.efSearch = max(ef, limit)
            bits = np.packbits(self._leading_to(allowed), bitorder="little")
            selector = faiss.IDSelectorBitmap(self.rows, faiss.swig_ptr(bits))
            how.sel = selector
        use_threads(threads)
        self._index.search_c(
            len(queries),
            faiss.swig_ptr(queries),
            limit,
            faiss.swig_ptr(distances),
            faiss.swig_ptr(found),
            how,
        )
        # Free places come last.
        answers = [rows if rows[-1] >= 0 else rows[rows >= 0] for rows in found]
        if not len(self._repeated):
            return answers
        return [self._with_repeated(rows, limit, allowed) for rows in answers]

    def _leading_to(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows are allowed, or are equal to one that is."""
        if not len(self._repeated):
            return allowed
        leading = allowed.copy()
        leading[self._firsts[allowed[self._repeated]]] = True
        return leading

    def _with_repeated(
        self, rows: RowNumbers, limit: int, allowed: NDArray[np.bool_] | None
    ) -> RowNumbers:
        """The first `limit` allowed of `rows`, each followed by those that are equal to it."""
        starts = np.searchsorted(self._firsts, rows, "left")
        sizes = np.searchsorted(self._firsts, rows, "right") - starts + 1
        if sizes.sum() > len(rows):
            numbers = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            equal = self._repeated[np.repeat(starts, sizes) + numbers - 1]
            rows = np.where(numbers == 0, np.repeat(rows, sizes), equal)
        return rows[:limit] if allowed is None else rows[allowed[rows]][:limit]


@functools.lru_cache(maxsize=1024)
def _of_breadth(ef: int) -> "faiss.SearchParametersHNSW":
    """Shared by all searches, which only read it. To make one, faiss lets go of the interpreter
    three times; when other searches wait for it, that takes longer than the search.
    """
    how = faiss.SearchParametersHNSW()
    how.efSearch = ef
    return how


def _look_at(vector: "faiss.MaybeOwnedVectorUInt8", array: NDArray[np.generic]) -> None:
    """Make one of faiss's vectors a view of `array`."""
    address = faiss.swig_ptr(array)
    vector.is_owned = False
    vector.view_data, vector.view_size = address, array.size
    vector.c_ptr, vector.c_size = address, array.size
