"""Jobs of the catalog's actor go on after its process was killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import ServerProcess, kill_actor, wait_until

COLLECTIONS = 6
SHARDS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """One of our own, to be killed."""
    settings = {"AKIDB_RAY_SHARD_HOSTS_PER_NODE": "2", "AKIDB_SERVER_REQUEST_TIMEOUT_S": "10"}
    running = ServerProcess(tmp_path / "data", settings).start()
    yield running
    running.kill_everything()


def make_tenant(client: httpx.Client, slug: str, collections: int) -> str:
    """With documents in each collection. Returns its id."""
    made = client.post("/v2/tenants", json={"name": slug, "slug": slug})
    assert made.status_code == 201, made.text
    databases = f"/v2/tenants/{slug}/databases"
    for number in range(2):
        assert client.post(databases, json={"name": f"d{number}"}).status_code == 201
    for number in range(collections):
        path = f"{databases}/d{number % 2}/collections"
        body = {"name": f"c{number}", "dimension": 16, "shard_count": SHARDS}
        assert client.post(path, json=body).status_code == 201
        documents = [{"id": f"d{n}", "vector": [float(n + 1)] * 16} for n in range(50)]
        answer = client.put(f"{path}/c{number}/documents", json={"documents": documents})
        assert answer.status_code == 200, answer.text
    return str(made.json()["tenant_id"])


def folders_of(server: ServerProcess, tenant_id: str) -> int:
    """How many shards of the tenant have a folder."""
    return len(list(server.data_dir.glob(f"stores/*/tenants/{tenant_id}/*/*")))


def job_of(client: httpx.Client, job_id: str) -> Any:
    """None while the catalog can't be asked."""
    answer = client.get(f"/v2/jobs/{job_id}")
    assert answer.status_code in (200, 503), answer.text
    return answer.json() if answer.status_code == 200 else None


@pytest.mark.crash
def test_a_purge_goes_on_after_the_catalog_was_killed_in_the_middle(
    server: ServerProcess,
) -> None:
    with server.client() as client:
        doomed = make_tenant(client, "doomed", COLLECTIONS)
        kept = make_tenant(client, "kept", 2)
        assert folders_of(server, doomed) == COLLECTIONS * SHARDS
        assert client.delete("/v2/tenants/doomed").is_success

        # With one of the two hosts silent the purge gets no further than half of a collection.
        silent = server.processes("ray::ShardHost")[0]
        silent.suspend()
        answer = client.post("/v2/tenants/doomed/purge?wait_s=0")
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["job_id"]
        wait_until(lambda: folders_of(server, doomed) < COLLECTIONS * SHARDS)
        kill_actor(server, "CatalogActor")
        silent.resume()
        running = wait_until(lambda: job_of(client, job_id))
        assert running["state"] == "running" or running["done"] == COLLECTIONS

        ended = wait_until(lambda: (job := job_of(client, job_id)) and _ended(job))
        assert (ended["state"], ended["done"]) == ("succeeded", COLLECTIONS)
        assert folders_of(server, doomed) == 0
        assert client.get("/v2/tenants/doomed").status_code == 404
        assert folders_of(server, kept) == 2 * SHARDS
        for number in range(2):
            path = f"/v2/tenants/kept/databases/d{number}/collections/c{number}"
            assert client.post(f"{path}/count", json={}).json() == {"count": 50}
        assert client.post("/v2/tenants", json={"name": "x", "slug": "doomed"}).status_code == 201


def _ended(job: Any) -> Any:
    return job if job["state"] != "running" else None
