"""Views: the immutable snapshot of a shard that one search, get or count runs on.

A view never changes, so readers hold no lock and see no write half done. The writer publishes a new
view after each group of writes; old ones live as long as somebody reads them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import StoredDocument, Vectors, check_vectors
from akidb_ray.domain.filter import Filter, RowFilter, passes
from akidb_ray.domain.query import Hit, VectorQuery
from akidb_ray.index.distance import score_of
from akidb_ray.segment.rows import flat_of, lengths_of
from akidb_ray.segment.search import search_segment
from akidb_ray.segment.view import SegmentView


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """All documents as of `sequence`."""

    segments: tuple[SegmentView, ...]
    sequence: int
    dimension: int
    metric: Metric

    @property
    def documents(self) -> int:
        return sum(view.live_count for view in self.segments)

    def search(self, query: VectorQuery, visible: RowFilter) -> list[Hit]:
        """The best `query.limit` documents that pass, best first, ties by id.

        Of documents equally near at the limit, a segment offers those that it holds first.

        Raises InvalidArgument for a vector that does not fit the collection.
        """
        vector = self._query_vector(query.vector)
        candidates: list[tuple[float, str, SegmentView, int]] = []
        for segment in self.segments:
            allowed = segment.allowed((query.filter, visible.visible))
            rows, found = search_segment(
                segment, allowed, vector, self.metric, query.limit, query.ef, query.exact
            )
            candidates.extend(
                (distance, segment.segment.id(row), segment, row)
                for row, distance in zip(rows.tolist(), found.tolist(), strict=True)
            )
        candidates.sort(key=lambda candidate: candidate[:2])
        return [
            self._hit(distance, segment, row, query)
            for distance, _, segment, row in candidates[: query.limit]
        ]

    def get(
        self, ids: Sequence[str], visible: RowFilter, with_vector: bool
    ) -> list[StoredDocument]:
        """The documents with these ids that are there and visible, in the order of `ids`."""
        found = []
        for document_id in ids:
            for segment in self.segments:
                row = segment.find(document_id)
                if row >= 0:
                    stored = segment.segment.row(row)
                    if not visible.visible.must or passes(visible.visible, flat_of(stored.payload)):
                        vector = self._vector(segment, row) if with_vector else None
                        found.append(
                            StoredDocument(
                                stored.id, stored.version, vector, stored.text, stored.payload
                            )
                        )
                    break
        return found

    def count(self, filter: Filter, visible: RowFilter) -> int:
        """How many documents pass, exactly."""
        if not filter.must and not visible.visible.must:
            return self.documents
        return sum(
            int(np.count_nonzero(segment.allowed((filter, visible.visible))))
            for segment in self.segments
        )

    def matching_ids(self, filter: Filter, visible: RowFilter) -> Iterator[str]:
        """Ids of all documents that pass."""
        for segment in self.segments:
            for row in np.flatnonzero(segment.allowed((filter, visible.visible))).tolist():
                yield segment.segment.id(row)

    def _query_vector(self, vector: Vectors) -> Vectors:
        check_vectors(vector[None, :], self.dimension, self.metric)
        if self.metric is Metric.COSINE:
            return np.asarray(vector / lengths_of(vector[None, :])[0], np.float32)
        return vector.astype(np.float32)

    def _vector(self, segment: SegmentView, row: int) -> Vectors:
        """The vector as it came in: cosine vectors get their length back."""
        length = np.float32(segment.segment.row(row).length)
        vector: Vectors = segment.vectors[row] * length
        return vector

    def _hit(self, distance: float, segment: SegmentView, row: int, query: VectorQuery) -> Hit:
        stored = segment.segment.row(row)
        return Hit(
            stored.id,
            score_of(self.metric, distance),
            stored.version,
            stored.payload if query.with_payload else None,
            stored.text if query.with_payload else None,
            self._vector(segment, row) if query.with_vector else None,
        )
