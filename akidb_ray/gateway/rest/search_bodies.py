"""Shapes of requests that search, group and count values."""

from typing import Annotated, Any

from pydantic import ConfigDict, FailFast, Field, JsonValue

from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.query import Fusion, FusionMethod
from akidb_ray.gateway.rest.bodies import Body, Number, WholeNumber, YesNo
from akidb_ray.gateway.rest.document_bodies import WITH_PAYLOAD, ReadFields, filter_field
from akidb_ray.gateway.rest.vectors import Vector
from akidb_ray.service.search_request import SearchMode, SearchRequest

_VECTOR_EXAMPLE: list[JsonValue] = [0.1, 0.2]


class SearchParams(Body):
    ef: WholeNumber | None = Field(
        default=None,
        description="Breadth of the graph search, 1 to 10,000. Left out: 64, and as much more as "
        "the number of results needs.",
    )
    exact: YesNo = Field(default=False, description="Compare with every document that passes.")


class FusionWeights(Body):
    vector: Number | None = None
    text: Number | None = None


class FusionBody(Body):
    method: FusionMethod = Field(
        default=FusionMethod.RRF, description="By reciprocal rank, or by weighted scores of 0 to 1."
    )
    k: WholeNumber = Field(default=60, description="Damps the first ranks of `rrf`.")
    weights: FusionWeights = Field(
        default_factory=FusionWeights,
        description="Left out: 1 and 1 for `rrf`, 0.6 and 0.4 for `weighted`.",
    )

    def fusion(self) -> Fusion:
        return Fusion(self.method, self.k, self.weights.vector, self.weights.text)


# What most searches leave out, made once.
_NO_PARAMS = SearchParams()
_NO_FUSION = FusionBody()


class WhatToFind(ReadFields):
    """Exactly one of `vector`, `text` and `id`; in mode `hybrid` a `text`, and a `vector` or not:
    then the text is embedded.
    """

    vector: Vector | None = None
    text: str | None = Field(None, examples=["a heist that goes wrong"])
    id: str | None = Field(
        None, description="More like this document, which is not in the answer itself."
    )
    mode: SearchMode = Field(
        SearchMode.VECTOR,
        description="What `text` does: it is embedded, its words are looked for (BM25; those "
        "between double quotes must stand one behind the other), or both.",
    )
    filter: dict[str, Any] | None = filter_field()
    with_payload: YesNo = Field(True, description=WITH_PAYLOAD)
    params: SearchParams = Field(default_factory=lambda: _NO_PARAMS)
    partial_results: YesNo = Field(
        False,
        description="Leave out shards that do not answer, and name them in `missing_shards`.",
    )
    timeout_ms: WholeNumber | None = Field(
        None, description="1 to 600,000: then 503, or with `partial_results` what there is."
    )


class SearchFields(WhatToFind):
    fusion: FusionBody = Field(
        default_factory=lambda: _NO_FUSION, description="How mode `hybrid` makes one list of two."
    )
    limit: WholeNumber = Field(10, description="1 to 10,000.")
    offset: WholeNumber = Field(0, description="How many of the best to leave out.")
    score_threshold: Number | None = Field(
        None, description="Leave out what scores worse: below it, above it where smaller is better."
    )
    explain: YesNo = Field(False, description="Say how each segment of each shard was searched.")

    def request(self) -> SearchRequest:
        """Raises InvalidArgument for a filter that is none."""
        return SearchRequest(
            vector=self.vector,
            text=self.text,
            id=self.id,
            mode=self.mode,
            fusion=self.fusion.fusion(),
            filter=parse_filter(self.filter),
            limit=self.limit,
            offset=self.offset,
            score_threshold=self.score_threshold,
            with_payload=self.with_payload,
            with_vector=self.with_vector,
            ef=self.params.ef,
            exact=self.params.exact,
            explain=self.explain,
            min_version=self.min_version,
            partial_results=self.partial_results,
            timeout_ms=self.timeout_ms,
        )


class SearchBody(SearchFields):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": "a heist that goes wrong", "limit": 5},
                {
                    "text": "a heist that goes wrong",
                    "mode": "hybrid",
                    "fusion": {"method": "weighted", "weights": {"vector": 0.7, "text": 0.3}},
                },
                {
                    "vector": _VECTOR_EXAMPLE,
                    "limit": 10,
                    "filter": {
                        "must": [
                            {"key": "year", "range": {"gte": 1990, "lt": 2000}},
                            {"key": "genres", "match": {"any": ["drama"]}},
                        ]
                    },
                },
                {"id": "tt1", "limit": 5, "filter": {"genres": "drama"}},
            ]
        },
    )


class BatchBody(Body):
    """Searches that are carried out together, each as if it came by itself."""

    searches: Annotated[list[SearchBody], FailFast()] = Field(
        examples=[[{"vector": _VECTOR_EXAMPLE, "limit": 5}, {"text": "rain", "mode": "keyword"}]]
    )


class GroupsBody(WhatToFind):
    """The best groups by their best document. Mode `hybrid` is not taken."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"text": "a heist that goes wrong", "key": "director", "limit": 5}]
        },
    )

    key: str = Field(
        description="Path into the payload. A document with an array there is in the group of each "
        "of its elements, one without a value in none.",
        examples=["director"],
    )
    limit: WholeNumber = Field(10, description="How many groups, 1 to 1,000.")
    size: WholeNumber = Field(3, description="How many documents of each, 1 to 100.")

    def request(self) -> SearchRequest:
        """What is searched. Raises InvalidArgument for a filter that is none."""
        return SearchRequest(
            vector=self.vector,
            text=self.text,
            id=self.id,
            mode=self.mode,
            filter=parse_filter(self.filter),
            with_payload=self.with_payload,
            with_vector=self.with_vector,
            ef=self.params.ef,
            exact=self.params.exact,
            min_version=self.min_version,
            partial_results=self.partial_results,
            timeout_ms=self.timeout_ms,
        )


class FacetsBody(Body):
    """The most frequent values at a path among the documents that pass."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"key": "genres", "filter": {"year": {"$gte": 1990}}}]},
    )

    key: str = Field(description="Path into the payload.", examples=["genres"])
    limit: WholeNumber = Field(10, description="1 to 10,000.")
    filter: dict[str, Any] | None = filter_field()
    min_version: str | None = None
    timeout_ms: WholeNumber | None = Field(None, description="1 to 600,000: then 503.")
