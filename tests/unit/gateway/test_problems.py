"""Errors as problem documents: the status tells the truth, insides stay inside."""

import logging

import httpx
import orjson
import pytest

from akidb_ray.domain import errors
from akidb_ray.domain.errors import AkiDBError, Corrupt, Internal, RateLimited, Unavailable
from akidb_ray.gateway.error_table import HTTP_STATUS, TITLES
from akidb_ray.gateway.rest.problems import problem_response
from tests.in_process import Database
from tests.unit.gateway.films import FILMS


def test_every_kind_of_error_has_a_status_and_a_title() -> None:
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AkiDBError) and kind is not AkiDBError
    }
    assert kinds == set(HTTP_STATUS) == set(TITLES)


def test_what_may_be_tried_again_says_when() -> None:
    answer = problem_response(RateLimited(2.6), "id", "/")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert problem_response(Unavailable("x"), "id", "/").headers["retry-after"] == "1"


@pytest.mark.parametrize("error", [Internal("secret"), Corrupt("/secret/path", "secret")])
def test_insides_go_to_the_log_only(error: AkiDBError, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = problem_response(error, "request-7", "/")
    assert answer.status_code == 500
    assert b"secret" not in answer.body
    assert orjson.loads(answer.body)["request_id"] == "request-7"
    assert "secret" in caplog.text
    assert "request-7" in caplog.text


async def test_a_defect_of_ours_is_answered_as_a_problem(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("in the depths")

    monkeypatch.setattr(type(database.services.tenants), "list", broken)
    answer = await database.client.get("/v2/tenants")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "depths" not in answer.text


async def test_a_request_id_is_given_or_kept(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v2/tenants/nope")
    assert missing.headers["x-request-id"] == missing.json()["request_id"]
    kept = await client.get("/v2/tenants/nope", headers={"x-request-id": "mine"})
    assert kept.json()["request_id"] == "mine"
    refused = await client.get("/v2/tenants/nope", headers={"x-request-id": "x" * 1000})
    assert len(refused.json()["request_id"]) == 32


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b'{"name": ' + b"1" * 5000 + b"}", "a whole number of more than 4300 digits"),
        (b'{"name": "\xff"}', "not UTF-8: invalid start byte at byte 10"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"name"', "not JSON: Expecting ':' delimiter at character 7"),
    ],
)
async def test_a_body_that_cannot_be_parsed_says_why(
    client: httpx.AsyncClient, content: bytes, cause: str
) -> None:
    answer = await client.post("/v2/tenants", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert cause in answer.json()["detail"]


async def test_a_misspelt_name_is_reported_rather_than_the_one_that_is_missing(
    client: httpx.AsyncClient,
) -> None:
    path = "/v2/tenants/default/databases/default/collections/c/documents"
    answer = await client.put(path, json={"documents": [{"_id": "1"}]})
    assert answer.json()["field"] == "documents[0]._id"
    assert answer.json()["reason"].startswith("is not known here; did you mean id? ")


async def test_the_log_names_the_request_of_each_failure(
    database: Database, films: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    database.hosts.down.update(database.stores)
    with caplog.at_level(logging.WARNING):
        failed = await films.post(f"{FILMS}/count", json={}, headers={"x-request-id": "mine"})
        await films.get(f"{FILMS}/documents/a", headers={"x-request-id": "yours"})
    assert failed.status_code == 503
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[0] for line in lines] == ["request mine", "request yours"]
    assert "unavailable" in lines[0]
