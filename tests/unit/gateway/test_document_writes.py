"""Writes over REST: modes, conditions, patches, replacement, idempotency keys."""

from typing import Any

import httpx
import pytest

from tests.in_process import Database
from tests.unit.gateway.films import FILMS, base64_of, film, post, put, vector

KEY = {"idempotency-key": "once"}


async def read(client: httpx.AsyncClient, document_id: str) -> dict[str, Any]:
    response = await client.get(f"{FILMS}/documents/{document_id}?with_vector=true")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_vector_in_base64_is_stored_as_one_in_numbers(films: httpx.AsyncClient) -> None:
    await put(films, 5)
    same = {**film(5), "id": "b", "vector": base64_of(vector(5))}
    response = await films.put(f"{FILMS}/documents", json={"documents": [same]})
    assert response.status_code == 200, response.text
    assert (await read(films, "b"))["vector"] == (await read(films, "tt05"))["vector"]
    shown = await films.get(f"{FILMS}/documents/b?with_vector=true&encoding_format=base64")
    assert shown.json()["vector"] == base64_of(vector(5))


async def test_documents_are_posted_as_well(films: httpx.AsyncClient) -> None:
    assert (await post(films, "/documents", documents=[film(1)]))["acknowledged"] == 1


async def test_modes_choose_which_documents_are_written(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    inserted = await put(films, 1, 2, mode="insert")
    assert (inserted["acknowledged"], inserted["skipped"]) == (1, 1)
    updated = await put(films, 2, 3, mode="update")
    assert (updated["acknowledged"], updated["skipped"]) == (1, 1)
    assert await post(films, "/count") == {"count": 2}


async def test_a_version_that_differs_refuses_the_write(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    version = (await read(films, "tt01"))["version"]
    assert (await put(films, 1, if_versions={"tt01": version}))["acknowledged"] == 1
    body = {"documents": [film(1)], "if_versions": {"tt01": version}}
    stale = await films.put(f"{FILMS}/documents", json=body)
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    body = {"documents": [film(1)], "if_versions": {"tt01": 0}}
    assert (await films.put(f"{FILMS}/documents", json=body)).status_code == 412


async def test_only_if_skips_what_does_not_pass(films: httpx.AsyncClient) -> None:
    await put(films, 1, 2)
    for dialect in ({"must": [{"key": "year", "range": {"gte": 1902}}]}, {"year": {"$gte": 1902}}):
        written = await put(films, 1, 2, only_if=dialect)
        assert (written["acknowledged"], written["skipped"]) == (1, 1)


@pytest.mark.parametrize("durability", ["fsync", "buffered"])
async def test_a_write_of_either_durability_is_read_at_once(
    films: httpx.AsyncClient, durability: str
) -> None:
    await put(films, 1, durability=durability)
    assert (await read(films, "tt01"))["text"] == "film 1"


async def test_an_expired_document_is_gone(films: httpx.AsyncClient) -> None:
    documents = [{**film(1), "expires_at": 1.0}, {**film(2), "expires_at": 4e9}]
    await films.put(f"{FILMS}/documents", json={"documents": documents})
    assert (await films.get(f"{FILMS}/documents/tt01")).status_code == 404
    assert (await read(films, "tt02"))["expires_at"] == 4e9


async def test_one_document_is_replaced_whole(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    path = f"{FILMS}/documents/tt01"
    replaced = await films.put(path, json={"vector": vector(3).tolist()})
    assert (replaced.status_code, replaced.json()["acknowledged"]) == (200, 1)
    shown = await films.get(path)
    assert "payload" not in shown.json()
    etag = {"if-match": shown.headers["etag"]}
    again = {"vector": vector(4).tolist()}
    assert (await films.put(path, json=again, headers=etag)).status_code == 200
    assert (await films.put(path, json=again, headers=etag)).status_code == 412
    assert (await films.put(path, json={**again, "if_version": 0})).status_code == 412
    bad = await films.put(path, json={"vector": [1.0]})
    assert (bad.status_code, bad.json()["field"]) == (422, "vector")


async def test_one_document_is_patched(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    path = f"{FILMS}/documents/tt01"
    body = {"set": {"year": 2000, "by.name": "x"}, "unset": ["genres"]}
    patched = await films.patch(path, json=body)
    assert (patched.status_code, patched.json()["patched"]) == (200, 1)
    document = await read(films, "tt01")
    assert document["payload"] == {"year": 2000, "by": {"name": "x"}}
    assert document["vector"] == film(1)["vector"]
    stale = {**body, "if_version": document["version"] + 100}
    assert (await films.patch(path, json=stale)).status_code == 412
    assert (await films.patch(f"{FILMS}/documents/nope", json=body)).status_code == 404
    await films.patch(path, json={"set": {"a": 1}, "replace": True})
    assert (await read(films, "tt01"))["payload"] == {"a": 1}


async def test_many_documents_are_patched_by_ids_or_by_filter(films: httpx.AsyncClient) -> None:
    await put(films, *range(10))
    by_ids = await post(films, "/documents/patch", ids=["tt01", "nope"], set={"seen": True})
    assert (by_ids["patched"], by_ids["skipped"]) == (1, 1)
    by_filter = await post(
        films, "/documents/patch", filter={"year": {"$lt": 1905}}, set={"seen": True}
    )
    assert by_filter["patched"] == 5
    assert await post(films, "/count", filter={"seen": True}) == {"count": 5}


async def test_one_document_is_deleted(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    path = f"{FILMS}/documents/tt01"
    assert (await films.delete(path, headers={"if-match": '"999"'})).status_code == 412
    deleted = await films.delete(path)
    assert (deleted.status_code, deleted.json()["deleted"]) == (200, 1)
    assert (await films.delete(path)).status_code == 404


async def test_a_write_is_carried_out_once_for_each_key(films: httpx.AsyncClient) -> None:
    body = {"documents": [film(1)], "mode": "insert"}
    first = await films.put(f"{FILMS}/documents", json=body, headers=KEY)
    again = await films.put(f"{FILMS}/documents", json=body, headers=KEY)
    assert first.json()["acknowledged"] == 1
    assert again.json() == first.json()
    other = await films.put(
        f"{FILMS}/documents", json={"documents": [film(1)], "mode": "update"}, headers=KEY
    )
    assert (other.status_code, other.json()["field"]) == (422, "idempotency_key")
    long = await films.put(f"{FILMS}/documents", json=body, headers={"idempotency-key": "k" * 256})
    assert long.status_code == 422


async def test_a_deletion_sent_again_with_its_key_gets_the_first_answer(
    films: httpx.AsyncClient,
) -> None:
    await put(films, 1)
    body = {"ids": ["tt01"]}
    answers = [
        (await films.post(f"{FILMS}/documents/delete", json=body, headers=KEY)).json()
        for _ in range(2)
    ]
    assert answers[0]["deleted"] == 1
    assert answers[1] == answers[0]
    removed = await films.patch(
        f"{FILMS}/documents/tt01", json={"set": {"a": 1}}, headers={"idempotency-key": "other"}
    )
    assert removed.status_code == 404


async def test_the_same_key_completes_a_write_that_was_done_in_part(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, 99)
    body = {"documents": [film(number) for number in range(40)], "mode": "insert"}
    database.hosts.down.add(database.stores[0])
    partial = await films.put(f"{FILMS}/documents", json=body, headers=KEY)
    assert partial.status_code == 503
    assert 0 < len(partial.json()["acknowledged_ids"]) < 40
    database.hosts.down.clear()
    whole = await films.put(f"{FILMS}/documents", json=body, headers=KEY)
    assert whole.json()["acknowledged"] == 40


async def test_a_read_sees_the_write_whose_version_it_names(films: httpx.AsyncClient) -> None:
    version = (await put(films, *range(10)))["version"]
    assert await post(films, "/count", min_version=version) == {"count": 10}
    path = f"{FILMS}/documents/tt01"
    assert (await films.get(path, params={"min_version": version})).status_code == 200
    bad = await films.get(path, params={"min_version": "#"})
    assert (bad.status_code, bad.json()["field"]) == (422, "min_version")
