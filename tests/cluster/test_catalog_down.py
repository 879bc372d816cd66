"""While the catalog is away, everything known by then goes on; what needs it says so."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import COLLECTIONS, ServerProcess, wait_until

FILMS = f"{COLLECTIONS}/films"
END_CATALOG = """
import sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
ray.kill(ray.get_actor("catalog", namespace="akidb"), no_restart=True)
"""


@pytest.fixture
def server(address: str, tmp_path: Path) -> Iterator[ServerProcess]:
    settings = {"AKIDB_SERVER_REQUEST_TIMEOUT_S": "10"}
    running = ServerProcess(tmp_path / "data", settings, ("--address", address)).start()
    yield running
    running.stop()


def documents(first: int, count: int) -> dict[str, Any]:
    numbers = range(first, first + count)
    return {"documents": [{"id": str(n), "vector": [1.0, float(n)] * 8} for n in numbers]}


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_unavailable(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


@pytest.mark.cluster
def test_reads_and_writes_go_on_without_the_catalog_and_changes_of_it_are_unavailable(
    server: ServerProcess, address: str
) -> None:
    with server.client() as client:
        body = {"name": "films", "dimension": 16, "shard_count": 4}
        assert client.post(COLLECTIONS, json=body).status_code == 201
        ok(client.put(f"{FILMS}/documents", json=documents(0, 20)))
        subprocess.run([sys.executable, "-c", END_CATALOG, address], check=True)
        wait_until(lambda: is_unavailable(client.get("/v2/tenants/unknown")))
        health = ok(client.get("/v2/cluster/health"))
        assert (health["status"], health["collections"]) == ("degraded", 1)
        assert (health["catalog"]["alive"], health["catalog"]["version"]) == (False, None)
        assert "catalog" in health["catalog"]["error"]

        for number in range(20, 120, 5):
            ok(client.put(f"{FILMS}/documents", json=documents(number, 5)))
            best = {"vector": [1.0, float(number)] * 8, "limit": 3}
            assert len(ok(client.post(f"{FILMS}/search", json=best))["results"]) == 3
            assert ok(client.get(f"{FILMS}/documents/{number}"))["id"] == str(number)
            assert ok(client.post(f"{FILMS}/count", json={})) == {"count": number + 5}
        ok(client.post(f"{FILMS}/documents/delete", json={"ids": ["0", "1"]}))
        ok(client.get(FILMS))

        search = {"vector": [1.0] * 16}
        assert is_unavailable(client.get(f"{COLLECTIONS}/unknown"))
        assert is_unavailable(client.post(f"{COLLECTIONS}/unknown/search", json=search))
        assert is_unavailable(client.post("/v2/tenants", json={"name": "Acme"}))
        assert is_unavailable(client.post(COLLECTIONS, json={"name": "more", "dimension": 16}))
        assert is_unavailable(client.patch(FILMS, json={"description": "Plots"}))
        assert is_unavailable(client.delete(FILMS))
    assert server.stop() == 0

    server.start()
    with server.client() as client:
        health = ok(client.get("/v2/cluster/health"))
        assert (health["status"], health["catalog"]["alive"]) == ("ok", True)
        assert ok(client.post(f"{FILMS}/count", json={})) == {"count": 118}
        assert client.get(f"{COLLECTIONS}/unknown").status_code == 404
        assert client.patch(FILMS, json={"description": "Plots"}).status_code == 200
