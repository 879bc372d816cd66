"""What a search sees of one segment: an immutable snapshot, shared by any number of threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.document import NEVER, Times, Vectors
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
    expires_at: float


class Segment(Protocol):
    """Rows that never change. A growing segment only gets more of them."""

    @property
    def vectors(self) -> Vectors:
        """float32 (n, d), n at least the rows of any view made before the call."""

    @property
    def expires_at(self) -> Times | None:
        """float64 (n,), seconds since 1970, n as above; None when no row ever expires."""

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

    `expires_at` is float64 (rows,) in seconds since 1970, or None when no row ever expires;
    `first_expiry` is the earliest of them.
    """

    segment: Segment
    vectors: Vectors
    live: RowMask
    live_count: int
    graph: VectorIndex | None = None
    expires_at: Times | None = None
    first_expiry: float = NEVER

    @property
    def rows(self) -> int:
        return len(self.live)

    def alive(self, now: float) -> RowMask:
        """Live rows that have not expired: bool (rows,). May be `live` itself: do not write."""
        if self.expires_at is None or now < self.first_expiry:
            return self.live
        return self.live & (self.expires_at > now)

    def alive_count(self, now: float) -> int:
        if self.expires_at is None or now < self.first_expiry:
            return self.live_count
        return int(np.count_nonzero(self.alive(now)))

    def find(self, document_id: str, now: float) -> int:
        """The row with this id that is live and has not expired, -1 when there is none."""
        row = self.segment.find(document_id, self.rows)
        if row < 0 or not self.live[row]:
            return -1
        return row if self.expires_at is None or self.expires_at[row] > now else -1

    def allowed(self, filters: Sequence[Filter], now: float) -> RowMask:
        """Rows alive at `now` that pass all the filters: bool (rows,). Do not write into it."""
        masks = [
            self.segment.condition_mask(condition, self.rows)
            for filter in filters
            for condition in filter.must
        ]
        return reduce(np.logical_and, masks, self.alive(now))


def view_of(segment: Segment, live: RowMask, graph: VectorIndex | None = None) -> SegmentView:
    rows, expires_at = len(live), segment.expires_at
    first = NEVER
    if expires_at is not None:
        expires_at = expires_at[:rows]
        first = float(expires_at.min(initial=NEVER))
    return SegmentView(
        segment,
        segment.vectors[:rows],
        live,
        int(np.count_nonzero(live)),
        graph,
        expires_at,
        first,
    )
