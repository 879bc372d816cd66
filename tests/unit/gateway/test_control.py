"""Tenants, databases and collections over REST."""

import httpx
import pytest

from akidb_ray.domain.collection import CollectionSpec, CollectionState
from tests.in_process import MODEL, Database
from tests.serving import COLLECTIONS


async def test_the_first_start_has_tenant_and_database_default(client: httpx.AsyncClient) -> None:
    tenants = (await client.get("/v2/tenants")).json()
    assert [tenant["slug"] for tenant in tenants["tenants"]] == ["default"]
    assert tenants["next_cursor"] is None
    databases = (await client.get("/v2/tenants/default/databases")).json()["databases"]
    assert [(d["name"], d["state"]) for d in databases] == [("default", "ready")]


async def test_a_tenant_is_made_changed_and_decommissioned(client: httpx.AsyncClient) -> None:
    made = await client.post("/v2/tenants", json={"name": "Acme Ltd", "quotas": {"qps_quota": 200}})
    assert made.status_code == 201
    tenant = made.json()
    assert (tenant["slug"], tenant["status"]) == ("acme-ltd", "active")
    assert tenant["quotas"]["qps_quota"] == 200
    by_id = await client.get(f"/v2/tenants/{tenant['tenant_id']}")
    assert by_id.json() == tenant
    changed = await client.patch(
        "/v2/tenants/acme-ltd", json={"name": "Acme", "if_version": tenant["version"]}
    )
    assert changed.json()["name"] == "Acme"
    stale = await client.patch(
        "/v2/tenants/acme-ltd", json={"name": "Other", "if_version": tenant["version"]}
    )
    assert stale.status_code == 412
    gone = await client.delete("/v2/tenants/acme-ltd")
    assert gone.json()["status"] == "decommissioned"
    illegal = await client.patch("/v2/tenants/acme-ltd", json={"status": "active"})
    assert (illegal.status_code, illegal.json()["code"]) == (409, "invalid_state")


async def test_a_suspended_tenant_reads_and_writes_nothing(client: httpx.AsyncClient) -> None:
    await client.post(COLLECTIONS, json={"name": "c", "dimension": 16})
    await client.patch("/v2/tenants/default", json={"status": "suspended"})
    refused = await client.post(f"{COLLECTIONS}/c/count", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    changes = (
        await client.patch(f"{COLLECTIONS}/c", json={"description": "x"}),
        await client.delete(f"{COLLECTIONS}/c"),
        await client.post("/v2/tenants/default/databases", json={"name": "x"}),
    )
    assert [answer.status_code for answer in changes] == [409, 409, 409]
    await client.patch("/v2/tenants/default", json={"status": "active"})
    assert (await client.post(f"{COLLECTIONS}/c/count", json={})).json() == {"count": 0}


async def test_databases_are_made_listed_changed_and_deleted(client: httpx.AsyncClient) -> None:
    root = "/v2/tenants/default/databases"
    assert (await client.post(root, json={"name": "main"})).status_code == 201
    changed = await client.patch(f"{root}/main", json={"description": "the main one"})
    assert changed.json()["description"] == "the main one"
    assert (await client.get(f"{root}/main")).json() == changed.json()
    await client.post(f"{root}/main/collections", json={"name": "c", "dimension": 16})
    assert (await client.delete(f"{root}/main")).status_code == 409
    await client.delete(f"{root}/main/collections/c")
    assert (await client.delete(f"{root}/main")).status_code == 204
    assert (await client.get(f"{root}/main")).status_code == 404


async def test_lists_page_by_an_opaque_cursor(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.post(COLLECTIONS, json={"name": f"c{number}", "dimension": 16})
    names: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await client.get(COLLECTIONS, params=query)).json()
        names += [collection["name"] for collection in page["collections"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == [f"c{number}" for number in range(5)]
    for cursor in ("no-cursor!", "é"):
        broken = await client.get(COLLECTIONS, params={"cursor": cursor})
        assert (broken.status_code, broken.json()["field"]) == (422, "cursor")


async def test_a_collection_shows_its_settings_and_takes_the_width_of_its_model(
    client: httpx.AsyncClient,
) -> None:
    made = await client.post(COLLECTIONS, json={"name": "notes", "embedding_model": MODEL})
    assert made.status_code == 201
    collection = made.json()
    assert (collection["dimension"], collection["state"]) == (64, "ready")
    assert (collection["hnsw_m"], collection["hnsw_ef_construction"]) == (32, 200)
    assert (collection["hnsw_engine"], collection["language"]) == ("faiss", "english")
    renamed = await client.patch(f"{COLLECTIONS}/notes", json={"name": "papers"})
    assert renamed.json()["name"] == "papers"
    fixed = await client.patch(f"{COLLECTIONS}/papers", json={"dimension": 32})
    assert (fixed.status_code, fixed.json()["field"]) == (422, "dimension")


async def test_a_collection_names_the_library_of_its_graphs_and_the_language_of_its_texts(
    client: httpx.AsyncClient,
) -> None:
    body = {"name": "c", "dimension": 16, "hnsw_engine": "hnswlib", "language": "german"}
    made = (await client.post(COLLECTIONS, json=body)).json()
    assert (made["hnsw_engine"], made["language"]) == ("hnswlib", "german")
    shown = (await client.get(f"{COLLECTIONS}/c")).json()
    assert (shown["hnsw_engine"], shown["language"]) == ("hnswlib", "german")


@pytest.mark.parametrize(
    ("field", "unknown", "known"),
    [("hnsw_engine", "nmslib", "faiss"), ("language", "klingon", "yiddish")],
)
async def test_an_unknown_library_or_language_is_refused_with_those_that_are_known(
    client: httpx.AsyncClient, field: str, unknown: str, known: str
) -> None:
    body = {"name": "c", "dimension": 16, field: unknown}
    refused = await client.post(COLLECTIONS, json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert known in refused.json()["detail"]


async def test_deleting_a_collection_frees_its_name(client: httpx.AsyncClient) -> None:
    await client.post(COLLECTIONS, json={"name": "c", "dimension": 16})
    documents = [{"id": "1", "vector": [1.0] * 16}]
    await client.put(f"{COLLECTIONS}/c/documents", json={"documents": documents})
    assert (await client.delete(f"{COLLECTIONS}/c")).status_code == 204
    assert (await client.get(f"{COLLECTIONS}/c")).status_code == 404
    await client.post(COLLECTIONS, json={"name": "c", "dimension": 32})
    assert (await client.post(f"{COLLECTIONS}/c/count", json={})).json() == {"count": 0}


async def test_an_interrupted_creation_and_deletion_can_be_finished(database: Database) -> None:
    client, collections = database.client, database.services.collections
    default = (await client.get("/v2/tenants/default/databases/default")).json()
    tenant = database.services.copy.directory.tenant("default")
    parent = database.services.copy.directory.database(tenant, default["name"])
    await database.catalog.create_collection(parent.database_id, "half", CollectionSpec(16))
    refused = await client.post(f"{COLLECTIONS}/half/count", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    for place in (await database.services.copy.catch_up()).unfinished_collections():
        await collections.finish(place)
    assert (await client.post(f"{COLLECTIONS}/half/count", json={})).json() == {"count": 0}

    database.hosts.down.update(database.stores)
    body = {"name": "again", "dimension": 16}
    assert (await client.post(COLLECTIONS, json=body)).status_code == 503
    database.hosts.down.clear()
    other = {**body, "dimension": 32}
    assert (await client.post(COLLECTIONS, json=other)).status_code == 409
    assert (await client.post(COLLECTIONS, json=body)).json()["state"] == "ready"

    database.hosts.down.update(database.stores)
    assert (await client.delete(f"{COLLECTIONS}/half")).status_code == 503
    database.hosts.down.clear()
    (place,) = (await database.services.copy.catch_up()).unfinished_collections()
    assert place.collection.state is CollectionState.DELETING
    await collections.finish(place)
    assert (await client.get(f"{COLLECTIONS}/half")).status_code == 404


async def test_health_says_what_is_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    health = (await client.get("/v2/cluster/health")).json()
    assert (health["status"], health["tenants"], len(health["stores"])) == ("ok", 1, 2)


async def test_a_host_that_is_away_shows_in_health_and_readiness(database: Database) -> None:
    database.hosts.down.add(database.stores[0])
    health = (await database.client.get("/v2/cluster/health")).json()
    assert health["status"] == "degraded"
    assert [store["alive"] for store in health["stores"]].count(False) == 1
    database.hosts.down.add(database.stores[1])
    ready = await database.client.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
    database.hosts.down.clear()
    assert (await database.client.get("/readyz")).status_code == 200


async def test_openapi_shows_every_route_with_examples(client: httpx.AsyncClient) -> None:
    openapi = (await client.get("/openapi.json")).json()
    base = "/v2/tenants/{tenant}/databases/{database}/collections/{collection}"
    assert {f"{base}/search", f"{base}/documents", f"{base}/count"} <= set(openapi["paths"])
    assert openapi["components"]["schemas"]["SearchBody"]["examples"]
    assert "HTTPBearer" in openapi["components"]["securitySchemes"]


async def test_a_collection_takes_no_more_documents_than_it_was_made_for(
    client: httpx.AsyncClient,
) -> None:
    await client.post(
        COLLECTIONS, json={"name": "c", "dimension": 16, "max_doc_count": 3, "shard_count": 3}
    )
    documents = [{"id": str(number), "vector": [1.0] * 16} for number in range(4)]
    path = f"{COLLECTIONS}/c/documents"
    assert (await client.put(path, json={"documents": documents[:3]})).is_success
    refused = await client.put(path, json={"documents": documents[1:]})
    assert refused.status_code == 429
    problem = refused.json()
    assert (problem["quota"], problem["limit"], problem["used"]) == ("max_doc_count", 3, 3)
    assert (await client.put(path, json={"documents": documents[:3]})).is_success
    assert (await client.post(f"{COLLECTIONS}/c/count", json={})).json() == {"count": 3}


async def test_a_flat_collection_builds_no_graph(client: httpx.AsyncClient) -> None:
    body = {"name": "c", "dimension": 16, "index_kind": "flat", "metric": "l2"}
    await client.post(COLLECTIONS, json=body)
    documents = [{"id": str(number), "vector": [float(number)] * 16} for number in range(200)]
    await client.put(f"{COLLECTIONS}/c/documents", json={"documents": documents})
    assert (await client.get(f"{COLLECTIONS}/c")).json()["status"]["unindexed"] == 0
    found = await client.post(f"{COLLECTIONS}/c/search", json={"vector": [7.0] * 16, "limit": 1})
    assert found.json()["results"][0]["id"] == "7"
