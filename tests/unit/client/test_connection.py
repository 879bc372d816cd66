"""The border to httpx, with transports that answer by themselves instead of a network."""

import inspect
from collections.abc import Callable
from typing import Any

import akidb
import httpx
import pytest
from akidb import AsyncClient, Client, Retries
from akidb.async_control import AsyncDatabases, AsyncJobs, AsyncTenants
from akidb.connection import AsyncConnection, Connection
from akidb.control import Databases, Jobs, Tenants

from tests.unit.client.driving import raised_by

URL = "http://akidb:8100/behind/"
AT_ONCE = Retries(attempts=2, first_wait_s=0.0)
Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, **settings: Any) -> Client:
    transport = httpx.MockTransport(handler)
    return Client(URL, api_key="key", retries=AT_ONCE, transport=transport, **settings)


def failing(error: Exception, seen: list[str]) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        raise error

    return handle


def test_a_request_says_who_asks_and_goes_below_the_path_of_the_url() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer key"
        assert request.headers["user-agent"] == f"akidb-python/{akidb.__version__}"
        assert request.headers["content-type"] == "application/json"
        path = "/behind/v2/tenants/acme/databases/default/collections/a%2Fb/count"
        assert request.url.raw_path.decode() == path
        return httpx.Response(200, json={"count": 3})

    with client(handle, tenant="acme") as connected:
        assert connected.collection("a/b").count() == 3


@pytest.mark.parametrize(
    ("foreign", "attempts", "kind"),
    [
        (httpx.ConnectError("refused"), 2, akidb.ConnectionFailed),
        (httpx.ConnectTimeout("slow"), 2, akidb.ConnectionFailed),
        (httpx.RemoteProtocolError("garbage"), 2, akidb.ConnectionFailed),
        (httpx.ReadTimeout("slow"), 2, akidb.DeadlineExceeded),
    ],
)
def test_a_network_that_fails_is_tried_again_and_told_by_our_errors(
    foreign: Exception, attempts: int, kind: type[akidb.AkiDBError]
) -> None:
    seen: list[str] = []
    with client(failing(foreign, seen)) as connected:
        error = raised_by(connected.collection("films").count)
    assert (type(error), len(seen), error.status) == (kind, attempts, None)
    assert "http://akidb:8100" in error.detail


def test_what_may_have_been_made_is_not_made_again() -> None:
    seen: list[str] = []
    with client(failing(httpx.ReadError("broke"), seen)) as connected:
        error = raised_by(lambda: connected.create_collection("films", dimension=16))
    assert (type(error), error.sent, len(seen)) == (akidb.ConnectionFailed, True, 1)
    seen.clear()
    with client(failing(httpx.ConnectError("refused"), seen)) as connected:
        error = raised_by(lambda: connected.create_collection("films", dimension=16))
    assert (type(error), error.sent, len(seen)) == (akidb.ConnectionFailed, False, 2)


@pytest.mark.parametrize("url", ["127.0.0.1:8100", "ftp://host", "http://", "http://a:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="is no"):
            kind(url)


def test_proxies_of_the_environment_are_none_for_this_machine_itself() -> None:
    trusted = {
        url: Connection(url, None)._http.trust_env
        for url in ("http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "http://akidb")
    }
    assert list(trusted.values()) == [False, False, False, True]


def test_a_key_that_no_header_can_hold_is_refused_without_telling_it() -> None:
    with pytest.raises(ValueError, match=r"^api_key has characters that no key has$"):
        Client(URL, api_key="secret\n")


@pytest.mark.parametrize(
    ("plain", "asynchronous"),
    [
        (Client, AsyncClient),
        (akidb.Collection, akidb.AsyncCollection),
        (Tenants, AsyncTenants),
        (Databases, AsyncDatabases),
        (Jobs, AsyncJobs),
        (Connection, AsyncConnection),
    ],
)
def test_both_clients_offer_the_same(plain: type, asynchronous: type) -> None:
    def offered(kind: type) -> dict[str, list[str]]:
        return {
            name: [str(each).split(":")[0] for each in inspect.signature(method).parameters]
            for name, method in vars(kind).items()
            if not name.startswith("_") and inspect.isfunction(method)
        }

    assert offered(plain) == offered(asynchronous)
