"""Documents over REST: what is written is what is read, counted, found and deleted."""

import asyncio

import httpx
import numpy as np
import pytest

from tests.in_process import MODEL, Database
from tests.serving import COLLECTIONS

FILMS = f"{COLLECTIONS}/films"


@pytest.fixture
async def films(client: httpx.AsyncClient) -> httpx.AsyncClient:
    made = await client.post(
        COLLECTIONS, json={"name": "films", "dimension": 16, "metric": "l2", "shard_count": 4}
    )
    assert made.status_code == 201
    return client


def film(number: int) -> dict[str, object]:
    vector = np.zeros(16)
    vector[number % 16] = number
    return {
        "id": f"tt{number}",
        "vector": vector.tolist(),
        "text": f"film {number}",
        "payload": {"year": 1900 + number, "genres": ["drama", f"g{number % 3}"]},
    }


async def put(client: httpx.AsyncClient, *numbers: int) -> httpx.Response:
    response = await client.put(
        f"{FILMS}/documents", json={"documents": [film(number) for number in numbers]}
    )
    assert response.status_code == 200, response.text
    return response


async def test_a_document_comes_back_as_it_was_written(films: httpx.AsyncClient) -> None:
    written = await put(films, 5)
    assert written.json()["acknowledged"] == 1
    assert written.json()["version"]
    read = (await films.get(f"{FILMS}/documents/tt5?with_vector=true")).json()
    expected = film(5)
    assert read["id"] == "tt5"
    assert read["text"] == "film 5"
    assert read["payload"] == expected["payload"]
    assert read["vector"] == expected["vector"]
    assert "vector" not in (await films.get(f"{FILMS}/documents/tt5")).json()


async def test_an_id_may_hold_slashes_and_any_unicode(films: httpx.AsyncClient) -> None:
    document = {**film(1), "id": "a/b c?é#雪"}
    assert (await films.put(f"{FILMS}/documents", json={"documents": [document]})).is_success
    path = httpx.URL(f"{FILMS}/documents/a%2Fb%20c%3F%C3%A9%23%E9%9B%AA")
    assert (await films.get(path)).json()["id"] == "a/b c?é#雪"


async def test_search_merges_shards_in_order_of_score(films: httpx.AsyncClient) -> None:
    await put(films, *range(1, 40))
    answer = (await films.post(f"{FILMS}/search", json={"vector": [0.0] * 16, "limit": 5})).json()
    assert [hit["id"] for hit in answer["results"]] == ["tt1", "tt2", "tt3", "tt4", "tt5"]
    assert [hit["score"] for hit in answer["results"]] == [1, 2, 3, 4, 5]
    assert answer["took_ms"] >= 0


async def test_search_obeys_filter_and_what_to_return(films: httpx.AsyncClient) -> None:
    await put(films, *range(1, 40))
    conditions = [
        {"key": "year", "range": {"gte": 1910, "lt": 1930}},
        {"key": "genres", "match": {"any": ["g1", "nothing"]}},
    ]
    body = {
        "vector": [0.0] * 16,
        "limit": 100,
        "filter": {"must": conditions},
        "with_payload": False,
        "with_vector": True,
    }
    results = (await films.post(f"{FILMS}/search", json=body)).json()["results"]
    assert [hit["id"] for hit in results] == [f"tt{n}" for n in range(10, 30) if n % 3 == 1]
    assert results[0].keys() == {"id", "score", "version", "vector"}, "no text either"
    assert results[0]["vector"] == film(10)["vector"]
    count = await films.post(f"{FILMS}/count", json={"filter": {"must": conditions}})
    assert count.json() == {"count": len(results)}


async def test_deleting_by_ids_says_how_many_were_there(films: httpx.AsyncClient) -> None:
    await put(films, *range(10))
    body = {"ids": ["tt1", "tt2", "tt99"]}
    deleted = await films.post(f"{FILMS}/documents/delete", json=body)
    assert deleted.json()["deleted"] == 2
    assert (await films.get(f"{FILMS}/documents/tt1")).status_code == 404
    assert (await films.post(f"{FILMS}/count", json={})).json() == {"count": 8}


async def test_deleting_by_filter_leaves_the_others(films: httpx.AsyncClient) -> None:
    await put(films, *range(10))
    body = {"filter": {"must": [{"key": "year", "range": {"lt": 1904}}]}}
    deleted = await films.post(f"{FILMS}/documents/delete", json=body)
    assert deleted.json()["deleted"] == 4
    assert (await films.post(f"{FILMS}/count", json={})).json() == {"count": 6}


async def test_texts_are_embedded_and_found_by_text(client: httpx.AsyncClient) -> None:
    await client.post(COLLECTIONS, json={"name": "films", "embedding_model": MODEL})
    texts = ["a cat sleeps on the roof", "the stock market fell", "rain in the mountains"]
    documents = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    assert (await client.put(f"{FILMS}/documents", json={"documents": documents})).is_success
    results = (await client.post(f"{FILMS}/search", json={"text": "sleeps a cat"})).json()[
        "results"
    ]
    assert results[0]["id"] == "0"
    assert results[0]["text"] == texts[0]


async def test_a_failed_shard_names_what_was_acknowledged(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, 1)
    database.hosts.down.add(database.stores[0])
    body = {"documents": [film(number) for number in range(40)]}
    partial = await films.put(f"{FILMS}/documents", json=body)
    assert partial.status_code == 503
    assert int(partial.headers["retry-after"]) >= 1
    acknowledged = partial.json()["acknowledged_ids"]
    assert 0 < len(acknowledged) < 40
    assert (await films.get(f"{FILMS}/documents/{acknowledged[0]}")).status_code == 200
    search = await films.post(f"{FILMS}/search", json={"vector": [0.0] * 16})
    assert search.status_code == 503
    database.hosts.down.clear()
    assert (await films.put(f"{FILMS}/documents", json=body)).json()["acknowledged"] == 40
    assert (await films.post(f"{FILMS}/count", json={})).json() == {"count": 40}


async def test_status_counts_down_to_no_unindexed_documents(client: httpx.AsyncClient) -> None:
    await client.post(COLLECTIONS, json={"name": "films", "dimension": 16, "metric": "l2"})
    await put(client, *range(1, 300))
    assert (await client.get(FILMS)).json()["status"]["documents"] == 299

    async def unindexed() -> int:
        return (await client.get(FILMS)).json()["status"]["unindexed"]

    async with asyncio.timeout(30):
        while await unindexed():
            await asyncio.sleep(0.02)
    answer = (await client.post(f"{FILMS}/search", json={"vector": [0.0] * 16, "limit": 3})).json()
    assert [hit["id"] for hit in answer["results"]] == ["tt1", "tt2", "tt3"]


async def test_what_one_shard_would_refuse_is_refused_before_any_shard_writes(
    films: httpx.AsyncClient,
) -> None:
    deep: dict[str, object] = {}
    for _ in range(200):
        deep = {"a": deep}
    for payload, field in ((deep, "payload"), ({"a": 10**400}, "payload.a")):
        documents = [film(number) for number in range(20)]
        body = {"documents": [*documents, {**film(20), "payload": payload}]}
        refused = await films.put(f"{FILMS}/documents", json=body)
        assert refused.status_code == 422, refused.text
        problem = refused.json()
        assert (problem["field"], problem["row"]) == (f"documents[20].{field}", 20)
        assert (await films.post(f"{FILMS}/count", json={})).json() == {"count": 0}


async def test_a_partly_done_delete_says_how_many_are_deleted(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(40))
    database.hosts.down.add(database.stores[0])
    everything = {"filter": {"must": [{"key": "year", "range": {"gte": 0}}]}}
    partial = await films.post(f"{FILMS}/documents/delete", json=everything)
    assert partial.status_code == 503
    deleted = partial.json()["deleted"]
    assert 0 < deleted < 40
    database.hosts.down.clear()
    rest = await films.post(f"{FILMS}/documents/delete", json=everything)
    assert rest.json()["deleted"] == 40 - deleted


async def test_a_wrong_body_of_a_stranger_is_not_even_read(films: httpx.AsyncClient) -> None:
    for content in (b"{", b" " * (2 * 1024**2)):
        answer = await films.post(
            f"{FILMS}/search", content=content, headers={"authorization": "Bearer wrong"}
        )
        assert answer.status_code == 401


async def test_a_lone_surrogate_in_a_key_is_answered_as_bad_input(
    films: httpx.AsyncClient,
) -> None:
    content = rb'{"vector": [0], "filter": {"must": [{"key": "a", "\ud800": 1}]}}'
    answer = await films.post(f"{FILMS}/search", content=content)
    assert answer.status_code == 422
    assert answer.json()["field"].startswith("filter.must[0].")
