"""Parameters that a route does not know, or that come twice, change nothing."""

from typing import Any

import httpx
import pytest

from tests.in_process import Database
from tests.serving import COLLECTIONS

TENANTS = "/v2/tenants"
DOCUMENT = {"id": "1", "vector": [1.0] * 16}


async def test_every_route_refuses_a_parameter_that_it_does_not_know(database: Database) -> None:
    client = database.client
    before = (await client.get("/v2/cluster/health")).json()
    paths = (await client.get("/openapi.json")).json()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method in operations:
            body = {"name": "new"} if method in ("post", "put", "patch") else None
            place = path.replace("{tenant}", "default").replace("{database}", "default")
            refused = await client.request(method, place, params={"wait": 3}, json=body)
            problem = refused.json()
            assert (refused.status_code, problem.get("field")) == (422, "wait"), (method, path)
            assert problem["reason"].startswith("is not known here; ")
            asked += 1
    assert asked > 25
    assert (await client.get("/v2/cluster/health")).json() == before


@pytest.mark.parametrize("short", ["/v1/collections", "/collections"])
async def test_the_short_forms_refuse_it_too(client: httpx.AsyncClient, short: str) -> None:
    await client.post(short, json={"name": "films", "dimension": 16})
    for method, rest, body in (
        ("POST", "", {"name": "new", "dimension": 16}), ("GET", "", None), ("GET", "/films", None),
        ("PUT", "/films", {"description": "x"}), ("DELETE", "/films", None),
        ("PUT", "/films/documents", {"documents": [DOCUMENT]}),
        ("POST", "/films/search", {"vector": [1.0] * 16}),
    ):  # fmt: skip
        refused = await client.request(method, short + rest, params={"if_version": 7}, json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, "if_version")
    assert (await client.get(f"{short}/films")).json()["description"] == ""
    assert (await client.post(f"{short}/films/count", json={})).json() == {"count": 0}


async def test_a_condition_in_the_query_is_refused_rather_than_ignored(
    client: httpx.AsyncClient,
) -> None:
    for method, path in (
        ("DELETE", f"{TENANTS}/default?wait_s=3"),
        ("POST", f"{TENANTS}/default/suspend?if_version=77"),
    ):
        assert (await client.request(method, path)).status_code == 422
    assert (await client.get(f"{TENANTS}/default")).json()["status"] == "active"


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("DELETE", f"{TENANTS}/default/databases/main?cascade=false&cascade=true", "cascade"),
        ("DELETE", f"{TENANTS}/default/databases/main?cascade=true&cascade=true", "cascade"),
        ("GET", f"{TENANTS}?limit=1&limit=2", "limit"),
        ("GET", f"{COLLECTIONS}/c/documents/1?with_vector=1&with_vector=0", "with_vector"),
    ],
)
async def test_a_parameter_that_is_given_twice_is_refused(
    client: httpx.AsyncClient, method: str, path: str, field: str
) -> None:
    await client.post(f"{TENANTS}/default/databases", json={"name": "main"})
    refused = await client.request(method, path)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert refused.json()["reason"] == "is given twice"
    assert (await client.get(f"{TENANTS}/default/databases/main")).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_open_pages_take_any_parameter(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, params={"any": 1})).status_code == 200


async def test_known_parameters_work(client: httpx.AsyncClient) -> None:
    made: list[dict[str, Any]] = [
        (await client.post(TENANTS, json={"name": name})).json() for name in ("One", "Two")
    ]
    query = {"limit": 1, "order": "name", "descending": "true", "q": "t", "status": "active"}
    listed = await client.get(TENANTS, params=query)
    assert listed.json()["tenants"] == [made[1]]
