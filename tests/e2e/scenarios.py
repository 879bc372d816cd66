"""What the data plane does, for all protocols. See steps.py."""

from collections.abc import Sequence

from akidb_ray.domain import errors
from tests.e2e.refusals import REFUSALS
from tests.e2e.steps import FOUR, MODEL, ORIGIN, TEXTS, Refused, Saved, Step, along, bad, film

WRITES: dict[str, Sequence[Step]] = {
    "documents come back as they were written": (
        Step(
            "upsert",
            {"documents": [film(1, text="Ein schöner Film", expires_at=4e9), film(2)]},
            {"acknowledged": 2, "skipped": 0},
            saves={"token": "version"},
        ),
        Step(
            "get",
            {"ids": ["f2", "none", "f1"], "with_vector": True, "min_version": Saved("token")},
            {
                "documents": [
                    film(2),
                    film(1, text="Ein schöner Film", expires_at=4e9),
                ]
            },
        ),
        Step("get", {"ids": ["none"]}, {"documents": []}),
    ),
    "whole numbers of 64 bits and nested values are kept": (
        Step(
            "upsert",
            {
                "documents": [
                    {**film(1), "payload": {"n": 2**62 + 1, "a": {"b": [None, True, 0.5]}}}
                ]
            },
            {"acknowledged": 1},
        ),
        Step(
            "get",
            {"ids": ["f1"]},
            {"documents": [{"payload": {"n": 2**62 + 1, "a": {"b": [None, True, 0.5]}}}]},
        ),
    ),
    "only new documents, or only those stored, are written": (
        FOUR,
        Step(
            "upsert",
            {"documents": [film(4), film(5)], "mode": "insert"},
            {"acknowledged": 1, "skipped": 1},
        ),
        Step(
            "upsert",
            {"documents": [film(5), film(6)], "mode": "update"},
            {"acknowledged": 1, "skipped": 1},
        ),
        Step("count", {}, {"count": 5}),
    ),
    "conditions hold writes back": (
        Step("upsert", {"documents": [film(1)], "if_versions": {"f1": 0}}, {"acknowledged": 1}),
        Step(
            "upsert",
            {"documents": [film(1)], "if_versions": {"f1": 0}},
            Refused(errors.PreconditionFailed),
        ),
        Step(
            "upsert",
            {"documents": [film(1)], "only_if": {"year": 1}, "durability": "buffered"},
            {"acknowledged": 0, "skipped": 1},
        ),
    ),
    "a key is carried out once": (
        FOUR,
        Step(
            "delete",
            {"filter": {"year": {"$lte": 1992}}, "idempotency_key": "once"},
            {"deleted": 2},
        ),
        Step(
            "delete",
            {"filter": {"year": {"$lte": 1992}}, "idempotency_key": "once"},
            {"deleted": 2},
        ),
        Step(
            "delete",
            {"ids": ["f3"], "idempotency_key": "x" * 256},
            bad("idempotency_key"),
        ),
    ),
    "payloads are patched by ids and by filter": (
        FOUR,
        Step(
            "patch",
            {"ids": ["f1", "none"], "set": {"a.b": 1}, "unset": ["genres"]},
            {"patched": 1, "skipped": 1},
        ),
        Step("get", {"ids": ["f1"]}, {"documents": [{"payload": {"year": 1991, "a": {"b": 1}}}]}),
        Step(
            "patch",
            {"filter": {"year": {"$gte": 1993}}, "set": {"new": True}, "replace": True},
            {"patched": 2},
        ),
        Step("count", {"filter": {"new": True}}, {"count": 2}),
        Step("patch", {"ids": ["f2"], "expires_at": 1.0}, {"patched": 1}),
        Step("count", {}, {"count": 3}),
    ),
    "documents are deleted by ids and by filter": (
        FOUR,
        Step("delete", {"ids": ["f1", "none"]}, {"deleted": 1, "skipped": 1}),
        Step("delete", {"filter": {"genres": "g0"}}, {"deleted": 2}),
        Step("count", {}, {"count": 1}),
    ),
    "many batches are written one behind the other": (
        Step(
            "upsert_stream",
            {"batches": [{"documents": [film(1), film(2)]}, {"documents": [film(2), film(3)]}]},
            {"acknowledged": 4, "skipped": 0},
            saves={"token": "version"},
        ),
        Step("count", {"min_version": Saved("token")}, {"count": 3}),
    ),
    "texts are embedded, and found by meaning and by words": (
        Step(
            "upsert",
            {"documents": [{"id": "r", "text": "rain and wind"}, {"id": "s", "text": "snow"}]},
            {"acknowledged": 2},
            collection=TEXTS,
        ),
        Step(
            "search",
            {"text": "rain and wind", "limit": 1},
            {"results": [{"id": "r", "score": 1.0, "text": "rain and wind"}]},
            collection=TEXTS,
        ),
        Step(
            "search",
            {"text": "snow", "mode": "keyword"},
            {"results": [{"id": "s"}]},
            collection=TEXTS,
        ),
        Step(
            "search",
            {
                "text": "snow",
                "mode": "hybrid",
                "fusion": {"method": "weighted", "weights": {"vector": 0.5, "text": 0.5}},
                "limit": 1,
            },
            {"results": [{"id": "s", "score": 1.0}]},
            collection=TEXTS,
        ),
    ),
}

READS: dict[str, Sequence[Step]] = {
    "the nearest come first": (
        FOUR,
        Step(
            "search",
            {"vector": ORIGIN, "limit": 2, "offset": 1, "with_vector": True},
            {
                "results": [
                    {"id": "f2", "score": 2.0, "vector": along(2)},
                    {"id": "f3", "score": 3.0, "payload": film(3)["payload"]},
                ]
            },
        ),
        Step(
            "search",
            {
                "vector": ORIGIN,
                "filter": {"must": [{"key": "genres", "match": {"value": "g0"}}]},
                "score_threshold": 3.5,
                "params": {"exact": True},
                "with_payload": False,
            },
            {"results": [{"id": "f2"}]},
        ),
        Step("search", {"id": "f2", "limit": 1}, {"results": [{"id": "f1", "score": 1.0}]}),
        Step(
            "search",
            {"vector": ORIGIN, "explain": True, "limit": 1},
            {"explanation": [{"shard": 0}, {"shard": 1}, {"shard": 2}]},
        ),
    ),
    "searches of a batch fail each for itself": (
        FOUR,
        Step(
            "batch_search",
            {"searches": [{"vector": ORIGIN, "limit": 1}, {"id": "none"}, {"id": "f4"}]},
            {
                "results": [
                    {"results": [{"id": "f1"}]},
                    {"code": "not_found", "id": "none"},
                    {"results": [{"id": "f3"}, {"id": "f2"}, {"id": "f1"}]},
                ]
            },
        ),
        Step(
            "batch_search",
            {"searches": [{"vector": ORIGIN}, {"vector": [1.0]}]},
            bad("searches[1].vector", 1),
        ),
        Step("batch_search", {"searches": []}, bad("searches")),
    ),
    "values are grouped and counted": (
        FOUR,
        Step(
            "search_groups",
            {"vector": ORIGIN, "key": "genres", "limit": 2, "size": 1},
            {
                "groups": [
                    {"value": "drama", "results": [{"id": "f1"}]},
                    {"value": "g1", "results": [{"id": "f1"}]},
                ]
            },
        ),
        Step(
            "facets",
            {"key": "genres", "filter": {"year": {"$gt": 1991}}},
            {
                "facets": [
                    {"value": "drama", "count": 3},
                    {"value": "g0", "count": 2},
                    {"value": "g1", "count": 1},
                ],
                "exact": True,
            },
        ),
        Step(
            "facets",
            {"key": "year", "limit": 1, "filter": {"year": 1993}},
            {"facets": [{"value": 1993, "count": 1}]},
        ),
    ),
    "a scroll goes over all documents": (
        FOUR,
        Step(
            "scroll",
            {"limit": 2, "with_payload": False},
            {"documents": [{"id": "f1"}, {"id": "f2"}, {"id": "f3"}, {"id": "f4"}]},
        ),
        Step(
            "scroll",
            {"filter": {"genres": "g1"}, "with_vector": True},
            {"documents": [film(1), film(3)]},
        ),
    ),
    "texts are embedded without documents": (
        Step("embed", {"model": MODEL, "texts": ["rain", "snow"]}, {"count": 2, "dimension": 64}),
        Step("embed", {"model": "none", "texts": ["rain"]}, bad("model")),
    ),
}

SCENARIOS: dict[str, Sequence[Step]] = {**WRITES, **READS, **REFUSALS}
