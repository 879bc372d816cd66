"""The short paths of AkiDB 1.x."""

from uuid import UUID

import httpx
import pyarrow as pa
import pytest

from akidb_ray.access.authorization import ROOT, Principal
from akidb_ray.domain.ids import TenantId
from akidb_ray.gateway.rest.arrow_stream import ARROW_STREAM
from akidb_ray.gateway.rest.short_forms import full_form
from tests.serving import COLLECTIONS
from tests.unit.gateway.films import film

VECTORS = pa.list_(pa.float32(), 16)
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


@pytest.mark.parametrize("short", SHORT)
async def test_each_path_of_a_collection_has_its_short_form(
    films: httpx.AsyncClient, short: str
) -> None:
    """Whatever the long form answers, the short one does."""
    paths = (await films.get("/openapi.json")).json()["paths"]
    long = COLLECTIONS.replace("default", "{tenant}", 1).replace("default", "{database}")
    below = [path for path in paths if path.startswith(long)]
    assert len(below) > 12
    for path in below:
        rest = path.removeprefix(long).replace("{collection}", "films")
        rest = rest.replace("{document_id}", "tt01")
        for method in paths[path]:
            if method == "delete":
                continue
            body = None if method == "get" else {"nothing": 1}
            answers = [
                await films.request(method, f"{base}{rest}", json=body)
                for base in (COLLECTIONS, short)
            ]
            statuses = {answer.status_code for answer in answers}
            assert len(statuses) == 1, (method, path, [answer.text for answer in answers])
            assert statuses <= {200, 404, 422}, (method, path)
            shown = [{**answer.json(), "request_id": None} for answer in answers]
            assert shown[0] == shown[1], (method, path)


@pytest.mark.parametrize("short", SHORT)
async def test_one_document_is_deleted_by_the_short_paths_on_its_version_only(
    films: httpx.AsyncClient, short: str
) -> None:
    await films.put(f"{short}/films/documents", json={"documents": [film(1)]})
    one = f"{short}/films/documents/tt01"
    etag = (await films.get(one)).headers["etag"]
    assert (await films.delete(one, headers={"if-match": '"9999"'})).status_code == 412
    assert (await films.delete(one, headers={"if-match": etag})).status_code == 200


@pytest.mark.parametrize("short", SHORT)
async def test_arrow_is_taken_and_given_by_the_short_paths(
    films: httpx.AsyncClient, short: str
) -> None:
    table = pa.table({"id": ["a", "b"], "vector": pa.array([[0.0] * 16] * 2, VECTORS)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    headers = {"content-type": ARROW_STREAM}
    content = sink.getvalue().to_pybytes()
    for method in ("PUT", "POST"):
        written = await films.request(
            method, f"{short}/films/documents", content=content, headers=headers
        )
        assert written.json()["acknowledged"] == 2
    found = await films.post(
        f"{short}/films/search", json={"id": "a"}, headers={"accept": ARROW_STREAM}
    )
    assert pa.ipc.open_stream(found.content).read_all()["id"].to_pylist() == ["b"]
