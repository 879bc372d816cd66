"""The synchronous client over the wire, and what its page shows."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import akidb
import numpy as np
import pytest

from tests.serving import ROOT_KEY, ServerProcess

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
BLOCK = re.compile(r"^```python run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VECTORS = np.random.default_rng(3).normal(size=(500, 16)).astype(np.float32)
IDS = [str(row) for row in range(len(VECTORS))]


@pytest.fixture
def connected(server: ServerProcess) -> Iterator[akidb.Client]:
    limits = akidb.BatchLimits(documents=200)
    with akidb.Client(server.url, api_key=ROOT_KEY, batches=limits) as client:
        yield client


def test_a_collection_is_made_filled_searched_and_deleted(connected: akidb.Client) -> None:
    films = connected.create_collection("client-films", dimension=16, shard_count=2)
    written = films.upsert(ids=IDS, vectors=VECTORS, payloads=[{"row": int(id)} for id in IDS])
    assert (written.affected, len(written.versions)) == (500, 3)
    results = films.search(vector=VECTORS[42], limit=3, with_vector=True)
    assert (results.ids[0], results[0].payload) == ("42", {"row": 42})
    np.testing.assert_allclose(results[0].vector, VECTORS[42], rtol=1e-6)
    assert [document.id for document in films.scroll(page_size=150)] == sorted(IDS)
    assert films.count({"row": {"$lt": 10}}) == 10
    assert films.delete(filter={"row": {"$lt": 10}}).affected == 10
    assert films.get_many(["3", "30"])[0] is None
    again = connected.get_or_create_collection("client-films", dimension=16, shard_count=2)
    assert again.get("42", timeout_ms=60_000).payload == {"row": 42}
    assert connected.delete_collection("client-films") is None
    with pytest.raises(akidb.NotFound):
        films.count()


def test_texts_are_found_by_meaning_and_by_word(connected: akidb.Client) -> None:
    notes = connected.create_collection("client-notes", embedding_model="all-MiniLM-L6-v2")
    notes.upsert(
        [
            {"id": "1", "text": "Ray actors hold the shards."},
            {"id": "2", "text": "Bread needs flour, water, salt and time."},
        ]
    )
    assert notes.search(text="baking a loaf", limit=1).ids == ["2"]
    assert notes.search(text="shards", mode="keyword").ids == ["1"]
    assert notes.search(text="baking with actors", mode="hybrid", limit=2)[0].text
    connected.delete_collection("client-notes")


def test_errors_come_with_what_the_server_says(
    server: ServerProcess, connected: akidb.Client
) -> None:
    with pytest.raises(akidb.InvalidArgument) as raised:
        connected.create_collection("client-wrong", dimension=1)
    assert (raised.value.fields["field"], bool(raised.value.request_id)) == ("dimension", True)
    stranger = akidb.Client(server.url, api_key="wrong")
    with stranger, pytest.raises(akidb.Unauthenticated):
        stranger.collection("client-films").count()


def test_the_page_about_the_client_does_what_it_says(
    server: ServerProcess, connected: akidb.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGE.read_text("utf-8").replace("http://127.0.0.1:8100", server.url)
    blocks = BLOCK.findall(page.replace("akdb_root_...", ROOT_KEY))
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out.startswith("tt42 ")
    assert len(names["both"]) == 100
    assert names["written"].affected > 0
    names["client"].close()
    connected.delete_collection("movies")
