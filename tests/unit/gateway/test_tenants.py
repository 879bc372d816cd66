"""Tenants over REST: made, changed, suspended, decommissioned and purged."""

import json
from typing import Any

import httpx
import pytest

from akidb_ray.gateway.rest.schemas import TenantAnswer
from tests.in_process import Database
from tests.serving import COLLECTIONS

TENANTS = "/v2/tenants"


async def make(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    made = await client.post(TENANTS, json={"name": "Acme", **body})
    assert made.status_code == 201, made.text
    tenant: dict[str, Any] = made.json()
    return tenant


async def test_a_tenant_is_made_with_defaults_that_are_shown(client: httpx.AsyncClient) -> None:
    tenant = await make(client, name="Acme Ltd", external_id="crm-7", metadata={"tier": "gold"})
    assert (tenant["slug"], tenant["status"], tenant["version"]) == ("acme-ltd", "active", 1)
    assert (tenant["external_id"], tenant["metadata"]) == ("crm-7", {"tier": "gold"})
    assert tenant["quotas"] == {
        "memory_quota_bytes": 32 * 1024**3,
        "storage_quota_bytes": 1024**4,
        "qps_quota": 200,
        "max_collections": None,
        "max_vectors_per_collection": None,
    }
    assert tenant["created_at"] == tenant["updated_at"]
    assert tenant["created_at"].endswith("Z")
    for ref in ("acme-ltd", tenant["tenant_id"]):
        assert (await client.get(f"{TENANTS}/{ref}")).json() == tenant
    assert TenantAnswer.model_validate(tenant)


async def test_a_tenant_changes_by_what_the_request_names(client: httpx.AsyncClient) -> None:
    made = await make(client, external_id="crm-7", metadata={"a": 1})
    body = {"name": "Acmé 株式会社", "slug": "acme-2", "external_id": None}
    changed = (await client.patch(f"{TENANTS}/acme", json=body)).json()
    assert (changed["name"], changed["slug"]) == ("Acmé 株式会社", "acme-2")
    assert (changed["external_id"], changed["metadata"]) == (None, {"a": 1})
    assert changed["version"] == made["version"] + 1
    assert (await client.get(f"{TENANTS}/acme-2")).json() == changed
    assert (await client.get(f"{TENANTS}/acme")).status_code == 404
    same = await client.patch(f"{TENANTS}/acme-2", json={})
    assert same.json() == changed


async def test_metadata_comes_back_whatever_json_can_say(client: httpx.AsyncClient) -> None:
    raw = (
        rb'{"name": "Odd", "metadata": {"big": 123456789012345678901234567890, "\ud800": "\u96ea"}}'
    )
    made = await client.post(TENANTS, content=raw)
    assert made.status_code == 201, made.text
    expected = {"big": 123456789012345678901234567890, "\ud800": "雪"}
    assert made.json()["metadata"] == expected
    listed = (await client.get(TENANTS, params={"q": "odd"})).json()["tenants"]
    assert [tenant["metadata"] for tenant in listed] == [expected]


async def test_quotas_that_are_enforced_can_be_set_and_lifted(client: httpx.AsyncClient) -> None:
    await make(client, quotas={"max_collections": 1, "max_vectors_per_collection": 5})
    await client.post(f"{TENANTS}/acme/databases", json={"name": "main"})
    path = f"{TENANTS}/acme/databases/main/collections"
    too_large = await client.post(path, json={"name": "a", "dimension": 16, "max_doc_count": 6})
    assert (too_large.status_code, too_large.json()["field"]) == (422, "max_doc_count")
    made = await client.post(path, json={"name": "a", "dimension": 16})
    assert made.json()["max_doc_count"] == 5
    refused = await client.post(path, json={"name": "b", "dimension": 16})
    assert refused.status_code == 429
    problem = refused.json()
    assert (problem["quota"], problem["limit"], problem["used"]) == ("max_collections", 1, 1)
    lifted = await client.patch(f"{TENANTS}/acme", json={"quotas": {"max_collections": None}})
    assert lifted.json()["quotas"]["max_collections"] is None
    assert lifted.json()["quotas"]["max_vectors_per_collection"] == 5
    assert (await client.post(path, json={"name": "b", "dimension": 16})).status_code == 201


async def test_a_half_made_collection_is_finished_though_a_quota_lowered_its_limit(
    database: Database,
) -> None:
    client = database.client
    await client.patch(f"{TENANTS}/default", json={"quotas": {"max_vectors_per_collection": 5}})
    database.hosts.down.update(database.stores)
    body = {"name": "c", "dimension": 16}
    assert (await client.post(COLLECTIONS, json=body)).status_code == 503
    database.hosts.down.clear()
    made = await client.post(COLLECTIONS, json=body)
    assert (made.status_code, made.json()["max_doc_count"]) == (201, 5)


@pytest.mark.parametrize("quota", ["memory_quota_bytes", "storage_quota_bytes", "qps_quota"])
async def test_a_quota_that_nothing_enforces_takes_only_the_value_it_has(
    client: httpx.AsyncClient, quota: str
) -> None:
    tenant = await make(client)
    present = tenant["quotas"][quota]
    for method, path in (("POST", TENANTS), ("PATCH", f"{TENANTS}/acme")):
        for value in (present + 1, None):
            body = {"name": "Other", "quotas": {quota: value}}
            refused = await client.request(method, path, json=body)
            assert refused.status_code == 422
            assert refused.json()["field"] == f"quotas.{quota}"
            assert "not enforced" in refused.json()["detail"]
    same = await client.patch(f"{TENANTS}/acme", json={"quotas": {quota: present}})
    assert same.json()["quotas"][quota] == present


async def test_a_quota_of_the_catalog_is_accepted_as_it_was_recorded(database: Database) -> None:
    tenant = await make(database.client)
    directory = await database.services.copy.catch_up()
    tenant_id = directory.tenant("acme").tenant_id
    await database.catalog.update_tenant(tenant_id, {"qps_quota": 7})
    await database.services.copy.catch_up()
    shown = (await database.client.get(f"{TENANTS}/acme")).json()
    assert shown["quotas"] == {**tenant["quotas"], "qps_quota": 7}
    same = await database.client.patch(f"{TENANTS}/acme", json={"quotas": shown["quotas"]})
    assert (same.status_code, same.json()["quotas"]["qps_quota"]) == (200, 7)


WRONG_TENANTS = [
    ({"name": ""}, "name", "blank"),
    ({"name": 7}, "name", "string"),
    ({"name": "x" * 256}, "name", "255"),
    ({"name": "tab\tstop"}, "name", "printable"),
    ({"name": None}, "name", "string"),
    ({}, "name", "required"),
    ({"name": "a", "slug": "A"}, "slug", "lower-case"),
    ({"name": "a", "slug": "-a"}, "slug", "lower-case"),
    ({"name": "a", "slug": "x" * 64}, "slug", "63"),
    ({"name": "a", "external_id": ""}, "external_id", "blank"),
    ({"name": "a", "metadata": [1]}, "metadata", "must be an object"),
    ({"name": "a", "metadata": {"x": "y" * 70_000}}, "metadata", "65536"),
    ({"name": "a", "quotas": 5}, "quotas", "must be an object"),
    ({"name": "a", "quotas": {"max_collections": -1}}, "quotas.max_collections", "whole"),
    ({"name": "a", "quotas": {"max_collections": 2**63}}, "quotas.max_collections", "whole"),
    (
        {"name": "a", "quotas": {"max_collections": "5"}},
        "quotas.max_collections",
        "must be a whole number",
    ),
    (
        {"name": "a", "quotas": {"max_collections": True}},
        "quotas.max_collections",
        "must be a whole number",
    ),
    ({"name": "a", "quotas": {"rps": 5}}, "quotas.rps", "not known"),
    ({"name": "a", "status": "active"}, "status", "not known"),
    ({"name": "a", "max_collections": 3}, "max_collections", "not known"),
    ({"nmae": "a"}, "nmae", "is not known here; did you mean name?"),
    ({"name": "a", "slug": "0198c0de7a1170008000000000000001"}, "slug", "look like an id"),
    ({"name": "a", "\ud800": 1}, "\\ud800", "is not known here"),
]


async def test_a_new_tenant_with_a_wrong_value_is_refused_by_the_name_of_the_field(
    client: httpx.AsyncClient,
) -> None:
    for body, field, reason in WRONG_TENANTS:
        refused = await client.post(TENANTS, content=json.dumps(body))
        assert refused.status_code == 422, refused.text
        assert refused.json()["field"] == field
        assert reason in refused.json()["detail"]
        assert len((await client.get(TENANTS)).json()["tenants"]) == 1


WRONG_CHANGES = [
    ({"name": None}, "name", "string"),
    ({"slug": "default"}, "slug", "exists already"),
    ({"slug": None}, "slug", "lower-case"),
    ({"status": "asleep"}, "status", "suspended"),
    ({"metadata": None}, "metadata", "object"),
    ({"tenant_id": "x"}, "tenant_id", "cannot change after creation"),
    ({"created_at": "x"}, "created_at", "cannot change after creation"),
    ({"colour": "red"}, "colour", "is not a field that can change"),
    ({"if_version": "1"}, "if_version", "must be a whole number"),
    ({"quotas": {"max_collections": -1}}, "quotas.max_collections", "whole"),
    ({"max_collections": 7}, "max_collections", "is inside quotas"),
    (
        {"quotas": {"max_collections": 3}, "max_collections": 7},
        "max_collections",
        "is inside quotas",
    ),
    (
        {"name": "x", "colour": "red"},
        "colour",
        "these can: external_id, metadata, name, quotas, slug, status",
    ),
    ({"slug": "0198c0de7a1170008000000000000001"}, "slug", "must not look like an id"),
]


async def test_a_wrong_change_of_a_tenant_is_refused_by_the_name_of_the_field(
    client: httpx.AsyncClient,
) -> None:
    tenant = await make(client)
    for body, field, reason in WRONG_CHANGES:
        refused = await client.patch(f"{TENANTS}/acme", json=body)
        assert refused.status_code in (409, 422), refused.text
        assert refused.json()["field"] == field
        assert reason in refused.json()["detail"]
        assert (await client.get(f"{TENANTS}/acme")).json() == tenant


async def test_a_slug_or_external_id_is_taken_once(client: httpx.AsyncClient) -> None:
    await make(client, external_id="crm-7")
    taken = await client.post(TENANTS, json={"name": "Other", "slug": "acme"})
    assert (taken.status_code, taken.json()["field"]) == (409, "slug")
    taken = await client.post(TENANTS, json={"name": "Other", "external_id": "crm-7"})
    assert (taken.status_code, taken.json()["field"]) == (409, "external_id")
    assert (await make(client))["slug"] == "acme-2"


async def test_a_suspended_tenant_reads_and_writes_nothing_until_it_is_resumed(
    client: httpx.AsyncClient,
) -> None:
    await client.post(COLLECTIONS, json={"name": "c", "dimension": 16})
    suspended = await client.post(f"{TENANTS}/default/suspend")
    assert (suspended.status_code, suspended.json()["status"]) == (200, "suspended")
    document = {"id": "1", "vector": [1.0] * 16}
    refused = (
        await client.post(f"{COLLECTIONS}/c/count", json={}),
        await client.post(f"{COLLECTIONS}/c/search", json={"vector": [1.0] * 16}),
        await client.get(f"{COLLECTIONS}/c/documents/1"),
        await client.put(f"{COLLECTIONS}/c/documents", json={"documents": [document]}),
        await client.post(f"{COLLECTIONS}/c/documents/delete", json={"ids": ["1"]}),
        await client.post(COLLECTIONS, json={"name": "d", "dimension": 16}),
        await client.patch(f"{COLLECTIONS}/c", json={"description": "x"}),
        await client.delete(f"{COLLECTIONS}/c"),
        await client.post(f"{TENANTS}/default/databases", json={"name": "x"}),
        await client.delete(f"{TENANTS}/default/databases/default"),
    )
    assert {(r.status_code, r.json()["code"]) for r in refused} == {(409, "invalid_state")}
    assert (await client.get(f"{COLLECTIONS}/c")).json()["name"] == "c"
    changed = await client.patch(f"{TENANTS}/default", json={"name": "Still managed"})
    assert changed.json()["name"] == "Still managed"
    again = await client.post(f"{TENANTS}/default/suspend")
    assert again.json() == changed.json()
    resumed = await client.post(f"{TENANTS}/default/resume")
    assert resumed.json()["status"] == "active"
    assert (await client.post(f"{COLLECTIONS}/c/count", json={})).json() == {"count": 0}


async def test_a_decommissioned_tenant_stays_so_until_it_is_purged(
    client: httpx.AsyncClient,
) -> None:
    tenant = await make(client)
    await client.post(f"{TENANTS}/acme/databases", json={"name": "main"})
    path = f"{TENANTS}/acme/databases/main/collections"
    for name in ("a", "b"):
        assert (await client.post(path, json={"name": name, "dimension": 16})).status_code == 201
    too_early = await client.post(f"{TENANTS}/acme/purge")
    assert (too_early.status_code, too_early.json()["code"]) == (409, "invalid_state")

    gone = await client.delete(f"{TENANTS}/acme")
    assert (gone.status_code, gone.json()["status"]) == (200, "decommissioned")
    assert (await client.post(f"{path}/a/count", json={})).status_code == 409
    for answer in (
        await client.post(f"{TENANTS}/acme/resume"),
        await client.post(f"{TENANTS}/acme/suspend"),
        await client.patch(f"{TENANTS}/acme", json={"status": "active"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert len((await client.get(path)).json()["collections"]) == 2

    assert (await client.post(f"{TENANTS}/acme/purge?wait_s=60")).status_code == 204
    assert (await client.get(f"{TENANTS}/acme")).status_code == 404
    assert (await make(client))["slug"] == "acme"
    jobs = (await client.get("/v2/jobs", params={"tenant": tenant["tenant_id"]})).json()["jobs"]
    assert [(job["kind"], job["state"], job["done"]) for job in jobs] == [
        ("purge_tenant", "succeeded", 2)
    ]


@pytest.mark.parametrize(
    "ref", ["nope", "a%2Fb", "%00", "..%2F..", "%E9%9B%AA", "a%20b", "%22%27;--", "0" * 5000, "%FF"]
)
async def test_a_tenant_that_is_not_there_is_not_found_whatever_its_name(
    client: httpx.AsyncClient, ref: str
) -> None:
    for method, rest in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/suspend"), ("POST", "/resume"),
        ("POST", "/purge"), ("GET", "/databases"), ("GET", "/databases/default/collections"),
    ):  # fmt: skip
        body = {} if method == "PATCH" else None
        answer = await client.request(method, f"{TENANTS}/{ref}{rest}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, rest)
