"""The writer's state: segments with their live masks, and how an operation changes them.

Masks are copied on write: one that a view holds is never changed. Only the writer calls this, under
its lock; `View`s are what readers get.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.membership import rows_with_ids_of
from akidb_ray.segment.rows import hashes_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.view import SegmentView, view_of
from akidb_ray.shard.operations import AttachSegments, Operation, UpsertRows
from akidb_ray.shard.view import View
from akidb_ray.storage.manifest import SegmentEntry

Opener = Callable[[SegmentEntry], "LiveSegment"]


class LiveSegment:
    """A segment and which of its rows are live.

    `frozen_at` is the last sequence that went into it, once it takes no more rows. `entry` is what
    the manifest says of it, once it is sealed. `dirty` says that rows died since its tombstone
    file.
    """

    def __init__(self, segment: GrowingSegment | SealedSegment, live: RowMask) -> None:
        self.segment = segment
        self.live = live
        self.graph: VectorIndex | None = None
        self.entry: SegmentEntry | None = None
        self.frozen_at: int | None = None
        self.dirty = False
        self._view: SegmentView | None = None

    @classmethod
    def sealed(cls, segment: SealedSegment, entry: SegmentEntry) -> "LiveSegment":
        """All rows that were alive when the segment was written."""
        dead = segment.born_dead
        live = cls(segment, np.ones(len(segment), np.bool_) if dead is None else ~dead)
        live.entry = entry
        return live

    @property
    def attached_at(self) -> int:
        return 0 if self.entry is None else self.entry.attached_at

    def view(self) -> SegmentView:
        """Under the commit lock, as all that follows here: `kill` asks whether a view is out."""
        if self._view is None:
            self._view = view_of(self.segment, self.live, self.graph)
        return self._view

    def kill(self, rows: Sequence[int], now: float) -> int:
        """Mark rows as deleted; return how many of them were live and not expired."""
        dying = [row for row in rows if self.live[row]]
        if not dying:
            return 0
        if self._view is not None:
            self.live = self.live.copy()
            self._view = None
        self.live[dying] = False
        self.dirty = True
        expires_at = self.segment.expires_at
        return len(dying) if expires_at is None else int((expires_at[dying] > now).sum())

    def grow(self, rows: int) -> None:
        self.live = np.concatenate([self.live, np.ones(rows, np.bool_)])
        self._view = None

    def set_graph(self, graph: VectorIndex) -> None:
        self.graph = graph
        self._view = None


class LiveShard:
    """All segments of a replica; the last one is growing. `applied_to` is the last write in it."""

    def __init__(self, spec: CollectionSpec, open_segment: Opener, applied_to: int) -> None:
        self.spec = spec
        self.applied_to = applied_to
        self.sealed: list[LiveSegment] = []
        self.frozen: list[LiveSegment] = []
        self._open_segment = open_segment
        self.growing = self._new_growing()

    def _new_growing(self) -> LiveSegment:
        return LiveSegment(GrowingSegment(self.spec.dimension), np.zeros(0, np.bool_))

    @property
    def segments(self) -> list[LiveSegment]:
        return [*self.sealed, *self.frozen, self.growing]

    def view(self, sequence: int, now: float) -> View:
        views = tuple(live.view() for live in self.segments if len(live.live))
        return View(views, sequence, self.spec, now)

    def apply(self, operation: Operation, sequence: int, now: float) -> int:
        """Carry out a logged operation; return how many documents it wrote or removed.

        `now` is when it was logged: what had expired by then was not there to be removed.
        """
        self.applied_to = sequence
        if isinstance(operation, UpsertRows):
            self._kill(operation.rows.ids, sequence, now)
            growing = self.growing.segment
            assert isinstance(growing, GrowingSegment)
            growing.append(operation.rows, sequence)
            self.growing.grow(len(operation.rows))
            return len(operation.rows)
        if isinstance(operation, AttachSegments):
            return self._attach(operation.entries, sequence, now)
        return self._kill(operation.ids, sequence, now)

    def _kill(self, ids: Sequence[str], sequence: int, now: float) -> int:
        hashes = hashes_of(ids)
        return sum(
            live.kill([row for _, row in live.segment.find_many(ids, hashes)], now)
            for live in self.segments
            # While the log is replayed, segments may be here that were attached later on.
            if live.attached_at < sequence
        )

    def _attach(self, entries: Sequence[SegmentEntry], sequence: int, now: float) -> int:
        """Take in segments; later ones win. Replayed, they may be here, with rows that died since.

        In a replay an earlier one must not take rows from a later one, which is here as well.
        """
        known = {live.entry.segment: live for live in self.sealed if live.entry is not None}
        before = [live for live in self.segments if live.attached_at < sequence]
        attached: list[LiveSegment] = []
        for entry in entries:
            live = known.get(entry.segment)
            live = live or self._open_segment(replace(entry, attached_at=sequence))
            assert isinstance(live.segment, SealedSegment)
            for other in (*before, *attached):
                rows = rows_with_ids_of(other.segment, live.segment)
                other.kill(rows.tolist(), now)
            attached.append(live)
        self.sealed += [live for live in attached if live not in self.sealed]
        return sum(int(np.count_nonzero(live.live)) for live in attached)

    @property
    def growing_segment(self) -> GrowingSegment:
        segment = self.growing.segment
        assert isinstance(segment, GrowingSegment)
        return segment

    @property
    def memory_bytes(self) -> int:
        """What is held in memory apart from mapped files: growing rows, graphs, masks, and postings
        that sealed segments lack.
        """
        unsealed = [live.segment for live in (*self.frozen, self.growing)]
        rows = sum(s.size_bytes for s in unsealed if isinstance(s, GrowingSegment))
        graphs = sum(live.graph.memory_bytes for live in self.sealed if live.graph is not None)
        sealed = [live.segment for live in self.sealed]
        postings = sum(s.memory_bytes for s in sealed if isinstance(s, SealedSegment))
        return rows + graphs + postings + sum(live.live.nbytes for live in self.sealed)

    def freeze(self) -> None:
        """Let the growing segment take no more rows, and start a new one."""
        self.growing.frozen_at = self.applied_to
        self.frozen.append(self.growing)
        self.growing = self._new_growing()
