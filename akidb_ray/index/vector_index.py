"""The port of approximate indexes."""

from typing import Protocol

from akidb_ray.index.distance import Floats, RowNumbers


class VectorIndex(Protocol):
    """An index over the rows 0 to n - 1 of one block of vectors. Searches run in many threads."""

    def search(self, query: Floats, limit: int, ef: int) -> RowNumbers:
        """About the `limit` nearest rows to `query` (d,), nearest first as far as it can tell.

        `ef` is the breadth of the search. May find fewer than `limit`: the caller decides what
        then.
        """
