"""Exact answers by comparing everything, chunk by chunk: the rows need not fit in memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.vectors import Floats

# Rows whose similarity differs by no more are equally near: films are listed twice.
_EQUAL = 1e-6


class ExactNearest:
    """The `k` nearest rows of each of `queries`, unit vectors (q, d), by inner product."""

    def __init__(self, queries: Floats, k: int) -> None:
        self._queries = queries
        self._k = k
        # Twice as many as wanted, because rows may be as near as the last one.
        self._near = np.full((len(queries), 2 * k), -np.inf, np.float32)
        self._rows = np.full((len(queries), 2 * k), -1, np.int64)

    def add(
        self, first_row: int, vectors: Floats, allowed: NDArray[np.bool_] | None = None
    ) -> None:
        """Compare with unit vectors (n, d), the rows from `first_row` on. `allowed`, (q, n), says
        which of them each query may find.
        """
        near = self._queries @ vectors.T
        if allowed is not None:
            near[~allowed] = -np.inf
        numbers = np.arange(first_row, first_row + len(vectors))
        rows = np.broadcast_to(numbers, near.shape)
        near, rows = np.hstack([self._near, near]), np.hstack([self._rows, rows])
        kept = self._near.shape[1]
        best = np.argpartition(-near, kept - 1, axis=1)[:, :kept]
        near, rows = (np.take_along_axis(part, best, axis=1) for part in (near, rows))
        order = np.argsort(-near, axis=1)
        self._near = np.take_along_axis(near, order, axis=1)
        self._rows = np.take_along_axis(rows, order, axis=1)

    def wanted(self, number: int) -> int:
        """How many rows query `number` should find: fewer than `k` where fewer are allowed."""
        return int(np.count_nonzero(self._near[number, : self._k] > -np.inf))

    def share(self, number: int, found: Sequence[int]) -> float:
        """Which share of its nearest is among the rows that query `number` found."""
        wanted = self.wanted(number)
        if not wanted:
            return 1.0
        border = self._near[number, wanted - 1] - _EQUAL
        nearest = set(self._rows[number][self._near[number] >= border].tolist())
        return min(1.0, len(nearest & set(found)) / wanted)
