"""Requests that search a collection, and how their answers are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from akidb.document_operations import BASE64, Reading
from akidb.errors import AkiDBError, error_from_problem
from akidb.requests import Operation, check_arguments, given, json_request
from akidb.values import Facets, Groups, Results, facets_of, groups_of, results_of
from akidb.vectors import encode_vector

if TYPE_CHECKING:
    from akidb.vectors import Vector

Filter: TypeAlias = "Mapping[str, Any]"


class Fusion(TypedDict, total=False):
    """How the lists of vector and text become one. `k` damps the first ranks of `rrf`; `weights`
    are those of the vector's and of the text's list.
    """

    method: Literal["rrf", "weighted"]
    k: int
    weights: Mapping[str, float]


class GroupedQuery(TypedDict, total=False):
    """What is searched in groups: exactly one of `vector`, `text` and `id` (more like this
    document).

    `mode` says what `text` does: it is embedded (`vector`, the default), or its words are looked
    for (`keyword`). `ef` is the breadth of the graph search; `exact` compares with every document
    instead. Without `with_payload` hits come without payload and text. `min_version` is the version
    of a write that must be seen, or several with commas between them. A search that has not ended
    within `timeout_ms` fails, or, with `partial_results`, answers what it has and names the shards
    that are missing.
    """

    vector: Vector
    text: str
    id: str
    mode: Literal["vector", "keyword", "hybrid"]
    filter: Filter
    with_payload: bool
    with_vector: bool
    ef: int
    exact: bool
    min_version: str | None
    partial_results: bool
    timeout_ms: int


class SearchQuery(GroupedQuery, total=False):
    """What is searched.

    In the mode `hybrid` a `text` is both embedded, unless a `vector` comes with it, and looked for
    by its words, and the two lists are fused as `fusion` says. Without the first `offset` hits, the
    best `limit` (10) are answered, none worse than `score_threshold`. The rest is as in
    GroupedQuery.
    """

    fusion: Fusion
    limit: int
    offset: int
    score_threshold: float
    explain: bool


_PARAMS = ("ef", "exact")


def search(collection: str, query: SearchQuery) -> Operation[Results]:
    return Operation(json_request("POST", f"{collection}/search", search_body(query)), results_of)


def search_batch(
    collection: str, queries: Sequence[SearchQuery]
) -> Operation[list[Results | AkiDBError]]:
    if isinstance(queries, Mapping):
        raise TypeError("queries is a sequence of searches, not one search")
    body = {"searches": [search_body(query) for query in queries]}

    def parse(answer: Any) -> list[Results | AkiDBError]:
        return [_results_or_error(item) for item in answer["results"]]

    return Operation(json_request("POST", f"{collection}/search/batch", body), parse)


def search_groups(
    collection: str, key: str, limit: int, size: int, query: GroupedQuery
) -> Operation[Groups]:
    body = {**search_body(query), "key": key, "limit": limit, "size": size}
    return Operation(json_request("POST", f"{collection}/search/groups", body), groups_of)


def facets(
    collection: str, key: str, limit: int, filter: Filter | None, reading: Reading
) -> Operation[Facets]:
    body = {"key": key, "limit": limit, **given(filter=filter), **reading.body()}
    return Operation(json_request("POST", f"{collection}/facets", body), facets_of)


def search_body(query: GroupedQuery) -> dict[str, Any]:
    """The body of a search. Raises TypeError for an argument that there is not."""
    check_arguments("a search", query, SearchQuery.__annotations__)
    body: dict[str, Any] = given(**query)
    if "vector" in body:
        body["vector"] = encode_vector(body["vector"])
    params = {name: body.pop(name) for name in _PARAMS if name in body}
    if params:
        body["params"] = params
    if body.get("with_vector"):
        body["encoding_format"] = BASE64
    return body


def _results_or_error(item: Mapping[str, Any]) -> Results | AkiDBError:
    if "results" in item:
        return results_of(item)
    return error_from_problem(item, int(item["status"]))
