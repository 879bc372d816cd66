"""The short paths of AkiDB 1.x."""

from uuid import UUID

import httpx
import pytest

from akidb_ray.access.authorization import ROOT, Principal
from akidb_ray.domain.ids import TenantId
from akidb_ray.gateway.rest.short_forms import full_form
from tests.serving import COLLECTIONS
from tests.unit.gateway.films import film

SHORT = ["/v1/collections", "/collections"]


@pytest.mark.parametrize("short", SHORT)
async def test_a_collection_lives_by_the_short_paths(client: httpx.AsyncClient, short: str) -> None:
    made = await client.post(short, json={"name": "films", "dimension": 16})
    assert made.status_code == 201, made.text
    assert made.json()["name"] == "films"
    listed = (await client.get(short, params={"q": "film", "limit": 1})).json()
    assert [found["name"] for found in listed["collections"]] == ["films"]
    shown = await client.get(f"{short}/films")
    assert shown.json() == (await client.get(f"{COLLECTIONS}/films")).json()
    for method in ("PATCH", "PUT"):
        changed = await client.request(method, f"{short}/films", json={"description": method})
        assert changed.json()["description"] == method
    fixed = await client.put(f"{short}/films", json={"dimension": 32})
    assert (fixed.status_code, fixed.json()["field"]) == (422, "dimension")
    stale = await client.put(
        f"{short}/films", json={"description": "x"}, headers={"if-match": shown.headers["etag"]}
    )
    assert stale.status_code == 412
    documents = [{"id": "1", "vector": [1.0] * 16}]
    written = await client.put(f"{short}/films/documents", json={"documents": documents})
    assert written.json()["acknowledged"] == 1
    assert (await client.post(f"{short}/films/count", json={})).json() == {"count": 1}
    assert (await client.delete(f"{short}/films?wait_s=60")).status_code == 204
    assert (await client.get(f"{short}/films")).status_code == 404


@pytest.mark.parametrize("short", SHORT)
async def test_a_stranger_is_refused_at_the_short_paths_too(
    client: httpx.AsyncClient, short: str
) -> None:
    answer = await client.get(short, headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401


async def test_a_collection_changes_by_put_at_the_short_paths_only(
    client: httpx.AsyncClient,
) -> None:
    await client.post(COLLECTIONS, json={"name": "films", "dimension": 16})
    refused = await client.put(f"{COLLECTIONS}/films", json={"description": "x"})
    assert refused.status_code == 405
    assert (await client.put("/v1/collections", json={})).status_code == 405


@pytest.mark.parametrize(
    "path", ["/v1/collectionsx", "/v1", "/v1/", "/v1/tenants", "/v0/collections"]
)
async def test_other_paths_of_1_x_are_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_a_name_in_a_short_path_may_hold_any_character(client: httpx.AsyncClient) -> None:
    for ref in ("a%2Fb", "%E9%9B%AA", "%0A", "..%2F.."):
        assert (await client.get(f"/v1/collections/{ref}")).status_code == 404


def test_the_tenant_of_a_short_path_is_that_of_the_key() -> None:
    tenant_id = TenantId(UUID("0198c0de-7a11-7000-8000-000000000001"))
    own = f"/v2/tenants/{tenant_id}/databases/default/collections"
    member = Principal("somebody", tenant_id)
    assert full_form("GET", "/v1/collections", member) == ("GET", own)
    assert full_form("PUT", "/collections/a", member) == ("PATCH", f"{own}/a")
    assert full_form("PUT", "/collections/a/documents", member) == ("PUT", f"{own}/a/documents")
    assert full_form("POST", "/collections/a/search", ROOT) == ("POST", f"{COLLECTIONS}/a/search")
    assert full_form("GET", "/v2/jobs", member) == ("GET", "/v2/jobs")


@pytest.mark.parametrize("short", SHORT)
async def test_documents_are_written_and_found_by_the_short_paths(
    films: httpx.AsyncClient, short: str
) -> None:
    collection = f"{short}/films"
    for body in ({"documents": [film(1), film(2), film(3)]}, {"documents": [film(4)]}):
        assert (await films.post(f"{collection}/documents", json=body)).status_code == 200
    one = f"{collection}/documents/tt01"
    vector = film(5)["vector"]
    for method, path, body in (
        ("GET", one, None),
        ("PATCH", one, {"set": {"seen": True}}),
        ("PUT", one, {"vector": vector}),
        ("POST", f"{collection}/documents/get", {"ids": ["tt01"]}),
        ("POST", f"{collection}/documents/patch", {"ids": ["tt02"], "set": {"a": 1}}),
        ("POST", f"{collection}/documents/scroll", {}),
        ("POST", f"{collection}/search", {"vector": vector}),
        ("POST", f"{collection}/search/batch", {"searches": [{"vector": vector}]}),
        ("POST", f"{collection}/search/groups", {"vector": vector, "key": "genres"}),
        ("POST", f"{collection}/facets", {"key": "genres"}),
        ("POST", f"{collection}/documents/delete", {"ids": ["tt03"]}),
        ("DELETE", one, None),
    ):
        answer = await films.request(method, path, json=body)
        assert answer.status_code == 200, (method, path, answer.text)
    assert (await films.post(f"{collection}/count", json={})).json() == {"count": 2}
