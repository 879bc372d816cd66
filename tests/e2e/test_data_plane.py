"""The data plane over a real server: JSON and Arrow, writes, searches, embeddings."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.serving import COLLECTIONS, ServerProcess

C = f"{COLLECTIONS}/plane"
ARROW = "application/vnd.apache.arrow.stream"
ROWS = 300


@pytest.fixture(scope="module")
def plane(server: ServerProcess) -> Iterator[httpx.Client]:
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((ROWS, 16), dtype=np.float32)
    with server.client() as client:
        settings = {"name": "plane", "dimension": 16, "metric": "l2", "shard_count": 3}
        assert client.post(COLLECTIONS, json=settings).status_code == 201
        table = pa.table(
            {
                "id": [f"d{row:03}" for row in range(ROWS)],
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16),
                "text": [f"document number {row}" for row in range(ROWS)],
                "payload": [json.dumps({"n": row, "even": row % 2 == 0}) for row in range(ROWS)],
            }
        )
        written = client.put(
            f"{C}/documents", content=encoded(table), headers={"content-type": ARROW}
        )
        assert written.json()["acknowledged"] == ROWS, written.text
        yield client
        client.delete(C)


def encoded(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{C}{path}", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_a_batch_finds_each_document_by_its_vector_in_both_forms(plane: httpx.Client) -> None:
    ids = [f"d{row:03}" for row in range(0, ROWS, 30)]
    documents = post(plane, "/documents/get", ids=ids, with_vector=True)["documents"]
    searches = [{"vector": document["vector"], "limit": 1} for document in documents]
    found = post(plane, "/search/batch", searches=searches)["results"]
    assert [answer["results"][0]["id"] for answer in found] == ids
    answer = plane.post(f"{C}/search/batch", json={"searches": searches}, headers={"accept": ARROW})
    assert pa.ipc.open_stream(answer.content).read_all().column("id").to_pylist() == ids


def test_scrolling_goes_over_all_documents(plane: httpx.Client) -> None:
    seen: list[str] = []
    cursor = None
    while cursor is not None or not seen:
        page = post(plane, "/documents/scroll", limit=70, cursor=cursor, with_payload=False)
        seen += [document["id"] for document in page["documents"]]
        cursor = page["next_cursor"]
    assert seen == [f"d{row:03}" for row in range(ROWS)]


def test_values_are_counted_and_grouped_over_all_shards(plane: httpx.Client) -> None:
    facets = post(plane, "/facets", key="even")["facets"]
    assert facets == [{"value": False, "count": 150}, {"value": True, "count": 150}]
    groups = post(plane, "/search/groups", vector=[0.0] * 16, key="even", size=3)["groups"]
    assert sorted(group["value"] for group in groups) == [False, True]
    assert all(len(group["results"]) == 3 for group in groups)


def test_words_are_searched_for_over_all_shards(plane: httpx.Client) -> None:
    found = post(plane, "/search", text="217", mode="keyword")["results"]
    assert [hit["id"] for hit in found] == ["d217"]


def test_a_write_with_a_key_is_carried_out_once(plane: httpx.Client) -> None:
    request = {"filter": {"n": {"$lt": 3}}, "set": {"seen": True}}
    answers = [
        plane.post(f"{C}/documents/patch", json=request, headers={"idempotency-key": "e2e"}).json()
        for _ in range(2)
    ]
    assert answers[0]["patched"] == 3
    assert answers[1] == answers[0]
    version = answers[0]["version"]
    assert post(plane, "/count", filter={"seen": True}, min_version=version) == {"count": 3}


def test_texts_are_embedded_as_openai_s_clients_ask_for_it(plane: httpx.Client) -> None:
    body = {"model": "hashing-64", "input": ["rain", "snow"]}
    answer = plane.post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    assert [len(item["embedding"]) for item in answer.json()["data"]] == [64, 64]
