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
from akidb_ray.index.flat import compare_rows
from akidb_ray.index.links import REPEATED, Links
from akidb_ray.index.vector_index import Scored

_METRICS = {
    Metric.COSINE: faiss.METRIC_INNER_PRODUCT,
    Metric.DOT: faiss.METRIC_INNER_PRODUCT,
    Metric.L2: faiss.METRIC_L2,
}

# So many random rows, each compared with all, tell how distances are rounded.
_TRIED_ROWS = 64


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
        # Of which rows there are repetitions. Most searches meet none, and see that by a look here.
        self._leading = np.zeros(self.rows if len(firsts) else 0, np.bool_)
        self._leading[self._firsts] = True
        self._leads = bytes(self._leading)

    @property
    def memory_bytes(self) -> int:
        """Levels, offsets and repeated rows; what is mapped does not count, nor a byte per row for
        each search at work.
        """
        return 12 * self.rows + 16 * len(self._repeated) + 2 * len(self._leads)

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
        limit = min(limit, self.rows)
        found, _ = self._search(queries, limit, ef, threads, allowed)
        # Free places come last.
        answers = [rows if rows[-1] >= 0 else rows[rows >= 0] for rows in found]
        if not self._leads:
            return answers
        every = [
            self._with_repeated(rows)[0] if self._leading[rows].any() else rows for rows in answers
        ]
        return [rows[:limit] if allowed is None else rows[allowed[rows]][:limit] for rows in every]

    def search_scored(self, queries: Floats, limit: int, ef: int, threads: int) -> list[Scored]:
        limit = min(limit, self.rows)
        found, distances = self._search(queries, limit, ef, threads, None)
        if self.metric is not Metric.L2:
            np.negative(distances, out=distances)
        answers = [
            self._scored(*one, limit)
            for one in zip(found.tolist(), distances.tolist(), strict=True)
        ]
        if self._scores_as_compared:
            return answers
        return [Scored(rows, None) for rows, _ in answers]

    @functools.cached_property
    def _scores_as_compared(self) -> bool:
        return _sums_as_compared(self.metric, self.dimension)

    def _scored(self, rows: list[int], distances: list[float], limit: int) -> Scored:
        """Without free places, which come last, and with repeated rows."""
        if rows[-1] < 0:
            count = rows.index(-1)
            rows, distances = rows[:count], distances[:count]
        if self._leads and any(map(self._leads.__getitem__, rows)):
            every, places = self._with_repeated(np.array(rows))
            # Equal rows are equally near.
            rows = every[:limit].tolist()
            distances = [distances[place] for place in places[:limit].tolist()]
        return Scored(rows, distances)

    def _search(
        self,
        queries: Floats,
        limit: int,
        ef: int,
        threads: int,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[RowNumbers, Floats]:
        """Rows, -1 in places that stay free, and distances or products: both (q, limit)."""
        queries = np.ascontiguousarray(queries, np.float32)
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
        return found, distances

    def _leading_to(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows are allowed, or are equal to one that is."""
        if not len(self._repeated):
            return allowed
        leading = allowed.copy()
        leading[self._firsts[allowed[self._repeated]]] = True
        return leading

    def _with_repeated(self, rows: RowNumbers) -> tuple[RowNumbers, RowNumbers]:
        """Each of `rows` followed by those that are equal to it, and the places in `rows` of what
        they are equal to.
        """
        starts = np.searchsorted(self._firsts, rows, "left")
        sizes = np.searchsorted(self._firsts, rows, "right") - starts + 1
        places = np.repeat(np.arange(len(rows)), sizes)
        numbers = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        every = rows[places]
        others = numbers > 0
        every[others] = self._repeated[starts[places[others]] + numbers[others] - 1]
        return every, places


@functools.cache
def _sums_as_compared(metric: Metric, dimension: int) -> bool:
    """Whether a search computes distances as `compare_rows` does, to the last bit.

    On its way faiss compares four rows at a time. Whether that rounds like one by one is a matter
    of the processor and the dimension, so it is tried with random vectors.
    """
    random = np.random.default_rng(1)
    vectors = random.standard_normal((_TRIED_ROWS, dimension), np.float32)
    index = faiss.IndexHNSW(faiss.IndexFlat(dimension, _METRICS[metric]), 16)
    use_threads(1)
    index.add(vectors)
    how = faiss.SearchParametersHNSW(efSearch=_TRIED_ROWS)
    scores, every = index.search(vectors, _TRIED_ROWS, params=how)
    if metric is not Metric.L2:
        scores = -scores
    return all(
        np.array_equal(own[rows >= 0], compare_rows(metric, vectors, rows[rows >= 0], query))
        for query, rows, own in zip(vectors, every, scores, strict=True)
    )


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
