"""Searches over REST: what may be asked for, and what is answered."""

import asyncio
from typing import Any

import httpx
import pytest

from akidb_ray.domain.ids import StoreId
from tests.in_process import Database
from tests.unit.gateway.films import (
    FILMS,
    ORIGIN,
    TEXTS,
    base64_of,
    film,
    ids_of,
    post,
    put,
    vector,
)

NATIVE = {"must": [{"key": "year", "range": {"gte": 1910, "lt": 1930}}]}
DIALECT = {"year": {"$gte": 1910, "$lt": 1930}}


async def search(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    return await post(client, "/search", **body)


async def put_texts(client: httpx.AsyncClient, *texts: str) -> None:
    documents = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    assert (await client.put(f"{TEXTS}/documents", json={"documents": documents})).is_success


async def search_texts(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post(f"{TEXTS}/search", json=body)


async def test_both_dialects_of_filters_find_the_same(films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    answers = [
        await search(films, vector=ORIGIN, limit=50, filter=filter) for filter in (NATIVE, DIALECT)
    ]
    assert ids_of(answers[0]) == [f"tt{number}" for number in range(10, 30)]
    assert answers[0]["results"] == answers[1]["results"]


async def test_a_query_in_base64_finds_what_one_in_numbers_does(films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    query = vector(7)
    by_numbers = await search(films, vector=query.tolist(), with_vector=True)
    by_base64 = await search(
        films, vector=base64_of(query), with_vector=True, encoding_format="base64"
    )
    assert ids_of(by_base64) == ids_of(by_numbers)
    for encoded, plain in zip(by_base64["results"], by_numbers["results"], strict=True):
        assert encoded["score"] == plain["score"]
        assert encoded["vector"] == base64_of(plain["vector"])


async def test_offset_and_threshold_cut_the_list_at_its_ends(films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    answer = await search(films, vector=ORIGIN, limit=3, offset=5, score_threshold=6.5)
    assert ids_of(answer) == ["tt05", "tt06"]


async def test_more_like_a_document_leaves_that_document_out(films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    alike = ids_of(await search(films, id="tt03", limit=1))
    assert alike == ["tt00"]
    missing = await films.post(f"{FILMS}/search", json={"id": "nope"})
    assert missing.status_code == 404


@pytest.mark.parametrize("params", [{"exact": True}, {"ef": 100}, {}])
async def test_breadth_and_exactness_are_taken(
    films: httpx.AsyncClient, params: dict[str, object]
) -> None:
    await put(films, *range(40))
    assert ids_of(await search(films, vector=ORIGIN, limit=2, params=params)) == ["tt00", "tt01"]


async def test_an_explanation_names_each_shard(films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    answer = await search(films, vector=ORIGIN, explain=True)
    assert [shard["shard"] for shard in answer["explanation"]] == [0, 1, 2, 3]
    rows = [plan["rows"] for shard in answer["explanation"] for plan in shard["segments"]]
    assert sum(rows) == 40
    assert "explanation" not in await search(films, vector=ORIGIN)


async def test_words_are_found_by_keyword(films: httpx.AsyncClient) -> None:
    await put_texts(films, "a cat sleeps on the roof", "the stock market fell", "rain on the roof")
    found = (await search_texts(films, text="roof", mode="keyword")).json()
    assert sorted(ids_of(found)) == ["0", "2"]
    phrase = (await search_texts(films, text='"stock market"', mode="keyword")).json()
    assert ids_of(phrase) == ["1"]


@pytest.mark.parametrize(
    "fusion",
    [
        {},
        {"method": "rrf", "k": 10, "weights": {"vector": 2.0}},
        {"method": "weighted", "weights": {"vector": 0.5, "text": 0.5}},
    ],
)
async def test_hybrid_searches_find_by_vector_and_by_words(
    films: httpx.AsyncClient, fusion: dict[str, object]
) -> None:
    await put_texts(films, "a cat sleeps on the roof", "the stock market fell", "rain on the roof")
    answer = await search_texts(films, text="cat roof", mode="hybrid", fusion=fusion)
    assert answer.status_code == 200, answer.text
    assert ids_of(answer.json())[0] == "0"
    assert len(answer.json()["results"]) == 3


async def test_a_shard_that_is_down_fails_the_search_or_is_named(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(40))
    database.hosts.down.add(database.stores[0])
    failed = await films.post(f"{FILMS}/search", json={"vector": ORIGIN})
    assert (failed.status_code, failed.json()["code"]) == (503, "unavailable")
    part = await search(films, vector=ORIGIN, limit=40, partial_results=True)
    assert 0 < len(part["missing_shards"]) < 4
    assert 0 < len(part["results"]) < 40


async def test_a_search_ends_with_its_time(database: Database, films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    never = asyncio.Event()

    async def hold_up(_: str, store_id: StoreId, __: Any) -> None:
        if store_id == database.stores[0]:
            await never.wait()

    database.hosts.before = hold_up
    late = await films.post(f"{FILMS}/search", json={"vector": ORIGIN, "timeout_ms": 20})
    assert (late.status_code, late.json()["code"]) == (503, "deadline_exceeded")
    part = await search(films, vector=ORIGIN, timeout_ms=200, partial_results=True)
    assert part["missing_shards"]


async def test_a_search_sees_the_write_whose_version_it_names(films: httpx.AsyncClient) -> None:
    version = (await put(films, *range(10)))["version"]
    assert len((await search(films, vector=ORIGIN, min_version=version))["results"]) == 10


async def test_a_batch_answers_as_its_searches_would_by_themselves(
    films: httpx.AsyncClient,
) -> None:
    await put(films, *range(40))
    searches = [
        {"vector": ORIGIN, "limit": 3},
        {"id": "tt03", "filter": DIALECT, "limit": 2},
        {"text": "film", "mode": "keyword", "limit": 5, "with_payload": False},
    ]
    together = (await post(films, "/search/batch", searches=searches))["results"]
    alone = [(await search(films, **one))["results"] for one in searches]
    assert [answer["results"] for answer in together] == alone


async def test_a_batch_names_the_searches_that_failed(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(40))
    database.hosts.down.add(database.stores[0])
    searches = [{"vector": ORIGIN}, {"vector": ORIGIN, "partial_results": True}]
    failed, part = (await post(films, "/search/batch", searches=searches))["results"]
    assert (failed["status"], failed["code"]) == (503, "unavailable")
    assert "request_id" in failed
    assert part["missing_shards"]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"vector": [1.0]}, "searches[1].vector"),
        ({"vector": ORIGIN, "filter": {"shuld": []}}, "searches[1].filter.shuld"),
        ({"vector": ORIGIN, "limit": 0}, "searches[1].limit"),
        ({"vector": ORIGIN, "limt": 0}, "searches[1].limt"),
    ],
)
async def test_a_wrong_search_refuses_its_batch(
    films: httpx.AsyncClient, bad: dict[str, object], field: str
) -> None:
    body = {"searches": [{"vector": ORIGIN}, bad]}
    refused = await films.post(f"{FILMS}/search/batch", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert refused.json()["row"] == 1


async def test_groups_hold_the_best_documents_of_each_value(films: httpx.AsyncClient) -> None:
    await put(films, *range(1, 40))
    answer = await post(films, "/search/groups", vector=ORIGIN, key="genres", limit=3, size=2)
    found = {group["value"]: ids_of(group) for group in answer["groups"]}
    assert found == {
        "drama": ["tt01", "tt02"],
        "g1": ["tt01", "tt04"],
        "g2": ["tt02", "tt05"],
    }


async def test_facets_count_values_over_all_shards(films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    answer = await post(films, "/facets", key="genres", filter=DIALECT, limit=2)
    assert answer["facets"] == [{"value": "drama", "count": 20}, {"value": "g1", "count": 7}]
    assert answer["exact"] is True


async def test_values_of_more_than_64_bits_are_answered_as_they_are(
    films: httpx.AsyncClient,
) -> None:
    documents = [{**film(1), "payload": {"n": 2**70, "yes": True}}]
    await films.put(f"{FILMS}/documents", json={"documents": documents})
    for key in ("n", "yes"):
        facets = await films.post(f"{FILMS}/facets", json={"key": key})
        assert facets.status_code == 200, facets.text
        body = {"vector": ORIGIN, "key": key}
        assert (await films.post(f"{FILMS}/search/groups", json=body)).status_code == 200
