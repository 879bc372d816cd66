"""What a search sees of one segment: an immutable snapshot, shared by any number of threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.document import NEVER, Times, Vectors
from akidb_ray.domain.filter import Filter
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.postings import TextBlock, Totals
from akidb_ray.segment.terms import Analyzer
from akidb_ray.segment.value_counting import ValueCounts


class StoredRow(NamedTuple):
    """One row, without its vector."""

    id: str
    version: int
    length: float
    text: str | None
    payload: bytes | None
    expires_at: float


class Contents(NamedTuple):
    """What a search shows of the documents of some rows."""

    versions: list[int]
    payloads: list[bytes | None]
    texts: list[str | None]

    @classmethod
    def without_payload(cls, versions: list[int]) -> "Contents":
        nothing: list[None] = [None] * len(versions)
        return cls(versions, [*nothing], [*nothing])


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

    def ids_of(self, rows: Sequence[int]) -> list[str]: ...

    def contents_of(self, rows: Sequence[int], with_payload: bool) -> Contents: ...

    def find(self, document_id: str, rows: int) -> int:
        """The newest row below `rows` with this id, -1 when there is none."""

    def id_order(self, rows: int) -> NDArray[np.uint32]:
        """The first `rows` rows in the order of their ids, by code point: uint32 (m,). Rows that
        carry no document are not among them.
        """

    def find_many(
        self, ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> Iterator[tuple[int, int]]:
        """(position in `ids`, newest row) of each id that is here. For the writer only."""

    def filter_mask(self, filter: Filter, rows: int) -> RowMask:
        """Which of the first `rows` rows pass the filter, dead ones included. Do not write into it.

        Of rows with the same id, only the newest is sure to be found by it.
        """

    def value_counts(self, key: str, allowed: RowMask) -> ValueCounts:
        """For each scalar at the payload path `key` how many of the first len(allowed) rows that
        are allowed have it. A row counts once for a value, however often it has it.
        """

    def text_blocks(self, rows: int, analyzer: Analyzer) -> Sequence[TextBlock]:
        """Postings of the first `rows` rows at least, one behind the other, made when there are
        none.
        """


@dataclass(frozen=True, slots=True, eq=False)
class SegmentView:
    """The first `len(live)` rows of a segment, of which `live` (bool) says which are not
    deleted.

    `expires_at` is float64 (rows,) in seconds since 1970, or None when no row ever expires;
    `first_expiry` is the earliest of them. `text_totals` are remembered by keyword searches: those
    of all live rows, by analysis.
    """

    segment: Segment
    vectors: Vectors
    live: RowMask
    live_count: int
    graph: VectorIndex | None = None
    expires_at: Times | None = None
    first_expiry: float = NEVER
    text_totals: dict[str, Totals] = field(default_factory=dict, repr=False)

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
        mask = self.alive(now)
        for filter in filters:
            if not filter.is_everything:
                mask = mask & self.segment.filter_mask(filter, self.rows)
        return mask

    def value_counts(self, key: str, allowed: RowMask) -> ValueCounts:
        """For each scalar at the payload path `key` how many allowed rows have it, by ("string",
        "bool" or "number", value): 1 and 1.0 are one value, True is another.
        """
        return self.segment.value_counts(key, allowed)


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
