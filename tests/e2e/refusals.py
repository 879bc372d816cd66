"""What the data plane refuses, and how. See steps.py."""

from collections.abc import Sequence

from akidb_ray.domain import errors
from tests.e2e.steps import ASLEEP, FOUR, MODEL, ORIGIN, SMALL, Refused, Step, bad, film

REFUSALS: dict[str, Sequence[Step]] = {
    "what is not there is not found": (
        Step(
            "count",
            {},
            Refused(errors.NotFound, {"kind": "collection", "id": "none"}),
            collection="none",
        ),
        Step(
            "count", {}, Refused(errors.NotFound, {"kind": "tenant", "id": "none"}), tenant="none"
        ),
        Step(
            "search", {"id": "none"}, Refused(errors.NotFound, {"kind": "document", "id": "none"})
        ),
    ),
    "strangers learn nothing": (
        Step("count", {}, Refused(errors.Unauthenticated), key="wrong"),
        Step("count", {}, Refused(errors.Unauthenticated), key="wrong", collection="none"),
        Step("scroll", {}, Refused(errors.Unauthenticated), key="wrong"),
        Step(
            "upsert_stream",
            {"batches": [{"documents": [film(1)]}]},
            Refused(errors.Unauthenticated),
            key="wrong",
        ),
    ),
    "a suspended tenant is asleep": (
        Step("count", {}, Refused(errors.InvalidState, {"kind": "tenant"}), tenant=ASLEEP),
        Step("upsert", FOUR.request, Refused(errors.InvalidState), tenant=ASLEEP),
    ),
    "a full collection takes no more": (
        Step("upsert", {"documents": [film(1), film(2)]}, {"acknowledged": 2}, collection=SMALL),
        Step(
            "upsert",
            {"documents": [film(3)]},
            Refused(errors.QuotaExceeded, {"quota": "max_doc_count", "limit": 2, "used": 2}),
            collection=SMALL,
        ),
    ),
    "too many at once are refused": (
        Step(
            "get",
            {"ids": [f"i{n}" for n in range(10_001)]},
            Refused(errors.TooLarge, {"field": "ids"}),
        ),
        Step(
            "batch_search",
            {"searches": [{"id": "a", "limit": 1}] * 1_001},
            Refused(errors.TooLarge, {"field": "searches", "limit": 1_000}),
        ),
        Step("embed", {"model": MODEL, "texts": ["a"] * 2_049}, Refused(errors.TooLarge)),
    ),
    "bad documents are named": (
        Step("upsert", {"documents": []}, bad("documents")),
        Step("upsert", {"documents": [film(1), film(2, id="")]}, bad("documents[1].id", 1)),
        Step("upsert", {"documents": [film(1, vector=[1.0])]}, bad("documents[0].vector", 0)),
        Step(
            "upsert",
            {"documents": [film(1), film(2, vector=[1.0])]},
            bad("documents[1].vector", 1),
        ),
        Step("upsert", {"documents": [film(1), {"id": "t"}]}, bad("documents[1]", 1)),
        Step(
            "upsert",
            {"documents": [film(1), {"id": "t", "text": "x"}]},
            bad("documents[1].vector", 1),
        ),
        Step(
            "upsert",
            {"documents": [film(1, expires_at=-1.0)]},
            bad("documents[0].expires_at", 0),
        ),
        Step("upsert", {"documents": [film(1)], "only_if": {"shuld": []}}, bad("only_if.shuld")),
        Step("upsert", {"documents": [film(1)], "if_versions": {"b": 1}}, bad("if_versions.b")),
        Step("count", {}, {"count": 0}),
    ),
    "bad selections are named": (
        Step("delete", {}, bad("ids")),
        Step("delete", {"ids": ["a"], "filter": {"a": 1}}, bad("ids")),
        Step("delete", {"filter": {}}, bad("filter")),
        Step("delete", {"filter": {"a": 1}, "if_versions": {"a": 1}}, bad("if_versions")),
        Step("patch", {"ids": ["a"]}, bad("set")),
        Step("patch", {"ids": ["a"], "set": {"a": 1}, "unset": ["a"]}, bad("unset")),
        Step("patch", {"ids": ["a"], "expires_at": -1.0}, bad("expires_at")),
        Step("get", {"ids": []}, bad("ids")),
        Step("get", {"ids": [""]}, bad("ids[0]")),
        Step("get", {"ids": ["a"], "min_version": "x"}, bad("min_version")),
        Step("scroll", {"limit": 0}, bad("limit")),
        Step("scroll", {"cursor": "#"}, bad("cursor")),
        Step("count", {"filter": {"must": [{"key": "a", "rang": {}}]}}, bad("filter.must[0].rang")),
    ),
    "bad searches are named": (
        Step("search", {}, bad("vector")),
        Step("search", {"vector": ORIGIN, "text": "x"}, bad("vector")),
        Step("search", {"vector": ORIGIN, "limit": 0}, bad("limit")),
        Step("search", {"vector": ORIGIN, "offset": -1}, bad("offset")),
        Step("search", {"vector": ORIGIN, "offset": 10_000}, bad("offset")),
        Step("search", {"vector": ORIGIN, "params": {"ef": 0}}, bad("params.ef")),
        Step("search", {"vector": ORIGIN, "mode": "keyword"}, bad("text")),
        Step("search", {"vector": [1.0]}, bad("vector")),
        Step("search", {"text": "x", "mode": "hybrid", "fusion": {"k": 0}}, bad("fusion.k")),
        Step("search_groups", {"vector": ORIGIN, "key": ""}, bad("key")),
        Step("search_groups", {"vector": ORIGIN, "key": "a", "size": 0}, bad("size")),
        Step(
            "search_groups",
            {"vector": ORIGIN, "text": "a", "mode": "hybrid", "key": "a"},
            bad("mode"),
        ),
        Step("facets", {"key": "a", "limit": 0}, bad("limit")),
        Step("facets", {"key": ""}, bad("key")),
    ),
}
