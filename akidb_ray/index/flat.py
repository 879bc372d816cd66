"""The exact index: every allowed row is compared. It is the vectors themselves."""

import itertools

import faiss
import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats, RowNumbers
from akidb_ray.index.faiss_threads import use_threads
from akidb_ray.index.vector_index import Scored

# When queries hold so many numbers, faiss multiplies matrices, which takes a sixth of the time. Its
# l2 distances must not be made so: taken from squares and products, they drown in rounding where
# vectors are far from zero.
_MATRIX_NUMBERS = 8192
faiss.cvar.distance_compute_blas_threshold = _MATRIX_NUMBERS
# So many numbers of rows that stand apart are copied at a time, to make a matrix: 64 MB.
_COPIED_NUMBERS = 16 * 1024**2


class FlatIndex:
    """All rows of `vectors`, float32 (n, d)."""

    takes_mask = reaches_all = True
    memory_bytes = 0

    def __init__(self, metric: Metric, vectors: Floats) -> None:
        self._metric = metric
        self._compare = faiss.knn_L2sqr if metric is Metric.L2 else faiss.knn_inner_product
        self._vectors = vectors
        self.rows = len(vectors)

    def search(
        self, query: Floats, limit: int, ef: int = 0, allowed: NDArray[np.bool_] | None = None
    ) -> RowNumbers:
        """Exactly the nearest; `ef` means nothing here."""
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
        count, dimension = queries.shape
        # A list of rows is walked straight; a bitmap would be looked at for every row.
        rows = None if allowed is None else np.flatnonzero(allowed)
        limit = min(limit, self.rows if rows is None else len(rows))
        if limit == 0:
            return [np.empty(0, np.int64) for _ in queries]
        as_matrices = self._metric is not Metric.L2 and count * dimension >= _MATRIX_NUMBERS
        if rows is not None and as_matrices:
            return self._search_copies(queries, limit, threads, rows)
        step = max(1, (_MATRIX_NUMBERS - 1) // dimension)
        if self._metric is Metric.L2 and count > step:
            parts = [queries[start : start + step] for start in range(0, count, step)]
            many = [self.search_many(part, limit, ef, threads, allowed) for part in parts]
            return list(itertools.chain.from_iterable(many))
        _, found = self._compared(queries, self._vectors, limit, threads, rows)
        return [rows[rows >= 0] for rows in found]

    def search_scored(self, queries: Floats, limit: int, ef: int, threads: int) -> list[Scored]:
        """Without distances: how they are rounded depends on how many queries come together."""
        found = self.search_many(queries, limit, ef, threads)
        return [Scored(rows.tolist(), None) for rows in found]

    def _search_copies(
        self, queries: Floats, limit: int, threads: int, rows: RowNumbers
    ) -> list[RowNumbers]:
        """Only rows that stand together make a matrix, so these are copied. Not under l2."""
        products = np.empty((len(queries), 0), np.float32)
        found = np.empty((len(queries), 0), np.int64)
        step = max(1, _COPIED_NUMBERS // queries.shape[1])
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            most = min(limit, len(block))
            # Without a name, a copy is gone before the next is made.
            of_block, places = self._compared(queries, self._vectors[block], most, threads)
            products = np.hstack([products, of_block])
            found = np.hstack([found, block[places]])
            best = np.argsort(-products, axis=1, kind="stable")[:, :limit]
            products = np.take_along_axis(products, best, 1)
            found = np.take_along_axis(found, best, 1)
        return list(found)

    def _compared(
        self,
        queries: Floats,
        vectors: Floats,
        limit: int,
        threads: int,
        rows: RowNumbers | None = None,
    ) -> tuple[Floats, RowNumbers]:
        """Distances or products, and row numbers, of the nearest `limit` of `rows` (None: of all):
        both (q, limit).
        """
        count, dimension = queries.shape
        distances = np.empty((count, limit), np.float32)
        found = np.empty((count, limit), np.int64)
        chosen = None if rows is None else faiss.IDSelectorArray(len(rows), faiss.swig_ptr(rows))
        use_threads(threads)
        pointers = [faiss.swig_ptr(array) for array in (queries, vectors)]
        answers = [faiss.swig_ptr(array) for array in (distances, found)]
        sizes = (dimension, count, len(vectors), limit)
        if self._compare is faiss.knn_L2sqr:
            self._compare(*pointers, *sizes, *answers, None, chosen)
        else:
            self._compare(*pointers, *sizes, *answers, chosen)
        return distances, found


def compare_rows(metric: Metric, vectors: Floats, rows: RowNumbers, query: Floats) -> Floats:
    """Distance of these rows of `vectors` (n, d) to `query` (d,): float32 (len(rows),).

    The same to the last bit for equal rows, which `FlatIndex` and products of matrices do not
    promise: they sum up some rows in another order than others.
    """
    use_threads(1)
    query = np.ascontiguousarray(query, np.float32)
    found = np.empty(len(rows), np.float32)
    compare = faiss.fvec_inner_products_by_idx
    if metric is Metric.L2:
        compare = faiss.fvec_L2sqr_by_idx
    arrays = [faiss.swig_ptr(array) for array in (found, query, vectors, rows)]
    compare(*arrays, vectors.shape[1], 1, len(rows))
    return found if metric is Metric.L2 else np.negative(found, out=found)
