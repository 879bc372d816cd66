"""What is there at the first start, whether it is well, and what it can do."""

from typing import Any

import httpx

from akidb_ray.domain.collection import RANGES
from tests.in_process import Database
from tests.serving import COLLECTIONS
from tests.unit.gateway.waiting import until


async def test_the_first_start_has_tenant_and_database_default(client: httpx.AsyncClient) -> None:
    tenants = (await client.get("/v2/tenants")).json()
    assert [tenant["slug"] for tenant in tenants["tenants"]] == ["default"]
    assert tenants["next_cursor"] is None
    databases = (await client.get("/v2/tenants/default/databases")).json()["databases"]
    assert [(d["name"], d["state"]) for d in databases] == [("default", "ready")]


async def test_health_says_what_is_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    health = (await client.get("/v2/cluster/health")).json()
    assert (health["status"], health["tenants"], len(health["stores"])) == ("ok", 1, 2)
    assert health["catalog"] == {
        "alive": True,
        "version": health["catalog_version"],
        "epoch": 1,
        "backup": {
            "where": "nowhere",
            "at": None,
            "version": None,
            "behind": False,
            "error": None,
        },
        "error": None,
    }


async def test_health_is_told_by_what_is_known_while_the_catalog_is_away(
    database: Database,
) -> None:
    before = (await database.client.get("/v2/cluster/health")).json()
    del before["catalog"]
    await database.catalog.close()
    health = (await database.client.get("/v2/cluster/health")).json()
    catalog = health.pop("catalog")
    assert health == {**before, "status": "degraded"}
    assert (catalog["alive"], catalog["version"], catalog["backup"]) == (False, None, None)
    assert catalog["error"]


async def test_a_host_that_is_away_shows_in_health_and_readiness(database: Database) -> None:
    database.hosts.down.add(database.stores[0])
    health = (await database.client.get("/v2/cluster/health")).json()
    assert health["status"] == "degraded"
    assert [store["alive"] for store in health["stores"]].count(False) == 1
    database.hosts.down.add(database.stores[1])
    ready = await database.client.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
    database.hosts.down.clear()

    async def is_ready() -> bool:
        return (await database.client.get("/readyz")).status_code == 200

    await until(is_ready)


async def test_openapi_shows_every_route_with_examples(client: httpx.AsyncClient) -> None:
    openapi = (await client.get("/openapi.json")).json()
    base = "/v2/tenants/{tenant}/databases/{database}/collections/{collection}"
    assert {f"{base}/search", f"{base}/documents", f"{base}/count"} <= set(openapi["paths"])
    assert openapi["components"]["schemas"]["SearchBody"]["examples"]
    assert "HTTPBearer" in openapi["components"]["securitySchemes"]


async def test_openapi_says_what_each_route_of_the_catalog_answers(
    client: httpx.AsyncClient,
) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            answers = [a for status, a in operation["responses"].items() if status[0] == "2"]
            schemas = [
                a["content"]["application/json"]["schema"] for a in answers if "content" in a
            ]
            is_catalog = operation["tags"][0] in ("tenants", "databases", "collections", "jobs")
            assert not is_catalog or any("$ref" in schema for schema in schemas), (method, path)


def _resolved(openapi: Any, schema: Any) -> Any:
    return openapi["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]


async def test_openapi_describes_problems_with_their_fields(client: httpx.AsyncClient) -> None:
    openapi = (await client.get("/openapi.json")).json()
    answer = (await client.get("/v2/tenants/nope")).json()
    for operations in openapi["paths"].values():
        for operation in operations.values():
            content = operation["responses"]["422"]["content"]["application/problem+json"]
            problem = _resolved(openapi, content["schema"])
            assert set(answer) - {"id"} <= set(problem["properties"])
            assert set(problem["required"]) <= set(answer)


async def test_openapi_describes_the_headers_of_answers(client: httpx.AsyncClient) -> None:
    client_paths = (await client.get("/openapi.json")).json()["paths"]
    collection = COLLECTIONS.replace("default", "{tenant}", 1).replace("default", "{database}")
    for path, method, status, header in (
        ("/v2/tenants", "post", "201", "ETag"),
        ("/v2/tenants/{tenant}", "get", "200", "ETag"),
        ("/v2/tenants/{tenant}", "delete", "200", "ETag"),
        ("/v2/tenants/{tenant}/suspend", "post", "200", "ETag"),
        ("/v2/tenants/{tenant}/purge", "post", "202", "Location"),
        ("/v2/tenants/{tenant}/databases/{database}", "patch", "200", "ETag"),
        (collection, "post", "201", "ETag"),
        (f"{collection}/{{collection}}", "get", "200", "ETag"),
        (f"{collection}/{{collection}}", "delete", "202", "Location"),
    ):
        answer = client_paths[path][method]["responses"][status]
        assert answer["headers"][header]["description"], (method, path)
        assert "$ref" in answer["content"]["application/json"]["schema"]


async def test_openapi_says_what_bodies_and_parameters_may_hold(client: httpx.AsyncClient) -> None:
    openapi = (await client.get("/openapi.json")).json()
    schemas = openapi["components"]["schemas"]
    for changes in ("TenantChanges", "DatabaseChanges", "CollectionChanges"):
        assert schemas[changes]["additionalProperties"] is False
    status = schemas["TenantChanges"]["properties"]["status"]["anyOf"][0]
    assert "suspended" in _resolved(openapi, status)["enum"]
    settings = schemas["NewCollection"]["properties"]
    for name, (low, high) in RANGES.items():
        assert (settings[name]["minimum"], settings[name]["maximum"]) == (low, high)
    purge = openapi["paths"]["/v2/tenants/{tenant}/purge"]["post"]
    (wait_s,) = [each for each in purge["parameters"] if each["name"] == "wait_s"]
    assert "seconds" in wait_s["description"]
    assert (wait_s["schema"]["minimum"], wait_s["schema"]["maximum"]) == (0, 60)
