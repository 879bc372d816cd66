"""Bodies and answers in Arrow: the same meaning as in JSON."""

import datetime
import json
import threading
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from akidb_ray.gateway.rest.app import build_app
from tests.in_process import Database
from tests.unit.gateway.films import FILMS, ORIGIN, TEXTS, film, post, put, vector

ARROW = "application/vnd.apache.arrow.stream"
SENT = {"content-type": ARROW}
WANTED = {"accept": ARROW}


def stream(table: pa.Table, options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=7)
    return sink.getvalue().to_pybytes()


def vectors(rows: Any) -> pa.Array:
    numbers = pa.array(np.asarray(rows, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(numbers, len(rows[0]))


def films_table(*numbers: int) -> pa.Table:
    rows = [film(number) for number in numbers]
    return pa.table(
        {
            "id": [row["id"] for row in rows],
            "vector": vectors([row["vector"] for row in rows]),
            "text": [row["text"] for row in rows],
            "payload": [json.dumps(row["payload"]) for row in rows],
        }
    )


async def send(client: httpx.AsyncClient, table: pa.Table, **rest: Any) -> httpx.Response:
    params = {"body": json.dumps(rest)} if rest else {}
    path = f"{FILMS}/documents"
    return await client.put(path, content=stream(table), headers=SENT, params=params)


def read(answer: httpx.Response) -> pa.Table:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ARROW
    return pa.ipc.open_stream(answer.content).read_all()


async def scroll(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    documents = (await post(client, "/documents/scroll", with_vector=True))["documents"]
    return [{**document, "version": None} for document in documents]


async def test_documents_in_arrow_are_stored_as_those_in_json(films: httpx.AsyncClient) -> None:
    await put(films, *range(20))
    in_json = await scroll(films)
    await post(films, "/documents/delete", filter={"year": {"$gt": 0}})
    written = await send(films, films_table(*range(20)))
    assert written.json()["acknowledged"] == 20, written.text
    assert await scroll(films) == in_json


async def test_payloads_may_be_structs_and_documents_may_expire(films: httpx.AsyncClient) -> None:
    table = films_table(1, 2)
    structs = pa.array([film(1)["payload"], None])
    table = table.set_column(3, "payload", structs)
    table = table.append_column("expires_at", pa.array([None, 1.0], pa.float64()))
    assert (await send(films, table)).status_code == 200
    (only,) = await scroll(films)
    assert only["payload"] == film(1)["payload"]


async def test_options_of_an_upsert_stand_in_the_query(films: httpx.AsyncClient) -> None:
    await put(films, 1)
    written = (await send(films, films_table(1, 2), mode="insert", durability="buffered")).json()
    assert (written["acknowledged"], written["skipped"]) == (1, 1)
    stale = await send(films, films_table(1), if_versions={"tt01": 0})
    assert stale.status_code == 412
    bad = await send(films, films_table(1), mode="put")
    assert (bad.status_code, bad.json()["field"]) == (422, "mode")
    no_json = await films.put(
        f"{FILMS}/documents", content=stream(films_table(1)), headers=SENT, params={"body": "{"}
    )
    assert (no_json.status_code, no_json.json()["field"]) == (422, "body")


async def test_a_stream_sent_again_with_its_key_gets_the_first_answer(
    films: httpx.AsyncClient,
) -> None:
    request = {
        "content": stream(films_table(1)),
        "headers": {**SENT, "idempotency-key": "k"},
        "params": {"body": '{"mode": "insert"}'},
    }
    first = await films.put(f"{FILMS}/documents", **request)
    again = await films.put(f"{FILMS}/documents", **request)
    assert first.json()["acknowledged"] == 1
    assert again.json() == first.json()


async def test_rows_without_a_vector_are_embedded(films: httpx.AsyncClient) -> None:
    table = pa.table({"id": ["a", "b"], "text": ["rain", "snow"], "payload": ['{"n": 1}', None]})
    written = await films.put(f"{TEXTS}/documents", content=stream(table), headers=SENT)
    assert written.json()["acknowledged"] == 2, written.text
    found = await films.post(f"{TEXTS}/search", json={"text": "rain", "limit": 1})
    assert found.json()["results"][0]["payload"] == {"n": 1}


async def test_a_batch_of_searches_in_arrow_finds_what_one_in_json_does(
    films: httpx.AsyncClient,
) -> None:
    await put(films, *range(40))
    queries = [ORIGIN, vector(7).tolist(), vector(30).tolist()]
    common = {"limit": 4, "with_vector": True, "filter": {"year": {"$lt": 1935}}}
    in_json = await post(
        films, "/search/batch", searches=[{"vector": query, **common} for query in queries]
    )
    answer = await films.post(
        f"{FILMS}/search/batch",
        content=stream(pa.table({"vector": vectors(queries)})),
        headers={**SENT, **WANTED},
        params={"body": json.dumps(common)},
    )
    table = read(answer)
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 16)
    expected = [
        {"query": query, **hit}
        for query, found in enumerate(in_json["results"])
        for hit in found["results"]
    ]
    rows = [{**row, "payload": json.loads(row["payload"])} for row in table.to_pylist()]
    assert rows == expected
    answered_in_json = await films.post(
        f"{FILMS}/search/batch",
        content=stream(pa.table({"vector": vectors(queries)})),
        headers=SENT,
        params={"body": json.dumps(common)},
    )
    assert answered_in_json.json()["results"] == in_json["results"]


async def test_texts_and_ids_are_searched_for_in_arrow(films: httpx.AsyncClient) -> None:
    await put(films, *range(5))
    table = pa.table({"text": ["film", None], "id": [None, "tt03"]})
    mixed = await films.post(f"{FILMS}/search/batch", content=stream(table), headers=SENT)
    assert (mixed.status_code, mixed.json()["field"]) == (422, "searches[0].text")
    ids = pa.table({"id": ["tt03", "tt04"]})
    found = await films.post(f"{FILMS}/search/batch", content=stream(ids), headers=SENT)
    assert [answer["results"][0]["id"] for answer in found.json()["results"]] == ["tt00", "tt00"]


async def test_one_search_is_answered_in_arrow_too(films: httpx.AsyncClient) -> None:
    await put(films, *range(5))
    body = {"vector": ORIGIN, "limit": 2, "with_payload": False}
    table = read(await films.post(f"{FILMS}/search", json=body, headers=WANTED))
    assert table.column("id").to_pylist() == ["tt00", "tt01"]
    assert table.column("payload").null_count == 2
    assert json.loads(table.schema.metadata[b"akidb"])["missing_shards"] == {}
    nothing = {**body, "filter": {"year": 1}}
    assert read(await films.post(f"{FILMS}/search", json=nothing, headers=WANTED)).num_rows == 0


async def test_a_failed_search_fails_its_batch_in_arrow(
    database: Database, films: httpx.AsyncClient
) -> None:
    await put(films, *range(40))
    database.hosts.down.add(database.stores[0])
    body = {"searches": [{"vector": ORIGIN}, {"vector": ORIGIN, "partial_results": True}]}
    failed = await films.post(f"{FILMS}/search/batch", json=body, headers=WANTED)
    assert failed.status_code == 503
    part = {"vector": ORIGIN, "partial_results": True}
    table = read(await films.post(f"{FILMS}/search", json=part, headers=WANTED))
    assert json.loads(table.schema.metadata[b"akidb"])["missing_shards"]["0"]


def replaced(name: str, column: Any) -> pa.Table:
    table = films_table(1, 2)
    return table.set_column(table.column_names.index(name), name, column)


BAD_TABLES: dict[str, tuple[pa.Table, str]] = {
    "null id": (replaced("id", pa.array(["a", None])), "documents[1].id"),
    "numbers as ids": (replaced("id", pa.array([1, 2])), "id"),
    "empty id": (replaced("id", pa.array(["a", ""])), "documents[1].id"),
    "no ids": (films_table(1).drop_columns(["id"]), "documents[0].id"),
    "float64": (
        replaced("vector", vectors(np.ones((2, 16))).cast(pa.list_(pa.float64(), 16))),
        "vector",
    ),
    "narrow": (replaced("vector", vectors(np.ones((2, 3)))), "documents[0].vector"),
    "width 0": (
        replaced("vector", pa.array([[], []], pa.list_(pa.float32(), 0))),
        "documents[0].vector",
    ),
    "null in a vector": (
        replaced("vector", pa.array([[1.0] * 16, [None] * 16], pa.list_(pa.float32(), 16))),
        "documents[1].vector",
    ),
    "null vector, no model": (
        replaced("vector", pa.array([[1.0] * 16, None], pa.list_(pa.float32(), 16))),
        "documents[1].vector",
    ),
    "NaN": (replaced("vector", vectors([[1.0] * 16, [np.nan] * 16])), "documents[1].vector"),
    "payload is no JSON": (replaced("payload", pa.array(["{}", "{"])), "documents[1].payload"),
    "payload is a list": (replaced("payload", pa.array(["{}", "[]"])), "documents[1].payload"),
    "payload of bytes": (replaced("payload", pa.array([b"{}", b"{}"])), "payload"),
    "NaN in a struct": (
        replaced("payload", pa.array([{"a": 1.0}, {"a": float("nan")}])),
        "documents[1].payload",
    ),
    "date in a struct": (
        replaced("payload", pa.array([{"a": datetime.date(2020, 1, 1)}] * 2)),
        "documents[0].payload",
    ),
    "unknown column": (films_table(1).append_column("vectr", pa.array([1])), "vectr"),
    "expiry as text": (films_table(1).append_column("expires_at", pa.array(["x"])), "expires_at"),
    "twice the same column": (films_table(1).append_column("id", pa.array(["b"])), "id"),
    "a dictionary": (replaced("text", pa.array(["a", "b"]).dictionary_encode()), "body"),
    "no rows": (films_table(1).slice(1), "documents"),
}


async def test_a_bad_column_is_named_and_nothing_is_written(films: httpx.AsyncClient) -> None:
    for name, (table, field) in BAD_TABLES.items():
        refused = await send(films, table)
        assert refused.status_code == 422, (name, refused.text)
        assert (name, refused.json()["field"]) == (name, field)
    assert await post(films, "/count") == {"count": 0}


async def test_a_compressed_stream_is_refused(films: httpx.AsyncClient) -> None:
    for codec in ("zstd", "lz4"):
        options = pa.ipc.IpcWriteOptions(compression=codec)
        content = stream(films_table(*range(20)), options)
        refused = await films.put(f"{FILMS}/documents", content=content, headers=SENT)
        assert refused.status_code == 422, refused.text
        assert "compressed" in refused.json()["detail"]


async def test_too_many_rows_are_refused(films: httpx.AsyncClient) -> None:
    refused = await send(films, films_table(*range(1001)))
    assert (refused.status_code, refused.json()["field"]) == (413, "documents")


async def test_too_many_batches_are_refused_though_they_are_empty(
    films: httpx.AsyncClient,
) -> None:
    table = films_table(1)
    for empty, status in ((999, 200), (1000, 413)):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            for _ in range(empty):
                writer.write_batch(table.to_batches()[0].slice(1))
            writer.write_table(table)
        content = sink.getvalue().to_pybytes()
        answer = await films.put(f"{FILMS}/documents", content=content, headers=SENT)
        assert answer.status_code == status, answer.text
    assert (answer.json()["field"], answer.json()["limit"]) == ("documents", 1000)


class SeenLimit(int):
    """Notes which thread something is compared with it in."""

    thread = 0

    def __lt__(self, other: int) -> bool:
        self.thread = threading.get_ident()
        return int(self) < other


@pytest.mark.parametrize(("documents", "in_thread"), [(1, False), (800, True)])
async def test_a_large_stream_is_read_in_a_thread(
    database: Database, films: httpx.AsyncClient, documents: int, in_thread: bool
) -> None:
    seen = SeenLimit(1000)
    app = build_app(replace(database.services, max_batch_documents=seen))
    table = films_table(*range(documents))
    table = table.set_column(2, "text", pa.array(["rain " * 100] * documents))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://akidb", headers=films.headers
    ) as client:
        written = await send(client, table)
    assert written.status_code == 200, written.text
    assert (seen.thread != threading.get_ident()) == in_thread


@pytest.mark.parametrize("seed", range(3))
async def test_damaged_streams_are_refused_or_read(films: httpx.AsyncClient, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = stream(films_table(*range(5)))
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        content = bytes(damaged[: rng.integers(1, len(whole) + 1)])
        answer = await films.put(f"{FILMS}/documents", content=content, headers=SENT)
        assert answer.status_code in (200, 400, 413, 422), answer.text


async def test_a_stream_where_json_is_wanted_is_refused(films: httpx.AsyncClient) -> None:
    content = stream(films_table(1))
    refused = await films.post(f"{FILMS}/count", content=content, headers=SENT)
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")
    for path in ("documents", "search/batch"):
        empty = await films.post(f"{FILMS}/{path}", content=b"", headers=SENT)
        assert empty.status_code == 400, empty.text
