"""Collections over REST: made with settings that stay, renamed, deleted by a job."""

from typing import Any

import httpx
import pytest

from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.gateway.rest.schemas import CollectionAnswer, CollectionStatusAnswer
from tests.in_process import MODEL, Database
from tests.serving import COLLECTIONS

SMALL = {"dimension": 16}


async def make(client: httpx.AsyncClient, name: str, **body: Any) -> dict[str, Any]:
    made = await client.post(COLLECTIONS, json={"name": name, **(body or SMALL)})
    assert made.status_code == 201, made.text
    collection: dict[str, Any] = made.json()
    return collection


async def test_a_collection_shows_all_settings_with_their_defaults(
    client: httpx.AsyncClient,
) -> None:
    made = await make(client, "notes", embedding_model=MODEL, description="Notizen, 笔记")
    settings = {
        "dimension": 64,
        "metric": "cosine",
        "shard_count": 1,
        "index_kind": "hnsw",
        "hnsw_m": 32,
        "hnsw_ef_construction": 200,
        "hnsw_engine": "faiss",
        "language": "english",
        "embedding_model": MODEL,
        "replica_factor": 1,
        "tiering_policy": "memory",
        "sync_policy": "continuous",
        "wal_retention_seconds": 604_800,
        "max_doc_count": 50_000_000,
    }
    assert {name: made[name] for name in settings} == settings
    assert (made["state"], made["description"]) == ("ready", "Notizen, 笔记")
    assert CollectionAnswer.model_validate(made)
    shown = (await client.get(f"{COLLECTIONS}/notes")).json()
    assert CollectionStatusAnswer.model_validate(shown).status is not None
    by_id = (await client.get(f"{COLLECTIONS}/{made['collection_id']}")).json()
    assert {name: by_id[name] for name in made} == made


async def test_a_collection_keeps_the_settings_that_were_asked_for(
    client: httpx.AsyncClient,
) -> None:
    settings = {
        "dimension": 32,
        "metric": "l2",
        "shard_count": 3,
        "index_kind": "flat",
        "hnsw_m": 16,
        "hnsw_ef_construction": 100,
        "hnsw_engine": "hnswlib",
        "language": "german",
        "wal_retention_seconds": 60,
        "max_doc_count": 10,
    }
    made = await make(client, "c", **settings)
    assert {name: made[name] for name in settings} == settings
    shown = (await client.get(f"{COLLECTIONS}/c")).json()
    assert {name: shown[name] for name in settings} == settings
    assert len(shown["status"]["shards"]) == 3


async def test_a_setting_cannot_change_after_creation(client: httpx.AsyncClient) -> None:
    made = await make(client, "c")
    for setting in CollectionSpec.__dataclass_fields__:
        for value in (made[setting], 64, "x", None, {"deep": []}):
            refused = await client.patch(f"{COLLECTIONS}/c", json={setting: value})
            assert (refused.status_code, refused.json()["field"]) == (422, setting)
            assert "cannot change after creation" in refused.json()["detail"]


WRONG_CHANGES = [
    ({"name": "taken"}, 409, "name", "exists already"),
    ({"name": "a b"}, 422, "name", "letters"),
    ({"name": None}, 422, "name", "1 to 255"),
    ({"description": 7}, 422, "description", "string"),
    ({"state": "deleting"}, 422, "state", "creating and deleting only"),
    ({"collection_id": "x"}, 422, "collection_id", "cannot change after creation"),
    ({"colour": "red"}, 422, "colour", "is not a field that can change"),
]


async def test_a_wrong_change_of_a_collection_is_refused_by_the_name_of_the_field(
    client: httpx.AsyncClient,
) -> None:
    await make(client, "taken")
    before = await make(client, "c")
    for body, status, field, reason in WRONG_CHANGES:
        refused = await client.patch(f"{COLLECTIONS}/c", json=body)
        assert refused.status_code == status, refused.text
        assert refused.json()["field"] == field
        assert reason in refused.json()["detail"]
        after = (await client.get(f"{COLLECTIONS}/c")).json()
        assert {name: after[name] for name in before} == before


async def test_a_collection_is_renamed_and_described(client: httpx.AsyncClient) -> None:
    made = await make(client, "notes")
    body = {"name": "papers", "description": "Aufsätze"}
    changed = (await client.patch(f"{COLLECTIONS}/notes", json=body)).json()
    assert (changed["name"], changed["description"]) == ("papers", "Aufsätze")
    assert changed["version"] == made["version"] + 1
    assert (await client.get(f"{COLLECTIONS}/notes")).status_code == 404
    assert (await client.post(f"{COLLECTIONS}/papers/count", json={})).json() == {"count": 0}


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
    await make(client, "c")
    documents = [{"id": "1", "vector": [1.0] * 16}]
    await client.put(f"{COLLECTIONS}/c/documents", json={"documents": documents})
    gone = await client.delete(f"{COLLECTIONS}/c?wait_s=60")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await client.get(f"{COLLECTIONS}/c")).status_code == 404
    await make(client, "c", dimension=32)
    assert (await client.post(f"{COLLECTIONS}/c/count", json={})).json() == {"count": 0}


async def test_an_interrupted_creation_is_finished_by_asking_again(database: Database) -> None:
    client, collections = database.client, database.services.collections
    directory = await database.services.copy.catch_up()
    parent = directory.database(directory.tenant("default"), "default")
    await database.catalog.create_collection(parent.database_id, "half", CollectionSpec(16))
    refused = await client.post(f"{COLLECTIONS}/half/count", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    directory = await database.services.copy.catch_up()
    half = directory.collection(directory.tenant("default"), parent, "half")
    assert (await collections.finish(half)).collection.state is CollectionState.READY
    assert (await client.post(f"{COLLECTIONS}/half/count", json={})).json() == {"count": 0}

    database.hosts.down.update(database.stores)
    body = {"name": "again", "dimension": 16}
    assert (await client.post(COLLECTIONS, json=body)).status_code == 503
    shown = (await client.get(f"{COLLECTIONS}/again")).json()
    assert (shown["state"], "status" in shown) == ("creating", False)
    database.hosts.down.clear()
    other = {**body, "dimension": 32}
    assert (await client.post(COLLECTIONS, json=other)).status_code == 409
    assert (await client.post(COLLECTIONS, json=body)).json()["state"] == "ready"


async def test_a_collection_that_is_being_deleted_is_not_made_again(database: Database) -> None:
    client = database.client
    await make(client, "c")
    database.hosts.down.update(database.stores)
    assert (await client.delete(f"{COLLECTIONS}/c?wait_s=0")).status_code == 202
    shown = (await client.get(f"{COLLECTIONS}/c")).json()
    assert shown["state"] == "deleting"
    again = await client.post(COLLECTIONS, json={"name": "c", **SMALL})
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    directory = await database.services.copy.catch_up()
    tenant = directory.tenant("default")
    place = directory.collection(tenant, directory.database(tenant, "default"), "c")
    assert await database.services.collections.finish(place) == place
    database.hosts.down.clear()
    assert (await client.delete(f"{COLLECTIONS}/c?wait_s=60")).status_code == 204


@pytest.mark.parametrize("ref", ["nope", "a%2Fb", "%00", "%E9%9B%AA", "%25", "0" * 3000])
async def test_a_collection_that_is_not_there_is_not_found_whatever_its_name(
    client: httpx.AsyncClient, ref: str
) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        body = {} if method == "PATCH" else None
        answer = await client.request(method, f"{COLLECTIONS}/{ref}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"[]", 422), (b"", 422), (b"null", 422), (b'"x"', 422)]
)
async def test_a_body_that_is_no_object_is_refused(
    client: httpx.AsyncClient, content: bytes, status: int
) -> None:
    await make(client, "c")
    for method, path in (
        ("POST", COLLECTIONS), ("PATCH", f"{COLLECTIONS}/c"), ("POST", "/v2/tenants"),
        ("PATCH", "/v2/tenants/default"), ("POST", "/v2/tenants/default/databases"),
    ):  # fmt: skip
        refused = await client.request(method, path, content=content)
        assert refused.status_code == status, refused.text
        assert refused.headers["content-type"] == "application/problem+json"


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


async def test_a_name_never_looks_like_an_id_and_only_two_fields_change(
    client: httpx.AsyncClient,
) -> None:
    first = (await client.post(COLLECTIONS, json={"name": "a", "dimension": 16})).json()
    for name in (first["collection_id"], first["collection_id"].replace("-", "")):
        for method, path, body in (
            ("POST", COLLECTIONS, {"name": name, "dimension": 16}),
            ("PATCH", f"{COLLECTIONS}/a", {"name": name}),
            ("POST", "/v2/tenants/default/databases", {"name": name}),
        ):
            refused = await client.request(method, path, json=body)
            assert (refused.status_code, refused.json()["field"]) == (422, "name")
            assert "must not look like an id" in refused.json()["detail"]
    refused = await client.patch(f"{COLLECTIONS}/a", json={"colour": 1})
    assert refused.json()["detail"].endswith("these can: description, name")
    assert (await client.patch(f"{COLLECTIONS}/a", json={"state": "ready"})).status_code == 422
