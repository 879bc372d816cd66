"""The main job over the wire: text in, embedded by MLX, durable, found by meaning."""

from typing import Any

import httpx
import pytest

from tests.serving import COLLECTIONS, ServerProcess, wait_until

TEXTS = {
    "whale": "The blue whale is the largest animal that has ever lived.",
    "bread": "Knead the dough, let it rise for an hour, and bake it until the crust is golden.",
    "court": "The judge dismissed the lawsuit because the contract was never signed.",
    "rocket": "The spacecraft fired its engines and left the orbit of the Earth.",
    "piano": "She practised the sonata every evening until her fingers knew the notes.",
}


@pytest.fixture(scope="module")
def notes(server: ServerProcess) -> Any:
    with server.client() as client:
        body = {"name": "meaning", "embedding_model": "all-MiniLM-L6-v2", "shard_count": 2}
        assert client.post(COLLECTIONS, json=body).status_code == 201
        documents = [
            {"id": name, "text": text, "payload": {"length": len(text), "tags": [name[0], "all"]}}
            for name, text in TEXTS.items()
        ]
        answer = client.put(f"{COLLECTIONS}/meaning/documents", json={"documents": documents})
        assert answer.json()["acknowledged"] == len(TEXTS)
        yield client


def found(client: httpx.Client, **body: Any) -> list[str]:
    answer = client.post(f"{COLLECTIONS}/meaning/search", json=body)
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["results"]]


@pytest.mark.parametrize(
    ("words", "best"),
    [
        ("a huge creature of the sea", "whale"),
        ("how to make a loaf", "bread"),
        ("legal dispute", "court"),
        ("travelling into space", "rocket"),
        ("learning an instrument", "piano"),
    ],
)
def test_meaning_finds_the_right_text(notes: httpx.Client, words: str, best: str) -> None:
    assert found(notes, text=words)[0] == best


def test_a_filter_narrows_a_search_by_text(notes: httpx.Client) -> None:
    tagged = {"must": [{"key": "tags", "match": {"value": "b"}}]}
    assert found(notes, text="travelling into space", filter=tagged) == ["bread"]
    assert len(found(notes, text="anything", limit=3)) == 3


def test_a_long_text_is_reported_as_truncated(notes: httpx.Client) -> None:
    documents = [{"id": "long", "text": "word " * 1000}, {"id": "short", "text": "word"}]
    answer = notes.put(f"{COLLECTIONS}/meaning/documents", json={"documents": documents})
    assert answer.json()["truncated_ids"] == ["long"]
    notes.post(f"{COLLECTIONS}/meaning/documents/delete", json={"ids": ["long", "short"]})


def test_ingested_documents_get_an_index(server: ServerProcess) -> None:
    with server.client() as client:
        client.post(COLLECTIONS, json={"name": "many", "embedding_model": "hashing-64"})
        for start in range(0, 600, 200):
            documents = [{"id": str(n), "text": f"number {n}"} for n in range(start, start + 200)]
            client.put(f"{COLLECTIONS}/many/documents", json={"documents": documents})
        wait_until(lambda: not client.get(f"{COLLECTIONS}/many").json()["status"]["indexing"])
        assert client.get(f"{COLLECTIONS}/many").json()["status"]["unindexed"] == 0
        answer = client.post(
            f"{COLLECTIONS}/many/search", json={"text": "number 77", "limit": 20}
        ).json()
        assert "77" in [hit["id"] for hit in answer["results"]]
        client.delete(f"{COLLECTIONS}/many")
