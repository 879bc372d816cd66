"""The contract at `/openapi.json` says what the routes take and give."""

import re
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from akidb_ray.gateway.rest.contract import ROUTERS
from akidb_ray.gateway.rest.contract import contract as contract_document
from tests.unit.gateway.films import FILMS, ORIGIN, film, post, put

C = "/v2/tenants/{tenant}/databases/{database}/collections/{collection}"
ARROW = "application/vnd.apache.arrow.stream"
ROUTES = {
    ("put", f"{C}/documents"),
    ("post", f"{C}/documents"),
    ("get", f"{C}/documents/{{document_id}}"),
    ("put", f"{C}/documents/{{document_id}}"),
    ("patch", f"{C}/documents/{{document_id}}"),
    ("delete", f"{C}/documents/{{document_id}}"),
    ("post", f"{C}/documents/get"),
    ("post", f"{C}/documents/patch"),
    ("post", f"{C}/documents/delete"),
    ("post", f"{C}/documents/scroll"),
    ("post", f"{C}/count"),
    ("post", f"{C}/search"),
    ("post", f"{C}/search/batch"),
    ("post", f"{C}/search/groups"),
    ("post", f"{C}/facets"),
    ("post", "/v1/embeddings"),
}


@pytest.fixture
async def contract(client: httpx.AsyncClient) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get("/openapi.json")).json()
    return shown


def operations(contract: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
    }


async def test_every_operation_is_described_from_its_name_to_its_answers(
    contract: dict[str, Any],
) -> None:
    shown = operations(contract)
    assert set(shown) >= ROUTES
    ids = [operation["operationId"] for operation in shown.values()]
    assert len(set(ids)) == len(ids)
    for place, operation in shown.items():
        assert operation["summary"], place
        assert operation["tags"], place
        good = {s: a for s, a in operation["responses"].items() if s.startswith("2")}
        assert good, place
        for status, answer in good.items():
            if status == "204":
                assert "content" not in answer, place
                continue
            told = answer["content"]["application/json"]
            assert "$ref" in told["schema"], place
            _check(told["example"], told["schema"], contract["components"]["schemas"], str(place))
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or body["example"] is not None, place


async def test_every_refusal_is_a_problem_with_an_example(contract: dict[str, Any]) -> None:
    for place, operation in operations(contract).items():
        refusals = {s: a for s, a in operation["responses"].items() if s[0] in "45"}
        assert {"413", "422", "500", "503"} <= set(refusals), place
        assert ("401" in refusals) == ("403" in refusals) == ("security" in operation), place
        assert ("400" in refusals) == ("requestBody" in operation), place
        assert ("404" in refusals) == ("{" in place[1] or place[1] == "/v2/jobs"), place
        for status, refusal in refusals.items():
            problem = refusal["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/ProblemAnswer"}, place
            assert problem["example"]["status"] == int(status), place
            assert f"`{problem['example']['code']}`" in refusal["description"], place


async def test_examples_of_bodies_are_taken_by_their_schemas() -> None:
    for route in (route for each in ROUTERS for route in each.routes):
        if isinstance(route, APIRoute) and route.body_field is not None:
            operation = contract_document()["paths"][route.path_format]
            told = operation[min(route.methods or ()).lower()]["requestBody"]["content"]
            _, errors = route.body_field.validate(told["application/json"]["example"])
            assert not errors, route.path


async def test_what_is_taken_and_given_in_arrow_is_said(contract: dict[str, Any]) -> None:
    shown = operations(contract)
    for method, path in (("put", f"{C}/documents"), ("post", f"{C}/search/batch")):
        assert ARROW in shown[method, path]["requestBody"]["content"]
    for path in ("search", "search/batch"):
        assert ARROW in shown["post", f"{C}/{path}"]["responses"]["200"]["content"]


async def test_writes_take_an_idempotency_key(contract: dict[str, Any]) -> None:
    for (method, path), operation in operations(contract).items():
        writes = method in ("put", "patch", "delete") or path.endswith(("/patch", "/delete"))
        if path.startswith(f"{C}/documents") and writes:
            assert "Idempotency-Key" in {p["name"] for p in operation["parameters"]}


async def test_every_reference_leads_somewhere(contract: dict[str, Any], client: Any) -> None:
    text = (await client.get("/openapi.json")).text
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert named <= set(contract["components"]["schemas"])


async def test_answers_have_no_keys_that_the_contract_lacks(
    films: httpx.AsyncClient,
) -> None:
    contract = (await films.get("/openapi.json")).json()
    await put(films, *range(10))
    body = {"vector": ORIGIN, "limit": 2}
    answers = {
        "/documents": await post(films, "/documents", documents=[film(1)]),
        "/documents/get": await post(films, "/documents/get", ids=["tt01"]),
        "/documents/scroll": await post(films, "/documents/scroll", with_vector=True),
        "/search": await post(films, "/search", explain=True, with_vector=True, **body),
        "/search/batch": await post(films, "/search/batch", searches=[body]),
        "/search/groups": await post(films, "/search/groups", vector=ORIGIN, key="genres"),
        "/facets": await post(films, "/facets", key="genres"),
        "/count": await post(films, "/count"),
    }
    for path, answer in answers.items():
        operation = contract["paths"][f"{C}{path}"]["post"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        _check(answer, schema, contract["components"]["schemas"], path)


def _check(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> None:
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict) and "properties" in schema:
        assert set(value) <= set(schema["properties"]), where
        assert set(schema.get("required", ())) <= set(value), where
        for key, inner in value.items():
            _check(inner, schema["properties"][key], schemas, f"{where}.{key}")
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            _check(item, schema["items"], schemas, f"{where}[]")


async def test_an_example_of_the_contract_is_taken(films: httpx.AsyncClient) -> None:
    contract = (await films.get("/openapi.json")).json()
    examples = contract["components"]["schemas"]["SearchBody"]["examples"]
    assert len(examples) >= 3
    answer = await films.post(f"{FILMS}/search", json={**examples[-1], "id": "tt01"})
    assert answer.status_code == 404
