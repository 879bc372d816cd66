"""Bodies that are deep, huge, damaged or random: none of them is answered by 500."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from akidb_ray.gateway.rest.batch_limits import MAX_BATCH_SEARCHES
from tests.in_process import Database
from tests.unit.gateway.films import FILMS, ORIGIN, film, post, put

PATHS = (
    "/documents",
    "/documents/get",
    "/documents/patch",
    "/documents/delete",
    "/documents/scroll",
    "/search",
    "/search/batch",
    "/search/groups",
    "/facets",
    "/count",
)


@pytest.mark.parametrize("depth", [150, 900, 100_000])
async def test_deep_nesting_is_refused(films: httpx.AsyncClient, depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    lists = b"[" * depth + b"]" * depth
    for body in (
        b'{"vector": [0], "filter": %s}' % deep,
        b'{"vector": [0], "filter": {"must": %s}}' % lists,
        b'{"documents": [{"id": "a", "vector": %s}]}' % lists,
        b'{"ids": ["a"], "set": %s}' % deep,
        lists,
    ):
        for path in PATHS:
            refused = await films.post(f"{FILMS}{path}", content=body)
            assert refused.status_code in (400, 422), (path, refused.text)
    deep_payload = b'{"documents": [{"id": "a", "vector": %s, "payload": %s}]}' % (
        json.dumps(ORIGIN).encode(),
        deep,
    )
    refused = await films.put(f"{FILMS}/documents", content=deep_payload)
    assert refused.status_code in (400, 422), refused.text
    assert await post(films, "/count") == {"count": 0}


async def test_a_deep_patch_is_refused(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    deep: dict[str, Any] = {}
    for _ in range(150):
        deep = {"a": deep}
    refused = await films.patch(f"{FILMS}/documents/tt01", json={"set": {"a": deep}})
    assert refused.status_code == 422, refused.text


async def test_batches_that_are_too_large_are_refused(films: httpx.AsyncClient) -> None:
    tiny = {"vector": [0], "limit": 1}
    for path, body, field in (
        ("/documents", {"documents": [{"id": "a"}] * 1001}, "documents"),
        ("/documents/get", {"ids": ["a"] * 1001}, "ids"),
        ("/documents/delete", {"ids": ["a"] * 1001}, "ids"),
        ("/search/batch", {"searches": [tiny] * (MAX_BATCH_SEARCHES + 1)}, "searches"),
        ("/search/batch", {"searches": [{**tiny, "limit": 10_000}] * 11}, "searches"),
    ):
        refused = await films.post(f"{FILMS}{path}", json=body)
        assert (refused.status_code, refused.json()["field"]) == (413, field), refused.text


async def test_a_flood_of_wrong_values_gets_one_complaint(films: httpx.AsyncClient) -> None:
    many = 50_000
    for path, body, field in (
        ("/documents", {"documents": [{}] * many}, "documents[0].id"),
        ("/documents/get", {"ids": [1] * many}, "ids[0]"),
        ("/search", {"vector": ["x"] * many}, "vector[0]"),
        ("/search", {f"k{n}": 1 for n in range(many)}, "k0"),
        ("/search/batch", {"searches": [1] * many}, "searches[0]"),
        (
            "/documents/delete",
            {"ids": ["a"], "if_versions": {f"k{n}": "x" for n in range(many)}},
            "if_versions.k0",
        ),
    ):
        refused = await films.post(f"{FILMS}{path}", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field)


async def test_numbers_that_no_float_holds_are_refused(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    for number in (b"1" * 400, b"1" * 5000, b"1e999", b"-1e999", b"NaN", b"Infinity"):
        for path, body in (
            ("/search", b'{"vector": [%s]}'),
            ("/search", b'{"vector": [0], "limit": %s}'),
            ("/search", b'{"vector": [0], "score_threshold": %s}'),
            ("/search", b'{"vector": [0], "filter": {"n": {"$gt": %s}}}'),
            ("/documents", b'{"documents": [{"id": "a", "vector": [0], "expires_at": %s}]}'),
            ("/documents/patch", b'{"ids": ["tt01"], "set": {"a": %s}}'),
        ):
            content = body.replace(b"%s", number)
            refused = await films.post(f"{FILMS}{path}", content=content)
            assert refused.status_code in (400, 422), (path, content[:80], refused.text)


def _junk(rng: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.choice([True, False]),
        lambda: rng.choice([0, 1, -1, 7, 2**63, 2**64, -(2**70), 10**30]),
        lambda: rng.choice([0.5, -0.0, 1e308, float("nan"), float("inf")]),
        lambda: rng.choice(["", "a", "year", "\ud800", "\x00", "é雪", "x" * 600, "AAAAAA=="]),
    ]
    if depth < 3:
        kinds += [
            lambda: [_junk(rng, depth + 1) for _ in range(rng.randrange(4))],
            lambda: {_key(rng): _junk(rng, depth + 1) for _ in range(rng.randrange(4))},
        ]
    return rng.choice(kinds)()


def _key(rng: random.Random) -> str:
    return rng.choice(["", "a", "a.b", "year", "must", "key", "match", "$gt", "$or", "\ud800", "k"])


_GOOD: dict[str, dict[str, Any]] = {
    "/documents": {"documents": [film(1)], "mode": "upsert", "if_versions": {}, "only_if": {}},
    "/documents/get": {"ids": ["tt01"], "with_vector": True, "encoding_format": "float"},
    "/documents/patch": {"ids": ["tt01"], "set": {"a": 1}, "unset": [], "replace": False},
    "/documents/delete": {"ids": ["tt09"], "filter": None, "durability": "fsync"},
    "/documents/scroll": {"limit": 5, "filter": {}, "cursor": None, "with_payload": True},
    "/search": {
        "vector": ORIGIN,
        "text": None,
        "id": None,
        "mode": "vector",
        "fusion": {"k": 60, "weights": {"vector": 1.0}},
        "filter": {"must": [{"key": "year", "range": {"gte": 1}}]},
        "limit": 3,
        "offset": 0,
        "score_threshold": 10.0,
        "params": {"ef": 64, "exact": False},
        "explain": True,
        "min_version": None,
        "timeout_ms": 60_000,
    },
    "/search/batch": {"searches": [{"vector": ORIGIN}, {"id": "tt01"}]},
    "/search/groups": {"vector": ORIGIN, "key": "genres", "limit": 2, "size": 2, "filter": {}},
    "/facets": {"key": "genres", "limit": 2, "filter": {}, "min_version": None},
    "/count": {"filter": {"year": {"$gte": 1}}, "min_version": None},
}


def _spoilt(rng: random.Random, value: Any) -> Any:
    """The value with junk in one place of it."""
    if rng.random() < 0.3 or not value or not isinstance(value, (dict, list)):
        return _junk(rng)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        return {**value, key: _spoilt(rng, value[key])}
    place = rng.randrange(len(value))
    return [*value[:place], _spoilt(rng, value[place]), *value[place + 1 :]]


@pytest.mark.parametrize("seed", range(2))
async def test_no_random_body_is_answered_by_500(films: httpx.AsyncClient, seed: int) -> None:
    rng = random.Random(seed)
    await put(films, *range(5))
    for _ in range(400):
        path = rng.choice(PATHS)
        body = json.dumps(_spoilt(rng, _GOOD[path]))
        answer = await films.post(f"{FILMS}{path}", content=body)
        assert answer.status_code in (200, 400, 404, 412, 413, 422), (path, body, answer.text)


async def test_a_client_that_goes_away_in_the_middle_of_its_body_harms_nobody(
    database: Database, films: httpx.AsyncClient
) -> None:
    app = films._transport.app  # type: ignore[attr-defined]
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        return parts.pop(0)

    async def send(message: Any) -> None:
        answers.append(message)

    for left in range(2):
        parts = [{"type": "http.request", "body": b'{"docu', "more_body": True}][:left]
        parts.append({"type": "http.disconnect"})
        scope = {
            "type": "http",
            "method": "PUT",
            "path": f"{FILMS}/documents",
            "raw_path": f"{FILMS}/documents".encode(),
            "query_string": b"",
            "headers": [(b"authorization", films.headers["authorization"].encode())],
            "state": {},
        }
        await app(scope, receive, send)
    assert answers == []
    assert await post(films, "/count") == {"count": 0}


async def test_a_client_that_goes_away_while_it_waits_holds_up_nobody(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(20))
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold_up(*_: Any) -> None:
        asked.set()
        await go_on.wait()

    database.hosts.before = hold_up
    waiting = asyncio.create_task(films.post(f"{FILMS}/search", json={"vector": ORIGIN}))
    await asyncio.wait_for(asked.wait(), 10)
    waiting.cancel()
    await asyncio.wait([waiting])
    database.hosts.before = None
    go_on.set()
    found = await post(films, "/search", vector=ORIGIN, limit=20)
    assert len(found["results"]) == 20


async def test_a_large_body_that_is_wrong_is_refused_as_a_small_one_is(
    films: httpx.AsyncClient,
) -> None:
    padding = {"id": "x", "vector": ORIGIN, "text": "x" * 300_000}
    for documents, field in (
        ([padding, {"id": "a", "vector": ["x"]}], "documents[1].vector[0]"),
        ([padding, {"di": "a"}], "documents[1].di"),
    ):
        refused = await films.put(f"{FILMS}/documents", json={"documents": documents})
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    cut = await films.put(f"{FILMS}/documents", content=json.dumps([padding])[:-2].encode())
    assert (cut.status_code, cut.json()["code"]) == (400, "malformed")
    written = await films.put(f"{FILMS}/documents", json={"documents": [padding]})
    assert written.json()["acknowledged"] == 1
