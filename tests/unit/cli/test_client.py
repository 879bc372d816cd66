"""The client of the command line, over a real socket."""

import socket
from typing import Any

import pytest

from akidb_ray.cli.client import ApiError, Client, CollectionClient, path_of
from akidb_ray.domain.errors import InvalidArgument, Unavailable


def problem_body() -> dict[str, Any]:
    return {
        "detail": "documents[1].id: is empty",
        "code": "invalid_argument",
        "status": 422,
        "row": 1,
    }


def test_a_request_carries_the_key_and_gives_the_decoded_answer(wire: Any, reply: Any) -> None:
    wire.on("GET /v2/tenants", reply({"tenants": []}))
    with Client(wire.url, "secret") as client:
        assert client.get("/v2/tenants", {"limit": 5}) == {"tenants": []}
    assert wire.asked[0].headers["authorization"] == "Bearer secret"
    assert wire.asked[0].path == "/v2/tenants?limit=5"


def test_a_problem_document_becomes_an_error_with_its_fields(wire: Any, reply: Any) -> None:
    wire.on("POST /x", reply(problem_body(), 422, {"retry-after": "7"}))
    with Client(wire.url) as client, pytest.raises(ApiError) as caught:
        client.post("/x", {})
    error = caught.value
    assert (error.status, error.code, error.detail) == (
        422, "invalid_argument", "documents[1].id: is empty",
    )  # fmt: skip
    assert error.fields == {"row": 1}
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize("status", [200, 301, 404, 500])
def test_an_answer_that_is_not_from_akidb_says_so(wire: Any, reply: Any, status: int) -> None:
    wire.on("GET /x", reply(b"<html>", status))
    with Client(wire.url) as client, pytest.raises(ApiError, match="not as AkiDB does"):
        client.get("/x")


def test_an_empty_answer_is_none(wire: Any, reply: Any) -> None:
    wire.on("DELETE /x", reply(None, 204))
    with Client(wire.url) as client:
        assert client.delete("/x") is None


def test_a_server_that_is_not_there_is_asked_for_by_name() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unavailable) as caught:
            client.get("/readyz")
    assert caught.value.detail.startswith(f"can't reach {url}: is `akidb serve` running?")


def test_a_server_that_does_not_answer_is_given_up(wire: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout_s=0.1) as client, pytest.raises(Unavailable, match="in time"):
            client.get("/readyz")


@pytest.mark.parametrize("url", ["127.0.0.1:8100", "localhost", "ftp://host", "http://", ""])
def test_an_address_without_scheme_or_host_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="is not like http"):
        Client(url)


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="api_key"):
        Client("http://127.0.0.1:1", "schlüssel")


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    wire: Any, reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    wire.on("GET /x", reply({}))
    with Client(wire.url) as client:
        assert client.get("/x") == {}


def test_names_with_any_character_stay_one_part_of_the_path() -> None:
    assert path_of("tenants", "a/b c?#") == "/v2/tenants/a%2Fb%20c%3F%23"


def test_documents_are_sent_as_they_were_encoded(wire: Any, reply: Any) -> None:
    path = "/v2/tenants/default/databases/default/collections/films"
    wire.on(f"PUT {path}/documents", reply({"acknowledged": 2, "version": "x"}))
    wire.on(f"POST {path}/count", reply({"count": 2}))
    with Client(wire.url) as client:
        films = CollectionClient(client, "default", "default", "films")
        assert films.upsert([b'{"id":"1"}', b'{"id":"2"}']) == 2
        assert films.count() == 2
        assert films.count({"must": []}) == 2
    assert [asked.body for asked in wire.asked] == [
        {"documents": [{"id": "1"}, {"id": "2"}]},
        {},
        {"filter": {"must": []}},
    ]
    assert wire.asked[0].headers["content-type"] == "application/json"
