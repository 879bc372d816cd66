"""The writer's state: segments with their live masks, and how an operation changes them.

Masks are copied on write: one that a view holds is never changed. Only the writer calls this, under
its lock; `View`s are what readers get.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import Metric
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import hashes_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.view import SegmentView, view_of
from akidb_ray.shard.operations import Operation, UpsertRows
from akidb_ray.shard.view import View
from akidb_ray.storage.manifest import SegmentEntry


class LiveSegment:
    """A segment and which of its rows are live.

    `frozen_at` is the last sequence that went into it, once it takes no more rows. `entry` is what
    the manifest says of it, once it is sealed. `dirty` says that rows died since its tombstone
    file.
    """

    def __init__(self, segment: GrowingSegment | SealedSegment, live: NDArray[np.bool_]) -> None:
        self.segment = segment
        self.live = live
        self.graph: VectorIndex | None = None
        self.entry: SegmentEntry | None = None
        self.frozen_at: int | None = None
        self.dirty = False
        self._view: SegmentView | None = None

    def view(self) -> SegmentView:
        if self._view is None:
            self._view = view_of(self.segment, self.live, self.graph)
        return self._view

    def kill(self, rows: Sequence[int]) -> int:
        """Mark rows as deleted; return how many were live."""
        dying = [row for row in rows if self.live[row]]
        if dying:
            if self._view is not None:
                self.live = self.live.copy()
                self._view = None
            self.live[dying] = False
            self.dirty = True
        return len(dying)

    def grow(self, rows: int) -> None:
        self.live = np.concatenate([self.live, np.ones(rows, np.bool_)])
        self._view = None

    def set_graph(self, graph: VectorIndex) -> None:
        self.graph = graph
        self._view = None


class LiveShard:
    """All segments of a replica, oldest first; the last one is growing."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric = metric
        self.sealed: list[LiveSegment] = []
        self.frozen: list[LiveSegment] = []
        self.growing = self._new_growing()

    def _new_growing(self) -> LiveSegment:
        return LiveSegment(GrowingSegment(self.dimension), np.zeros(0, np.bool_))

    @property
    def segments(self) -> list[LiveSegment]:
        return [*self.sealed, *self.frozen, self.growing]

    def view(self, sequence: int) -> View:
        views = tuple(live.view() for live in self.segments if len(live.live))
        return View(views, sequence, self.dimension, self.metric)

    def apply(self, operation: Operation, sequence: int) -> int:
        """Carry out a logged operation; return how many documents it wrote or removed."""
        if isinstance(operation, UpsertRows):
            self._kill(operation.rows.ids)
            self._append(operation, sequence)
            return len(operation.rows)
        return self._kill(operation.ids)

    def _kill(self, ids: Sequence[str]) -> int:
        hashes = hashes_of(ids)
        return sum(
            live.kill([row for _, row in live.segment.find_many(ids, hashes)])
            for live in self.segments
        )

    def _append(self, operation: UpsertRows, sequence: int) -> None:
        segment = self.growing.segment
        assert isinstance(segment, GrowingSegment)
        segment.append(operation.rows, sequence)
        self.growing.grow(len(operation.rows))

    @property
    def growing_bytes(self) -> int:
        segment = self.growing.segment
        assert isinstance(segment, GrowingSegment)
        return segment.size_bytes

    def freeze(self, sequence: int) -> None:
        """Let the growing segment take no more rows, and start a new one."""
        self.growing.frozen_at = sequence
        self.frozen.append(self.growing)
        self.growing = self._new_growing()
