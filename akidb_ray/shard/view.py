"""Views: the immutable snapshot of a shard that one search, get or count runs on.

A view never changes, so readers hold no lock and see no write half done. The writer publishes a new
view after each group of writes; old ones live as long as somebody reads them. A view has a time of
its own, so that a document cannot expire in the middle of a request.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import StoredDocument, Vectors, check_vectors
from akidb_ray.domain.filter import Filter, RowFilter, passes
from akidb_ray.domain.query import Hit, VectorQuery
from akidb_ray.index.distance import score_of
from akidb_ray.segment.rows import flat_of, lengths_of
from akidb_ray.segment.search import search_segment
from akidb_ray.segment.view import SegmentView, StoredRow


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a document is stored."""

    segment: SegmentView
    row: int

    def stored(self) -> StoredRow:
        return self.segment.segment.row(self.row)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """All documents as of `sequence`, without those expired at `now` (seconds since 1970)."""

    segments: tuple[SegmentView, ...]
    sequence: int
    dimension: int
    metric: Metric
    now: float

    def at(self, now: float) -> "View":
        return replace(self, now=now)

    @property
    def documents(self) -> int:
        return sum(view.alive_count(self.now) for view in self.segments)

    @property
    def unindexed_rows(self) -> int:
        """Live rows that no graph holds."""
        return sum(view.live_count for view in self.segments if view.graph is None)

    def search(self, query: VectorQuery, visible: RowFilter) -> list[Hit]:
        """The best `query.limit` documents that pass, best first, ties by id.

        Of documents equally near at the limit, a segment offers those that it holds first.

        Raises InvalidArgument for a vector that does not fit the collection.
        """
        vector = self._query_vector(query.vector)
        candidates: list[tuple[float, str, SegmentView, int]] = []
        for segment in self.segments:
            allowed = segment.allowed((query.filter, visible.visible), self.now)
            rows, found = search_segment(
                segment, allowed, vector, self.metric, query.limit, query.ef, query.exact
            )
            candidates.extend(
                (distance, segment.segment.id(row), segment, row)
                for row, distance in zip(rows.tolist(), found.tolist(), strict=True)
            )
        candidates.sort(key=lambda candidate: candidate[:2])
        return [
            self._hit(distance, Place(segment, row), query)
            for distance, _, segment, row in candidates[: query.limit]
        ]

    def find(self, document_id: str) -> Place | None:
        for segment in self.segments:
            row = segment.find(document_id, self.now)
            if row >= 0:
                return Place(segment, row)
        return None

    def find_visible(self, ids: Sequence[str], visible: RowFilter) -> Iterator[Place]:
        """Places of the documents that are there and visible, in the order of `ids`."""
        for document_id in ids:
            place = self.find(document_id)
            if place is not None and (
                not visible.visible.must or passes(visible.visible, flat_of(place.stored().payload))
            ):
                yield place

    def get(
        self, ids: Sequence[str], visible: RowFilter, with_vector: bool
    ) -> list[StoredDocument]:
        """The documents with these ids that are there and visible, in the order of `ids`."""
        return [self._document(place, with_vector) for place in self.find_visible(ids, visible)]

    def count(self, filter: Filter, visible: RowFilter) -> int:
        """How many documents pass, exactly."""
        if not filter.must and not visible.visible.must:
            return self.documents
        return sum(
            int(np.count_nonzero(segment.allowed((filter, visible.visible), self.now)))
            for segment in self.segments
        )

    def matching(self, filter: Filter, visible: RowFilter) -> Iterator[Place]:
        """Places of all documents that pass."""
        for segment in self.segments:
            allowed = segment.allowed((filter, visible.visible), self.now)
            for row in np.flatnonzero(allowed).tolist():
                yield Place(segment, row)

    def matching_ids(self, filter: Filter, visible: RowFilter) -> Iterator[str]:
        """Ids of all documents that pass."""
        for place in self.matching(filter, visible):
            yield place.segment.segment.id(place.row)

    def _query_vector(self, vector: Vectors) -> Vectors:
        check_vectors(vector[None, :], self.dimension, self.metric)
        if self.metric is Metric.COSINE:
            return np.asarray(vector / lengths_of(vector[None, :])[0], np.float32)
        return vector.astype(np.float32)

    def _document(self, place: Place, with_vector: bool) -> StoredDocument:
        stored = place.stored()
        vector = _vector(place, stored) if with_vector else None
        return StoredDocument(
            stored.id, stored.version, vector, stored.text, stored.payload, stored.expires_at
        )

    def _hit(self, distance: float, place: Place, query: VectorQuery) -> Hit:
        stored = place.stored()
        return Hit(
            stored.id,
            score_of(self.metric, distance),
            stored.version,
            stored.payload if query.with_payload else None,
            stored.text if query.with_payload else None,
            _vector(place, stored) if query.with_vector else None,
        )


def _vector(place: Place, stored: StoredRow) -> Vectors:
    """The vector as it came in: cosine vectors get their length back."""
    vector: Vectors = place.segment.vectors[place.row] * np.float32(stored.length)
    return vector
