"""Reads over REST: one document, many, and all of them page by page."""

import asyncio

import httpx
import pytest

from tests.in_process import Database
from tests.unit.gateway.films import FILMS, base64_of, film, post, put, vector


async def test_many_documents_come_in_the_order_of_the_ids(films: httpx.AsyncClient) -> None:
    await put(films, *range(10))
    answer = await post(films, "/documents/get", ids=["tt07", "nope", "tt01", "tt07"])
    assert [document["id"] for document in answer["documents"]] == ["tt07", "tt01"]
    assert answer["documents"][0]["payload"] == film(7)["payload"]
    assert "vector" not in answer["documents"][0]
    answer = await post(
        films, "/documents/get", ids=["tt07"], with_vector=True, encoding_format="base64"
    )
    assert answer["documents"][0]["vector"] == base64_of(vector(7))


async def test_scrolling_shows_each_document_once_in_order(films: httpx.AsyncClient) -> None:
    await put(films, *range(40))
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = await post(films, "/documents/scroll", limit=7, cursor=cursor)
        seen += [document["id"] for document in page["documents"]]
        cursor = page["next_cursor"]
        pages += 1
    assert seen == [f"tt{number:02}" for number in range(40)]
    assert pages == 6


async def test_scrolling_obeys_filter_and_what_to_return(films: httpx.AsyncClient) -> None:
    await put(films, *range(10))
    page = await post(
        films,
        "/documents/scroll",
        filter={"must": [{"key": "year", "range": {"lt": 1902}}]},
        with_payload=False,
        with_vector=True,
    )
    assert [document["id"] for document in page["documents"]] == ["tt00", "tt01"]
    assert page["documents"][1]["vector"] == film(1)["vector"]
    assert page["documents"][1].keys() == {"id", "version", "vector"}, "no text either"
    assert page["next_cursor"] is None


async def test_the_version_of_a_document_is_its_etag(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    shown = await films.get(f"{FILMS}/documents/tt01")
    assert shown.headers["etag"] == f'"{shown.json()["version"]}"'


async def test_an_unknown_parameter_of_a_read_is_refused(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    refused = await films.get(f"{FILMS}/documents/tt01?with_vectors=true")
    assert (refused.status_code, refused.json()["field"]) == (422, "with_vectors")


@pytest.mark.parametrize("read", ["get", "documents/get", "documents/scroll", "count"])
async def test_a_read_ends_with_its_time(
    database: Database, films: httpx.AsyncClient, read: str
) -> None:
    await put(films, 1)
    never = asyncio.Event()

    async def hold_up(*_: object) -> None:
        await never.wait()

    database.hosts.before = hold_up
    if read == "get":
        late = await films.get(f"{FILMS}/documents/tt01?timeout_ms=20")
    else:
        ids = {"ids": ["tt01"]} if read == "documents/get" else {}
        late = await films.post(f"{FILMS}/{read}", json={"timeout_ms": 20, **ids})
    assert (late.status_code, late.json()["code"]) == (503, "deadline_exceeded")
    assert late.headers["retry-after"] == "1"
