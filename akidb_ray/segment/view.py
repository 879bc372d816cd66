"""What a search sees of one segment: an immutable snapshot, shared by any number of threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.document import Vectors
from akidb_ray.domain.filter import Condition, Filter
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.columns import RowMask


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row, without its vector."""

    id: str
    version: int
    length: float
    text: str | None
    payload: bytes | None


class Segment(Protocol):
    """Rows that never change. A growing segment only gets more of them."""

    @property
    def vectors(self) -> Vectors:
        """float32 (n, d), n at least the rows of any view made before the call."""

    def row(self, row: int) -> StoredRow: ...

    def id(self, row: int) -> str: ...

    def find(self, document_id: str, rows: int) -> int:
        """The newest row below `rows` with this id, -1 when there is none."""

    def find_many(
        self, ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> Iterator[tuple[int, int]]:
        """(position in `ids`, newest row) of each id that is here. For the writer only."""

    def condition_mask(self, condition: Condition, rows: int) -> RowMask:
        """Which of the first `rows` rows meet the condition, dead ones included."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentView:
    """The first `len(live)` rows of a segment, of which `live` (bool) says which are not
    deleted.
    """

    segment: Segment
    vectors: Vectors
    live: RowMask
    live_count: int
    graph: VectorIndex | None = None

    @property
    def rows(self) -> int:
        return len(self.live)

    def find(self, document_id: str) -> int:
        """The live row with this id, -1 when there is none."""
        row = self.segment.find(document_id, self.rows)
        return row if row >= 0 and self.live[row] else -1

    def allowed(self, filters: Sequence[Filter]) -> RowMask:
        """Live rows that pass all the filters: bool (rows,). May be `live` itself: do not write."""
        masks = [
            self.segment.condition_mask(condition, self.rows)
            for filter in filters
            for condition in filter.must
        ]
        return reduce(np.logical_and, masks, self.live)


def view_of(
    segment: Segment, live: NDArray[np.bool_], graph: VectorIndex | None = None
) -> SegmentView:
    return SegmentView(
        segment, segment.vectors[: len(live)], live, int(np.count_nonzero(live)), graph
    )
