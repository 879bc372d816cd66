"""Bad values in the bodies of documents and searches: each is refused by the name of its field."""

from typing import Any

import httpx

from tests.unit.gateway.films import FILMS, ORIGIN, film, post, put

BAD: list[tuple[str, dict[str, Any], str]] = [
    # below the path of the collection, what is sent, the field that is named
    ("/search", {"vector": ORIGIN, "offset": -1}, "offset"),
    ("/search", {"vector": ORIGIN, "offset": 10_000, "limit": 10}, "offset"),
    ("/search", {"vector": ORIGIN, "limit": 10**30}, "limit"),
    ("/search", {"vector": ORIGIN, "params": {"ef": 10**30}}, "params.ef"),
    ("/search", {"vector": ORIGIN, "score_threshold": "x"}, "score_threshold"),
    ("/search", {"vector": ORIGIN, "mode": "both"}, "mode"),
    ("/search", {"vector": ORIGIN, "mode": "keyword"}, "text"),
    ("/search", {"id": "tt1", "text": "x"}, "vector"),
    ("/search", {"text": "x", "mode": "hybrid", "fusion": {"k": 0}}, "fusion.k"),
    ("/search", {"text": "x", "mode": "keyword", "fusion": {"k": 5}}, "fusion"),
    ("/search", {"id": "x", "fusion": {"method": "weighted"}}, "fusion"),
    ("/search", {"text": "x", "mode": "keyword", "params": {"ef": 5}}, "params"),
    ("/search", {"text": "x", "mode": "keyword", "params": {"exact": True}}, "params"),
    ("/search", {"text": "x", "mode": "hybrid", "fusion": {"meth": 0}}, "fusion.meth"),
    ("/search", {"vector": ORIGIN, "timeout_ms": 0}, "timeout_ms"),
    ("/search", {"vector": ORIGIN, "min_version": "x"}, "min_version"),
    ("/search", {"vector": ORIGIN, "encoding_format": "hex"}, "encoding_format"),
    ("/search", {"vector": "AAA"}, "vector"),
    ("/search", {"vector": "AAAAAA=="}, "vector"),
    ("/search", {"vector": [10**400] * 16}, "vector"),
    ("/search", {"vector": [None] * 16}, "vector[0]"),
    ("/search/batch", {"searches": []}, "searches"),
    ("/search/groups", {"vector": ORIGIN}, "key"),
    ("/search/groups", {"vector": ORIGIN, "key": ""}, "key"),
    ("/search/groups", {"vector": ORIGIN, "key": "a", "size": 0}, "size"),
    ("/search/groups", {"vector": ORIGIN, "key": "a", "limit": 1001}, "limit"),
    ("/facets", {"key": "a", "limit": 0}, "limit"),
    ("/facets", {}, "key"),
    ("/count", {"filter": []}, "filter"),
    ("/documents/scroll", {"limit": 0}, "limit"),
    ("/documents/scroll", {"cursor": "#"}, "cursor"),
    ("/documents/get", {"ids": []}, "ids"),
    ("/documents/get", {"ids": ["a", 7]}, "ids[1]"),
    ("/documents/patch", {"ids": ["a"]}, "set"),
    ("/documents/patch", {"ids": ["a"], "set": {"a[]": 1}}, "set"),
    ("/documents/patch", {"ids": ["a"], "set": {"a": 1}, "unset": ["a"]}, "unset"),
    ("/documents/patch", {"ids": ["a"], "expires_at": -1}, "expires_at"),
    ("/documents/patch", {"set": {"a": 1}}, "ids"),
    ("/documents/patch", {"filter": {}, "set": {"a": 1}}, "filter"),
    ("/documents/delete", {"ids": ["a"], "filter": {}}, "ids"),
    ("/documents/delete", {"ids": ["a"], "if_versions": {"a": "x"}}, "if_versions.a"),
    ("/documents/delete", {"ids": ["a"], "if_versions": {"b": 1}}, "if_versions.b"),
    ("/documents/delete", {"ids": ["a"], "durability": "none"}, "durability"),
    ("/documents", {"documents": [film(1)], "mode": "put"}, "mode"),
    ("/documents", {"documents": [film(1)], "only_if": {"shuld": []}}, "only_if.shuld"),
    ("/documents", {"documents": [{**film(1), "expires_at": -1}]}, "documents[0].expires_at"),
]


async def test_a_bad_field_is_named_and_nothing_is_changed(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    for path, body, field in BAD:
        refused = await films.post(f"{FILMS}{path}", json=body)
        assert refused.status_code == 422, (path, body, refused.text)
        assert refused.json()["field"] == field
        assert refused.headers["content-type"] == "application/problem+json"
    assert await post(films, "/count") == {"count": 1}
