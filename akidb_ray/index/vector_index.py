"""The port of indexes."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from akidb_ray.index.distance import Floats, RowNumbers


class Scored(NamedTuple):
    """Rows that one search found, nearest first as far as the index can tell, with their distances
    where the index has them: to the last bit those of `flat.compare_rows`.
    """

    rows: list[int]
    distances: list[float] | None


class VectorIndex(Protocol):
    """An index over the rows 0 to n - 1 of one block of vectors. Searches run in many threads and
    release the GIL.

    `takes_mask` says that `allowed` steers the search; else what is not allowed is dropped from
    its result. `reaches_all` is not so for graphs of inner products: a row that is shorter than its
    neighbours is nearest to nothing, so no link leads to it, and a filter may want just such rows.
    `memory_bytes` is what it holds beside mapped files.
    """

    @property
    def takes_mask(self) -> bool: ...

    @property
    def reaches_all(self) -> bool: ...

    @property
    def rows(self) -> int: ...

    @property
    def memory_bytes(self) -> int: ...

    def search(
        self, query: Floats, limit: int, ef: int, allowed: NDArray[np.bool_] | None = None
    ) -> RowNumbers:
        """About the `limit` nearest rows to `query`, float32 (d,), nearest first as far as it can
        tell: int64 (at most limit,).

        `ef` is the breadth of the search, `allowed` bool (n,). An approximate index may find fewer
        than `limit`: the caller decides what then.
        """

    def search_many(
        self,
        queries: Floats,
        limit: int,
        ef: int,
        threads: int,
        allowed: NDArray[np.bool_] | None = None,
    ) -> list[RowNumbers]:
        """The same for each of `queries`, float32 (q, d), by so many threads at once."""

    def search_scored(self, queries: Floats, limit: int, ef: int, threads: int) -> list[Scored]:
        """What `search_many` finds without a mask, with distances where they come for nothing."""
