"""What is acknowledged survives SIGKILL of any process, and of all of them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serving import COLLECTIONS, ServerProcess, kill_actor, wait_until

DIMENSION = 32


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of our own, to be killed, beside the one of the session."""
    folder: Path = tmp_path_factory.mktemp("doomed") / "data"
    running = ServerProcess(folder, {"AKIDB_RAY_SHARD_HOSTS_PER_NODE": "2"}).start()
    yield running
    running.kill_everything()


def document(number: int, generation: int) -> dict[str, Any]:
    """A document whose vector and payload both tell its number and generation."""
    vector = np.random.default_rng((number, generation)).standard_normal(DIMENSION)
    return {
        "id": f"d{number}",
        "vector": vector.astype(np.float32).tolist(),
        "text": f"{number}/{generation}",
        "payload": {"number": number, "generation": generation},
    }


class Stream:
    """Upserts and deletes in a thread; remembers what was acknowledged, and what may have been."""

    def __init__(self, server: ServerProcess, collection: str) -> None:
        self._server = server
        self._collection = collection
        self.path = f"{COLLECTIONS}/{collection}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: dict[str, int | None] = {}
        self.uncertain: dict[str, set[int | None]] = {}
        self.batches = 0

    def __enter__(self) -> "Stream":
        with self._server.client() as client:
            body = {
                "name": self._collection,
                "dimension": DIMENSION,
                "metric": "cosine",
                "shard_count": 4,
            }
            assert client.post(COLLECTIONS, json=body).status_code == 201
        self._thread.start()
        wait_until(lambda: self.batches >= 5)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_more(self, batches: int) -> None:
        """Until so many more batches were acknowledged, that is, until the server is back."""
        wanted = self.batches + batches
        wait_until(lambda: self.batches >= wanted)

    def _run(self) -> None:
        generation = 0
        with self._server.client() as client:
            while not self._stop.is_set():
                generation += 1
                start = (generation * 37) % 400
                self._upsert(client, range(start, start + 40), generation)
                self._delete(client, range(start, start + 5))

    def _upsert(self, client: httpx.Client, numbers: range, generation: int) -> None:
        body = {"documents": [document(number, generation) for number in numbers]}
        self._send(
            client, "PUT", f"{self.path}/documents", body, {f"d{n}": generation for n in numbers}
        )

    def _delete(self, client: httpx.Client, numbers: range) -> None:
        ids = [f"d{number}" for number in numbers]
        self._send(
            client, "POST", f"{self.path}/documents/delete", {"ids": ids}, dict.fromkeys(ids)
        )

    def _send(
        self, client: httpx.Client, method: str, path: str, body: Any, effect: dict[str, int | None]
    ) -> None:
        try:
            done = client.request(method, path, json=body).status_code == 200
        except httpx.HTTPError:
            done = False
        for document_id, generation in effect.items():
            if done:
                self.acknowledged[document_id] = generation
                self.uncertain.pop(document_id, None)
            else:
                self.uncertain.setdefault(document_id, set()).add(generation)
        self.batches += done


def check(server: ServerProcess, stream: Stream) -> None:
    """Every acknowledged write is there, whole; what was not acknowledged is whole or absent."""
    searched: list[str] = []
    with server.client() as client:
        for document_id, generation in stream.acknowledged.items():
            allowed = {generation} | stream.uncertain.get(document_id, set())
            answer = client.get(f"{stream.path}/documents/{document_id}?with_vector=true")
            if answer.status_code == 404:
                assert None in allowed, f"{document_id} of generation {generation} is lost"
                continue
            found = answer.json()
            assert found["payload"]["generation"] in allowed, document_id
            expected = document(found["payload"]["number"], found["payload"]["generation"])
            assert found["text"] == expected["text"]
            np.testing.assert_allclose(found["vector"], expected["vector"], rtol=1e-5)
            if len(searched) < 20:
                searched.append(document_id)
                body = {"vector": found["vector"], "limit": 1}
                (best,) = client.post(f"{stream.path}/search", json=body).json()["results"]
                assert (best["id"], round(best["score"], 4)) == (document_id, 1.0)
        assert searched
        present = {i for i, g in stream.acknowledged.items() if g is not None}
        count = client.post(f"{stream.path}/count", json={}).json()["count"]
        assert abs(count - len(present)) <= len(stream.uncertain)


@pytest.mark.crash
def test_a_killed_shard_host_loses_nothing(doomed: ServerProcess) -> None:
    with Stream(doomed, "host") as stream:
        kill_actor(doomed, "ShardHost")
        stream.wait_for_more(10)
    check(doomed, stream)


@pytest.mark.crash
def test_a_killed_catalog_loses_nothing_and_stops_no_query(doomed: ServerProcess) -> None:
    with doomed.client() as client, Stream(doomed, "catalog") as stream:
        client.post("/v2/tenants", json={"name": "Before", "slug": "before"})
        (catalog,) = doomed.processes("ray::CatalogActor")
        catalog.suspend()
        # It answers nothing now, and nobody must need it.
        assert client.post(f"{stream.path}/count", json={}).status_code == 200
        vector = document(1, 1)["vector"]
        assert client.post(f"{stream.path}/search", json={"vector": vector}).status_code == 200
        stream.wait_for_more(10)
        kill_actor(doomed, "CatalogActor")
        stream.wait_for_more(10)
        wait_until(lambda: client.get("/v2/tenants/before").status_code == 200)
        made = wait_until(lambda: _make_tenant(client))
        assert made["slug"] == "after"
    check(doomed, stream)


def _make_tenant(client: httpx.Client) -> Any:
    answer = client.post("/v2/tenants", json={"name": "After", "slug": "after"})
    assert answer.status_code in (201, 503), answer.text
    return answer.json() if answer.status_code == 201 else None


@pytest.mark.crash
def test_a_killed_cluster_loses_nothing(doomed: ServerProcess) -> None:
    with Stream(doomed, "cluster") as stream:
        doomed.kill_everything()
    assert not doomed.processes()
    doomed.start()
    check(doomed, stream)
    with doomed.client() as client:
        assert client.get("/v2/tenants/before").status_code == 200
    with Stream(doomed, "afterwards") as more:
        pass
    check(doomed, more)
