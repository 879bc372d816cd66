"""Views: the immutable snapshot of a shard that one search, get or count runs on.

A view never changes, so readers hold no lock and see no write half done. The writer publishes a new
view after each group of writes; old ones live as long as somebody reads them. A view has a time of
its own, so that a document cannot expire in the middle of a request.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import StoredDocument, Vectors, check_vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Filter, RowFilter
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.fusion import fuse
from akidb_ray.domain.query import (
    Explanation,
    Hit,
    HybridQuery,
    Query,
    RangeQuery,
    TextQuery,
    TextStatistics,
    VectorQuery,
)
from akidb_ray.domain.query_rules import check_query, legs_of
from akidb_ray.index.distance import score_of
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.mask_cache import filter_key
from akidb_ray.segment.rows import flat_of
from akidb_ray.segment.search import Wanted
from akidb_ray.segment.view import SegmentView, StoredRow
from akidb_ray.shard.batch_search import Asked, search_many_vectors
from akidb_ray.shard.explaining import Trace
from akidb_ray.shard.fetching import hits_of, original_vector
from akidb_ray.shard.slots import SEARCHES
from akidb_ray.shard.text_search import search_text, text_statistics
from akidb_ray.shard.vector_search import Candidate, search_vectors


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a document is stored."""

    segment: SegmentView
    row: int

    def stored(self) -> StoredRow:
        return self.segment.segment.row(self.row)


# Squared lengths between these are computed well in float32.
_SHORT, _LONG = 1e-20, 1e36


class Scored(NamedTuple):
    """A document in a list that is to be fused."""

    id: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """All documents as of `sequence`, without those expired at `now` (seconds since 1970)."""

    segments: tuple[SegmentView, ...]
    sequence: int
    spec: CollectionSpec
    now: float

    def at(self, now: float) -> "View":
        return View(self.segments, self.sequence, self.spec, now)

    @property
    def metric(self) -> Metric:
        return self.spec.metric

    @property
    def dimension(self) -> int:
        return self.spec.dimension

    @property
    def documents(self) -> int:
        return sum(view.alive_count(self.now) for view in self.segments)

    @property
    def unindexed_rows(self) -> int:
        """Live rows that no graph holds."""
        return sum(view.live_count for view in self.segments if view.graph is None)

    def search(self, query: Query, visible: RowFilter) -> list[Hit]:
        """The best documents that pass, best first, ties by id.

        Raises InvalidArgument that names what is wrong with the query.
        """
        return self._answer(query, visible, Trace())

    def explained(self, query: Query, visible: RowFilter) -> tuple[list[Hit], Explanation]:
        """The same, with how it was found."""
        trace = Trace()
        return self._answer(query, visible, trace), trace.explanation()

    def _answer(self, query: Query, visible: RowFilter, trace: Trace) -> list[Hit]:
        check_query(query)
        with SEARCHES:
            if isinstance(query, HybridQuery):
                return self._hybrid(query, visible, trace)
            deep = replace(query, limit=query.offset + query.limit) if query.offset else query
            hits = self.hits(self._shown(self._ranked(deep, visible, trace), query), query)
            trace.step("fetch")
            return hits

    def search_many(
        self, queries: Sequence[VectorQuery], visible: RowFilter, threads: int
    ) -> list[list[Hit]]:
        """The answer to each query, in their order; those that are alike are searched in one pass,
        by so many threads.
        """
        for query in queries:
            check_query(query)
        vectors = [self._query_vector(query.vector) for query in queries]
        keys = [filter_key(query.filter) for query in queries]
        with SEARCHES:
            masks = {key: self._masks(key[0], visible) for key in dict.fromkeys(keys)}
            asked = [
                Asked(self._wanted(query, vector, query.offset), masks[key])
                for query, vector, key in zip(queries, vectors, keys, strict=True)
            ]
            found = search_many_vectors(self.segments, asked, threads)
            return [
                self.hits(self._shown(ranked, query), query)
                for query, ranked in zip(queries, found, strict=True)
            ]

    def ranked(self, query: VectorQuery | TextQuery, visible: RowFilter) -> list[Candidate]:
        """The best `query.limit` documents, best first, ties by id; its offset and threshold are
        not looked at.
        """
        with SEARCHES:
            return self._ranked(query, visible, Trace())

    def _ranked(
        self, query: VectorQuery | TextQuery, visible: RowFilter, trace: Trace
    ) -> list[Candidate]:
        masks = self._masks(query.filter, visible)
        trace.step("filter")
        if isinstance(query, TextQuery):
            found = self._by_text(query, masks)
            trace.step("text")
            return found
        wanted = self._wanted(query, self._query_vector(query.vector))
        found = search_vectors(self.segments, masks, wanted, trace)
        trace.step("vector")
        return found

    def _masks(self, filter: Filter, visible: RowFilter) -> list[RowMask]:
        filters = (filter, visible.visible)
        return [segment.allowed(filters, self.now) for segment in self.segments]

    def _wanted(self, query: VectorQuery, vector: Vectors, offset: int = 0) -> Wanted:
        return Wanted(vector, self.metric, offset + query.limit, query.ef, query.exact)

    def _shown(
        self, ranked: Sequence[Candidate], query: VectorQuery | TextQuery
    ) -> Sequence[Candidate]:
        """What offset and threshold leave of documents that are best first."""
        shown, least = ranked[query.offset :], query.score_threshold
        if least is None:
            return shown
        sign = 1 if isinstance(query, TextQuery) or self.metric.larger_is_better else -1
        scores = self._scores(shown, query)
        return [c for c, score in zip(shown, scores, strict=True) if sign * (score - least) >= 0]

    def _scored(self, ranked: Sequence[Candidate], query: VectorQuery | TextQuery) -> list[Scored]:
        return [Scored(c.id, s) for c, s in zip(ranked, self._scores(ranked, query), strict=True)]

    def _scores(self, found: Sequence[Candidate], query: Query | RangeQuery) -> list[float]:
        if not isinstance(query, TextQuery) and self.spec.metric is Metric.L2:
            return [score_of(Metric.L2, candidate.order) for candidate in found]
        # Where larger is better, the order is the negated score.
        return [-candidate.order for candidate in found]

    def _by_text(self, query: TextQuery, masks: Sequence[RowMask]) -> list[Candidate]:
        found = search_text(
            self.segments,
            masks,
            self.now,
            self.spec.language,
            query.text,
            query.limit,
            query.statistics,
        )
        return [Candidate(*candidate) for candidate in found]

    def text_statistics(self, text: str) -> TextStatistics:
        """Of the terms of the text, over all documents. Raises InvalidArgument for too many."""
        with SEARCHES:
            return text_statistics(self.segments, self.now, self.spec.language, text)

    def _hybrid(self, query: HybridQuery, visible: RowFilter, trace: Trace) -> list[Hit]:
        vector_leg, text_leg = legs_of(query)
        by_vector = self._ranked(vector_leg, visible, trace)
        by_text = self._ranked(text_leg, visible, trace)
        places = {found.id: found for found in (*by_vector, *by_text)}
        lists = (self._scored(by_vector, vector_leg), self._scored(by_text, text_leg))
        fused = fuse(*lists, query.fusion, self.metric)
        trace.step("fuse")
        least = -math.inf if query.score_threshold is None else query.score_threshold
        shown = fused[query.offset : query.offset + query.limit]
        best = [(places[id], score) for id, score in shown if score >= least]
        hits = hits_of([found for found, _ in best], [score for _, score in best], query)
        trace.step("fetch")
        return hits

    def hits(self, candidates: Sequence[Candidate], query: Query | RangeQuery) -> list[Hit]:
        """What a query asks for of the documents that it found."""
        return hits_of(candidates, self._scores(candidates, query), query)

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
            if place is not None and self._may_be_seen(place, visible):
                yield place

    def _may_be_seen(self, place: Place, visible: RowFilter) -> bool:
        if visible.visible.is_everything:
            return True
        stored = place.stored()
        return passes(visible.visible, flat_of(stored.payload), stored.id)

    def get(
        self, ids: Sequence[str], visible: RowFilter, with_vector: bool
    ) -> list[StoredDocument]:
        """The documents with these ids that are there and visible, in the order of `ids`."""
        return [self._document(place, with_vector) for place in self.find_visible(ids, visible)]

    def count(self, filter: Filter, visible: RowFilter) -> int:
        """How many documents pass, exactly."""
        if filter.is_everything and visible.visible.is_everything:
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
        squares = 0.0
        if vector.shape == (self.dimension,) and vector.dtype == np.float32:
            with np.errstate(over="ignore", invalid="ignore"):
                squares = float(vector.dot(vector))
        if not _SHORT < squares < _LONG:
            # It may be wrong, or so short or long that rounding counts.
            if vector.ndim != 1:
                raise InvalidArgument("vector", f"must be one vector, has shape {vector.shape}")
            with np.errstate(over="ignore"):
                vector = vector.astype(np.float32)
            check_vectors(vector[None, :], self.dimension, self.metric)
            squares = float(np.vecdot(vector, vector, dtype=np.float64))
        if self.metric is Metric.COSINE:
            return np.divide(vector, math.sqrt(squares), dtype=np.float32)
        return vector.astype(np.float32)

    def _document(self, place: Place, with_vector: bool) -> StoredDocument:
        stored = place.stored()
        vector = original_vector(place.segment, place.row) if with_vector else None
        return StoredDocument(
            stored.id, stored.version, vector, stored.text, stored.payload, stored.expires_at
        )
