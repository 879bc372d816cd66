"""One search of a collection, as far as it has got: what it has to ask the shards next, and what
their answers make of it. It does no I/O; `service/search.py` carries the steps out.

A shard is asked for as many documents as are wanted of the whole collection, and the lists are
merged. Fusion looks at ranks and at the best and worst scores of lists, so a hybrid search asks the
shards for its two lists, merges each over all shards, and fuses the merged ones. A collection of
one shard does all that in its shard.

Words are scored by the statistics of the whole collection: how many documents it has, how many with
a word, how long these are. So where there are several shards, each is asked for its own first, and
the search takes their sums along. Texts are embedded meanwhile. (Elasticsearch has it as
`dfs_query_then_fetch`.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.document import StoredDocument, Vectors, check_vector
from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.explaining import merge_explanations
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.fusion import fuse
from akidb_ray.domain.query import (
    Explanation,
    Hit,
    HybridQuery,
    Query,
    ShardGet,
    ShardHits,
    ShardSearch,
    ShardTextStatistics,
    ShardVector,
    TextQuery,
    TextStatistics,
    VectorQuery,
)
from akidb_ray.domain.query_rules import legs_of
from akidb_ray.domain.ranking import merge_ranked
from akidb_ray.service.fan_out import least_of, present, shard_key
from akidb_ray.service.incoming import as_vector
from akidb_ray.service.search_request import (
    SearchAnswer,
    SearchMode,
    SearchRequest,
    check_request,
)
from akidb_ray.service.split_writes import rows_by_shard

# From so many documents on, in all lists together, shards are asked for contents only of those
# that are among the best of the whole collection. That takes one more call to each host.
_CONTENTS_AT_ONCE = 256


@dataclass(eq=False, slots=True)
class OneSearch:
    """`vector` is what documents are compared with, float32 (dimension,), once that is known.

    `statistics` are those of the words of a text, where several shards look for them. `missing` are
    the numbers of shards that did not answer; they are asked no more.
    """

    place: CollectionPlace
    visible: RowFilter
    request: SearchRequest
    least: Mapping[int, int]
    vector: Vectors | None = None
    statistics: TextStatistics | None = None
    hits: list[Hit] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    explanations: dict[int, Explanation] = field(default_factory=dict)

    @classmethod
    def of(cls, place: CollectionPlace, visible: RowFilter, request: SearchRequest) -> "OneSearch":
        """Raises InvalidArgument that names what is wrong with the request."""
        check_request(request)
        spec = place.collection.spec
        search = cls(place, visible, request, least_of(place, request.min_version))
        if request.vector is not None:
            search.vector = as_vector(request.vector, spec.dimension, "vector")
            check_vector(search.vector, spec.dimension, spec.metric)
        elif request.asks_embedder and spec.embedding_model is None:
            reason = "needs a collection with an embedding_model; this one takes a vector"
            raise InvalidArgument("text", reason)
        return search

    @property
    def numbers(self) -> list[int]:
        """Those of the shards that are asked."""
        return [p.number for p in self.place.placements if p.number not in self.missing]

    @property
    def needs_vector(self) -> bool:
        return self.vector is None and self.request.mode is not SearchMode.KEYWORD

    @property
    def text_to_embed(self) -> str | None:
        return self.request.text if self.request.asks_embedder else None

    def vector_read(self) -> ShardVector | None:
        """For a search for more like a document: asks its shard for its vector."""
        if self.request.id is None:
            return None
        (number,) = rows_by_shard(self.place, [self.request.id])
        least = self.least.get(number, 0)
        return ShardVector(shard_key(self.place, number), self.request.id, self.visible, least)

    @property
    def needs_statistics(self) -> bool:
        return self.request.mode is not SearchMode.VECTOR and not self._is_whole

    @property
    def needs_contents(self) -> bool:
        """Whether there is something to ask the shards of the hits for."""
        wants = self.request.with_payload or self.request.with_vector
        return wants and not self._has_contents

    def statistics_reads(self) -> list[ShardTextStatistics]:
        assert self.request.text is not None
        return [
            ShardTextStatistics(
                shard_key(self.place, number),
                self.request.text,
                self.visible,
                self.least.get(number, 0),
            )
            for number in self.numbers
        ]

    def take_statistics(self, answers: Sequence[TextStatistics | AkiDBError]) -> None:
        """The answers to `statistics_reads`. Raises as `take`."""
        found, missing = present(self.numbers, answers, self.request.partial_results)
        self.missing.update(missing)
        self.statistics = sum(found.values(), TextStatistics())

    def reads(self) -> list[ShardSearch]:
        """What each shard is asked; those of one shard stand one behind the other."""
        queries = self._queries()
        return [
            ShardSearch(
                shard_key(self.place, number), query, self.visible, self.least.get(number, 0)
            )
            for number in self.numbers
            for query in queries
        ]

    def take(self, answers: Sequence[ShardHits | AkiDBError]) -> None:
        """The answers to `reads`. Raises the error of a shard that must not be missing."""
        numbers = self.numbers
        asked = len(answers) // len(numbers)
        of_shards = [
            _all_of(answers[start : start + asked]) for start in range(0, len(answers), asked)
        ]
        found, missing = present(numbers, of_shards, self.request.partial_results)
        self.missing.update(missing)
        if self.request.explain:
            self.explanations = {
                number: merge_explanations([p.explanation for p in parts if p.explanation])
                for number, parts in found.items()
            }
        if self._is_whole:
            # One shard, if it is there, has done all of it.
            self.hits = [hit for parts in found.values() for hit in parts[0].hits]
        else:
            self.hits = self._chosen([[p.hits for p in parts] for parts in found.values()])

    def content_reads(self) -> list[ShardGet]:
        """For what is shown of the hits, while `needs_contents`.

        A document may have changed since it was found. It is shown as it is now, if it still
        passes.
        """
        ids = [hit.id for hit in self.hits]
        allowed = RowFilter(self.visible.visible & self.request.filter)
        with_vector = self.request.with_vector
        return [
            ShardGet(
                shard_key(self.place, number),
                [ids[row] for row in rows],
                allowed,
                with_vector,
                self.least.get(number, 0),
            )
            for number, rows in rows_by_shard(self.place, ids).items()
        ]

    def take_contents(
        self, gets: Sequence[ShardGet], answers: Sequence[list[StoredDocument] | AkiDBError]
    ) -> None:
        """The answers to `content_reads`, which were `gets`. Raises as `take`."""
        numbers = [get.shard.number for get in gets]
        found, missing = present(numbers, answers, self.request.partial_results)
        self.missing.update(missing)
        documents = {document.id: document for part in found.values() for document in part}
        with_payload = self.request.with_payload
        self.hits = [
            _shown(hit, documents[hit.id], with_payload) for hit in self.hits if hit.id in documents
        ]

    def answer(self) -> SearchAnswer:
        explanation = tuple(sorted(self.explanations.items())) if self.request.explain else None
        return SearchAnswer(self.hits, tuple(sorted(self.missing)), explanation)

    @property
    def _is_whole(self) -> bool:
        """Whether a shard can do all of it alone."""
        return len(self.place.placements) == 1 and self.request.id is None

    @property
    def _has_contents(self) -> bool:
        if self._is_whole:
            return True
        in_all = self.request.depth * len(self.place.placements)
        return self.request.mode is not SearchMode.HYBRID and in_all <= _CONTENTS_AT_ONCE

    def _queries(self) -> list[Query]:
        """What every shard is asked."""
        if self._is_whole:
            return [self._query()]
        request, query = self.request, self._query()
        if isinstance(query, HybridQuery):
            explain = request.explain
            by_vector, by_text = legs_of(query)
            return [
                replace(by_vector, with_payload=False, explain=explain),
                replace(by_text, with_payload=False, explain=explain, statistics=self.statistics),
            ]
        contents = self._has_contents
        return [
            replace(
                query,
                # The document itself is found, too.
                limit=request.depth + (request.id is not None),
                offset=0,
                with_payload=contents and request.with_payload,
                with_vector=contents and request.with_vector,
            )
        ]

    def _query(self) -> Query:
        """The search as one shard that has everything would carry it out."""
        request = self.request
        of_all: dict[str, Any] = {
            "limit": request.limit,
            "offset": request.offset,
            "filter": request.filter,
            "score_threshold": request.score_threshold,
            "with_payload": request.with_payload,
            "with_vector": request.with_vector,
            "explain": request.explain,
        }
        if request.mode is SearchMode.KEYWORD:
            assert request.text is not None
            return TextQuery(request.text, statistics=self.statistics, **of_all)
        of_all |= {"ef": request.breadth, "exact": request.exact}
        assert self.vector is not None
        if request.mode is SearchMode.VECTOR:
            return VectorQuery(self.vector, **of_all)
        assert request.text is not None
        return HybridQuery(self.vector, request.text, request.fusion, **of_all)

    def _chosen(self, lists: Sequence[Sequence[Sequence[Hit]]]) -> list[Hit]:
        """What is wanted of the lists of each shard, two each for a hybrid search."""
        request, query = self.request, self._query()
        metric = self.place.collection.spec.metric
        if isinstance(query, HybridQuery):
            legs = legs_of(query)
            by_vector = merge_ranked(
                (own[0] for own in lists), metric.larger_is_better, legs[0].limit
            )
            by_text = merge_ranked((own[1] for own in lists), True, legs[1].limit)
            hits = {hit.id: hit for hit in (*by_vector, *by_text)}
            fused = fuse(by_vector, by_text, request.fusion, metric)
            least = request.score_threshold
            return [
                msgspec.structs.replace(hits[id], score=score)
                for id, score in fused[request.offset : request.depth]
                if least is None or score >= least
            ]
        larger = isinstance(query, TextQuery) or metric.larger_is_better
        merged = merge_ranked((own[0] for own in lists), larger, request.depth + 1)
        others = [hit for hit in merged if hit.id != request.id]
        return others[request.offset : request.depth]


def _all_of(answers: Sequence[ShardHits | AkiDBError]) -> list[ShardHits] | AkiDBError:
    """The answers of one shard, or the first error among them."""
    found = []
    for answer in answers:
        if isinstance(answer, AkiDBError):
            return answer
        found.append(answer)
    return found


def _shown(hit: Hit, document: StoredDocument, with_payload: bool) -> Hit:
    return Hit(
        hit.id,
        hit.score,
        document.version,
        document.payload if with_payload else None,
        document.text if with_payload else None,
        document.vector,
    )
