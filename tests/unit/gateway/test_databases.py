"""Databases over REST: made, changed and deleted, with what is in them if that is wanted."""

import json
from typing import Any

import httpx
import pytest

from akidb_ray.gateway.rest.schemas import DatabaseAnswer
from tests.in_process import Database

DATABASES = "/v2/tenants/default/databases"


async def make(client: httpx.AsyncClient, name: str, **body: Any) -> dict[str, Any]:
    made = await client.post(DATABASES, json={"name": name, **body})
    assert made.status_code == 201, made.text
    database: dict[str, Any] = made.json()
    return database


async def test_a_database_is_made_shown_and_changed(client: httpx.AsyncClient) -> None:
    made = await make(client, "main", description="Für Filme 🎬")
    assert (made["state"], made["schema_version"], made["version"]) == ("ready", 1, 1)
    assert made["description"] == "Für Filme 🎬"
    assert DatabaseAnswer.model_validate(made)
    for ref in ("main", made["database_id"]):
        assert (await client.get(f"{DATABASES}/{ref}")).json() == made
    body = {"name": "films", "description": "the main one"}
    changed = (await client.patch(f"{DATABASES}/main", json=body)).json()
    assert (changed["name"], changed["description"]) == ("films", "the main one")
    assert changed["version"] == 2
    assert (await client.get(f"{DATABASES}/films")).json() == changed
    assert (await client.get(f"{DATABASES}/main")).status_code == 404


WRONG_DATABASES = [
    ({}, 422, "name", "required"),
    ({"name": ""}, 422, "name", "1 to 255"),
    ({"name": "a/b"}, 422, "name", "letters"),
    ({"name": "雪"}, 422, "name", "letters"),
    ({"name": "a", "description": None}, 422, "description", "string"),
    ({"name": "a", "description": "\0"}, 422, "description", "NUL"),
    ({"name": "a", "description": "\ud800"}, 422, "description", "surrogate"),
    ({"name": "a", "description": "x" * 4097}, 422, "description", "4096"),
    ({"name": "a", "state": "ready"}, 422, "state", "not known"),
    ({"name": "default"}, 409, "name", "exists already"),
]


async def test_a_new_database_with_a_wrong_value_is_refused_by_the_name_of_the_field(
    client: httpx.AsyncClient,
) -> None:
    for body, status, field, reason in WRONG_DATABASES:
        refused = await client.post(DATABASES, content=json.dumps(body))
        assert refused.status_code == status, refused.text
        assert refused.json()["field"] == field
        assert reason in refused.json()["detail"]


WRONG_CHANGES = [
    ({"name": "default"}, 409, "name", "exists already"),
    ({"name": None}, 422, "name", "1 to 255"),
    ({"description": None}, 422, "description", "string"),
    ({"state": "deleting"}, 422, "state", "cannot change after creation"),
    ({"database_id": "x"}, 422, "database_id", "cannot change after creation"),
    ({"schema_version": 2}, 422, "schema_version", "cannot change after creation"),
    ({"colour": "red"}, 422, "colour", "is not a field that can change"),
]


async def test_a_wrong_change_of_a_database_is_refused_by_the_name_of_the_field(
    client: httpx.AsyncClient,
) -> None:
    database = await make(client, "main")
    for body, status, field, reason in WRONG_CHANGES:
        refused = await client.patch(f"{DATABASES}/main", json=body)
        assert refused.status_code == status, refused.text
        assert refused.json()["field"] == field
        assert reason in refused.json()["detail"]
        assert (await client.get(f"{DATABASES}/main")).json() == database


async def test_an_empty_database_is_deleted_and_its_name_is_free(
    client: httpx.AsyncClient,
) -> None:
    await make(client, "main")
    assert (await client.delete(f"{DATABASES}/main")).status_code == 204
    assert (await client.get(f"{DATABASES}/main")).status_code == 404
    assert (await client.delete(f"{DATABASES}/main")).status_code == 404
    await make(client, "main")


async def test_a_database_that_holds_collections_is_deleted_by_cascade_only(
    client: httpx.AsyncClient,
) -> None:
    await make(client, "main")
    for name in ("a", "b", "c"):
        body = {"name": name, "dimension": 16, "shard_count": 2}
        await client.post(f"{DATABASES}/main/collections", json=body)
    for refused in (
        await client.delete(f"{DATABASES}/main"),
        await client.delete(f"{DATABASES}/main?cascade=false"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    assert (await client.get(f"{DATABASES}/main")).json()["state"] == "ready"
    gone = await client.delete(f"{DATABASES}/main?cascade=true&wait_s=60")
    assert gone.status_code == 204, gone.text
    assert (await client.get(f"{DATABASES}/main/collections/a")).status_code == 404


async def test_a_database_that_is_being_deleted_takes_no_collections(database: Database) -> None:
    client = database.client
    await make(client, "main")
    collections = f"{DATABASES}/main/collections"
    await client.post(collections, json={"name": "c", "dimension": 16, "shard_count": 2})
    database.hosts.down.update(database.stores)
    begun = await client.delete(f"{DATABASES}/main?cascade=true&wait_s=0")
    assert (begun.status_code, begun.json()["kind"]) == (202, "delete_database")
    assert (await client.get(f"{DATABASES}/main")).json()["state"] == "deleting"
    refused = await client.post(collections, json={"name": "d", "dimension": 16})
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    listed = await client.get(DATABASES, params={"state": "deleting"})
    assert [found["name"] for found in listed.json()["databases"]] == ["main"]
    database.hosts.down.clear()
    assert (await client.delete(f"{DATABASES}/main?wait_s=60")).status_code == 204


@pytest.mark.parametrize("query", ["cascade=maybe", "wait_s=-1", "wait_s=61", "wait_s=nan", "x=1"])
async def test_a_wrong_parameter_of_a_deletion_deletes_nothing(
    client: httpx.AsyncClient, query: str
) -> None:
    await make(client, "main")
    refused = await client.delete(f"{DATABASES}/main?{query}")
    assert (refused.status_code, refused.json()["field"]) == (422, query.partition("=")[0])
    assert (await client.get(f"{DATABASES}/main")).json()["state"] == "ready"


@pytest.mark.parametrize("ref", ["nope", "a%2Fb", "%00", "%E9%9B%AA", "0" * 3000])
async def test_a_database_that_is_not_there_is_not_found_whatever_its_name(
    client: httpx.AsyncClient, ref: str
) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        body = {} if method == "PATCH" else None
        answer = await client.request(method, f"{DATABASES}/{ref}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_database_of_another_tenant_is_not_found_by_its_id(
    client: httpx.AsyncClient,
) -> None:
    await client.post("/v2/tenants", json={"name": "Acme"})
    made = await client.post("/v2/tenants/acme/databases", json={"name": "main"})
    own = f"/v2/tenants/acme/databases/{made.json()['database_id']}"
    assert (await client.get(own)).status_code == 200
    assert (await client.get(f"{DATABASES}/{made.json()['database_id']}")).status_code == 404
