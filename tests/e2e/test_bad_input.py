"""Bad input over the wire: the right status, a problem document that names the field, no change."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving import COLLECTIONS, ServerProcess

C = f"{COLLECTIONS}/strict"
GOOD = [0.5] * 16
FINE = {"id": "good", "vector": GOOD}


@pytest.fixture(scope="module")
def strict(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client() as client:
        body = {"name": "strict", "dimension": 16, "metric": "cosine", "shard_count": 2}
        assert client.post(COLLECTIONS, json=body).status_code == 201
        documents = [{"id": f"{n}", "vector": GOOD, "payload": {"n": n}} for n in range(10)]
        assert client.put(f"{C}/documents", json={"documents": documents}).status_code == 200
        yield client
        client.delete(C)


def upsert(*documents: Any) -> tuple[str, str, Any]:
    return "PUT", f"{C}/documents", {"documents": list(documents)}


def search(**body: Any) -> tuple[str, str, Any]:
    return "POST", f"{C}/search", body


def condition(**parts: Any) -> tuple[str, str, Any]:
    return search(vector=GOOD, filter={"must": [parts]})


ROWS: dict[str, tuple[tuple[str, str, Any], int, str | None, str]] = {
    # what is sent, status, field, part of the reason
    "short vector": (upsert(FINE, {"id": "b", "vector": [1.0]}), 422, "documents[1].vector", "16"),
    "NaN": (
        upsert(FINE, {"id": "b", "vector": [float("nan")] * 16}),
        422,
        "documents[1].vector",
        "NaN",
    ),
    "infinity": (
        upsert({"id": "b", "vector": [1e999] * 16}),
        422,
        "documents[0].vector",
        "infinity",
    ),
    "overflow": (
        upsert({"id": "b", "vector": [1e38] * 16}),
        422,
        "documents[0].vector",
        "too long",
    ),
    "zero vector": (
        upsert(FINE, {"id": "b", "vector": [0] * 16}),
        422,
        "documents[1].vector",
        "zero",
    ),
    "string in vector": (
        upsert({"id": "b", "vector": ["x"] * 16}),
        422,
        "documents[0].vector[0]",
        "number",
    ),
    "boolean in vector": (
        upsert({"id": "b", "vector": [True] * 16}),
        422,
        "documents[0].vector[0]",
        "number",
    ),
    "no vector": (upsert({"id": "b"}), 422, "documents[0]", "vector"),
    "text without a model": (upsert({"id": "b", "text": "x"}), 422, "documents[0].vector", "model"),
    "no id": (upsert(FINE, {"vector": GOOD}), 422, "documents[1].id", "required"),
    "empty id": (upsert({"id": "", "vector": GOOD}), 422, "documents[0].id", "1 to 512"),
    "long id": (upsert({"id": "x" * 513, "vector": GOOD}), 422, "documents[0].id", "513"),
    "number as id": (upsert({"id": 7, "vector": GOOD}), 422, "documents[0].id", "string"),
    "unknown key in document": (
        upsert({**FINE, "vectr": []}),
        422,
        "documents[0].vectr",
        "not known",
    ),
    "payload is a list": (upsert({**FINE, "payload": [1]}), 422, "documents[0].payload", "object"),
    "NaN in payload": (
        upsert({**FINE, "payload": {"a": float("nan")}}),
        422,
        "documents[0].payload.a",
        "finite number",
    ),
    "lone surrogate in text": (
        upsert({**FINE, "text": "\ud800"}),
        422,
        "documents[0].text",
        "Unicode",
    ),
    "no documents": (upsert(), 422, "documents", "empty"),
    "documents missing": (("PUT", f"{C}/documents", {}), 422, "documents", "required"),
    "query of wrong width": (search(vector=[1.0] * 3), 422, "vector", "16"),
    "query NaN": (search(vector=[float("nan")] * 16), 422, "vector", "NaN"),
    "query zero": (search(vector=[0.0] * 16), 422, "vector", "zero"),
    "vector and text": (search(vector=GOOD, text="x"), 422, "vector", "exactly one"),
    "neither": (search(), 422, "vector", "exactly one"),
    "text query without a model": (search(text="x"), 422, "text", "model"),
    "limit 0": (search(vector=GOOD, limit=0), 422, "limit", "1 to"),
    "limit too large": (search(vector=GOOD, limit=10_001), 422, "limit", "10000"),
    "limit as string": (search(vector=GOOD, limit="5"), 422, "limit", "whole number"),
    "ef 0": (search(vector=GOOD, params={"ef": 0}), 422, "params.ef", "1 to"),
    "unknown key in search": (search(vector=GOOD, limt=5), 422, "limt", "not known"),
    "unknown filter key": (condition(key="n", rang={"gt": 1}), 422, "filter.must[0].rang", "known"),
    "unknown clause": (
        search(vector=GOOD, filter={"shuld": []}),
        422,
        "filter.shuld",
        "known here: must",
    ),
    "unknown bound": (
        condition(key="n", range={"from": 1}),
        422,
        "filter.must[0].range.from",
        "gte",
    ),
    "range of strings": (
        condition(key="n", range={"gt": "a"}),
        422,
        "filter.must[0].range.gt",
        "number",
    ),
    "match and range": (
        condition(key="n", match={"value": 1}, range={"gt": 1}),
        422,
        "filter.must[0]",
        "exactly one",
    ),
    "match without value": (
        condition(key="n", match={}),
        422,
        "filter.must[0].match",
        "exactly one",
    ),
    "match of an object": (
        condition(key="n", match={"value": {}}),
        422,
        "filter.must[0].match.value",
        "string",
    ),
    "no key in condition": (
        condition(match={"value": 1}),
        422,
        "filter.must[0].key",
        "payload key",
    ),
    "delete without ids or filter": (
        ("POST", f"{C}/documents/delete", {}),
        422,
        "ids",
        "exactly one",
    ),
    "delete by an empty filter": (
        ("POST", f"{C}/documents/delete", {"filter": {}}),
        422,
        "filter",
        "every document",
    ),
    "duplicate collection": (
        ("POST", COLLECTIONS, {"name": "strict", "dimension": 16}),
        409,
        "name",
        "exists",
    ),
    "bad collection name": (
        ("POST", COLLECTIONS, {"name": "a b", "dimension": 16}),
        422,
        "name",
        "letters",
    ),
    "no dimension": (("POST", COLLECTIONS, {"name": "x"}), 422, "dimension", "required"),
    "dimension too small": (
        ("POST", COLLECTIONS, {"name": "x", "dimension": 15}),
        422,
        "dimension",
        "16 to 4096",
    ),
    "dimension as text": (
        ("POST", COLLECTIONS, {"name": "x", "dimension": "16"}),
        422,
        "dimension",
        "whole number",
    ),
    "unknown metric": (
        ("POST", COLLECTIONS, {"name": "x", "dimension": 16, "metric": "hamming"}),
        422,
        "metric",
        "cosine",
    ),
    "unknown model": (
        ("POST", COLLECTIONS, {"name": "x", "embedding_model": "nope"}),
        422,
        "embedding_model",
        "not served",
    ),
    "model of another width": (
        ("POST", COLLECTIONS, {"name": "x", "embedding_model": "hashing-64", "dimension": 16}),
        422,
        "dimension",
        "64",
    ),
    "replicas, which are not built": (
        ("POST", COLLECTIONS, {"name": "x", "dimension": 16, "replica_factor": 2}),
        422,
        "replica_factor",
        "not built",
    ),
    "tiering, which is not built": (
        ("POST", COLLECTIONS, {"name": "x", "dimension": 16, "tiering_policy": "s3_only"}),
        422,
        "tiering_policy",
        "not built",
    ),
    "sync, which is not built": (
        ("POST", COLLECTIONS, {"name": "x", "dimension": 16, "sync_policy": "manual"}),
        422,
        "sync_policy",
        "not built",
    ),
    "a quota, which is not enforced": (
        ("POST", "/v2/tenants", {"name": "Other", "quotas": {"qps_quota": 5}}),
        422,
        "quotas.qps_quota",
        "not enforced",
    ),
    "change of a fixed setting": (
        ("PATCH", C, {"dimension": 32}),
        422,
        "dimension",
        "cannot change after creation",
    ),
    "the same by the short form": (
        ("PUT", "/v1/collections/strict", {"metric": "l2"}),
        422,
        "metric",
        "cannot change after creation",
    ),
    "unknown parameter of a list": (("GET", f"{COLLECTIONS}?limt=5", None), 422, "limt", "known"),
    "unknown parameter of a decommission": (
        ("DELETE", "/v2/tenants/default?wait_s=3", None),
        422,
        "wait_s",
        "known",
    ),
    "parameter given twice": (("DELETE", f"{C}?wait_s=0&wait_s=1", None), 422, "wait_s", "twice"),
    "name that looks like an id": (
        ("POST", COLLECTIONS, {"name": "0198c0de7a1170008000000000000001", "dimension": 16}),
        422,
        "name",
        "look like an id",
    ),
    "wrong parameter of a deletion": (("DELETE", f"{C}?wait_s=61", None), 422, "wait_s", "60"),
    "deletion of a database that is not empty": (
        ("DELETE", "/v2/tenants/default/databases/default", None),
        409,
        None,
        "cascade",
    ),
    "purge of an active tenant": (
        ("POST", "/v2/tenants/default/purge", None),
        409,
        None,
        "decommission",
    ),
    "duplicate slug": (
        ("POST", "/v2/tenants", {"name": "Other", "slug": "default"}),
        409,
        "slug",
        "exists",
    ),
    "bad slug": (
        ("POST", "/v2/tenants", {"name": "Other", "slug": "A b"}),
        422,
        "slug",
        "lower-case",
    ),
    "blank tenant name": (("POST", "/v2/tenants", {"name": " "}), 422, "name", "blank"),
    "duplicate database": (
        ("POST", "/v2/tenants/default/databases", {"name": "default"}),
        409,
        "name",
        "exists",
    ),
    "unknown collection": (
        ("POST", f"{COLLECTIONS}/nope/search", {"vector": GOOD}),
        404,
        None,
        "'nope' does not exist",
    ),
    "unknown database": (
        ("GET", "/v2/tenants/default/databases/nope", None),
        404,
        None,
        "'nope' does not exist",
    ),
    "unknown tenant": (("GET", "/v2/tenants/nope", None), 404, None, "'nope' does not exist"),
    "unknown document": (("GET", f"{C}/documents/nope", None), 404, None, "'nope' does not exist"),
    "unknown route": (("GET", "/v3/nothing", None), 404, None, "/v3/nothing"),
    "wrong method": (("DELETE", "/healthz", None), 405, None, "DELETE"),
}


@pytest.mark.parametrize("name", ROWS)
def test_bad_input_is_refused_and_changes_nothing(strict: httpx.Client, name: str) -> None:
    (method, path, body), status, field, reason = ROWS[name]
    before = contents(strict)
    # Python's json writes NaN and Infinity, as careless clients do.
    content = None if body is None else json.dumps(body)
    answer = strict.request(method, path, content=content)
    assert answer.status_code == status, answer.text
    problem = check_problem(answer)
    assert problem.get("field") == field
    assert reason.lower() in problem["detail"].lower()
    assert contents(strict) == before


@pytest.mark.parametrize(
    ("content", "status"),
    [(b'{"vector": [1, 2', 400), (b"", 422), (b"[]", 422), (b'{"a": \xff}', 400)],
)
def test_a_body_that_is_no_json_object_is_refused(
    strict: httpx.Client, content: bytes, status: int
) -> None:
    answer = strict.post(f"{C}/search", content=content)
    assert answer.status_code == status, answer.text
    check_problem(answer)


def test_a_body_that_is_too_large_is_refused(strict: httpx.Client) -> None:
    before = contents(strict)
    huge = b'{"documents": [' + b" " * (5 * 1024**2) + b"]}"
    answer = strict.put(f"{C}/documents", content=huge)
    assert answer.status_code == 413
    assert check_problem(answer)["field"] == "body"

    def chunks() -> Iterator[bytes]:
        for _ in range(80):
            yield b" " * 65536

    answer = strict.put(f"{C}/documents", content=chunks())
    assert answer.status_code == 413
    assert contents(strict) == before


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {"authorization": "Basic abc"}],
)
def test_a_missing_or_wrong_key_is_refused(server: ServerProcess, headers: dict[str, str]) -> None:
    with server.client(key=None) as stranger:
        for method, path in (("GET", "/v2/tenants"), ("POST", f"{C}/search"), ("DELETE", C)):
            answer = stranger.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            check_problem(answer)


def test_the_key_is_taken_from_either_header(server: ServerProcess, strict: httpx.Client) -> None:
    key = strict.headers["authorization"].removeprefix("Bearer ")
    with server.client(key=None) as client:
        assert client.get("/v2/tenants", headers={"x-api-key": key}).status_code == 200


def contents(client: httpx.Client) -> tuple[Any, ...]:
    """Everything that bad input could have changed."""
    return (
        client.get("/v2/tenants").json(),
        client.get("/v2/tenants/default/databases").json(),
        client.get(COLLECTIONS).json(),
        client.get(C).json(),
    )


def check_problem(answer: httpx.Response) -> dict[str, Any]:
    """It is a problem document, and tells nothing about our insides."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert {"type", "title", "detail", "code", "request_id"} <= set(problem)
    assert answer.headers["x-request-id"] == problem["request_id"]
    assert "Traceback" not in answer.text
    return problem
