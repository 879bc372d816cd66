"""Any id of 1 to 512 bytes has a path of its own, percent-encoded, over a real socket."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.over_wire import served_database
from tests.serving import ROOT_KEY
from tests.unit.gateway.films import FILMS, film

IDS = [
    "a/b", "/", "//", "a/", "/a", ".", "..", "../..", "a/../b", "./a",
    "get", "patch", "delete", "scroll", "documents/get", "search",
    "a\nb", "\n", "\r\n", "\x00", "\t", " ", " a ", "\x7f", "\u2028",
    "%", "%2F", "100%", "%00", "%zz", "a?b", "a#b", "a&b=c", "a;b", "a+b", ":", "@", "[", "\\", '"',
    "é", "雪", "🎬", "e\u0301", "\ufeff", "\ufffd", "x" * 512, "雪" * 170, "0", "-1", "null",
]  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        served_database(tmp_path_factory.mktemp("database")) as url,
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {ROOT_KEY}"}) as client,
    ):
        settings = {"name": "films", "dimension": 16, "metric": "l2", "shard_count": 2}
        collections = FILMS.rpartition("/")[0]
        assert client.post(collections, json=settings).status_code == 201
        yield client


@pytest.mark.parametrize("form", [FILMS, "/v1/collections/films"])
@pytest.mark.parametrize("document_id", IDS)
def test_a_document_lives_at_the_path_of_its_id(
    client: httpx.Client, document_id: str, form: str
) -> None:
    # Dots of their own would be taken for folders, by clients and by proxies.
    path = f"{form}/documents/{quote(document_id, safe='').replace('.', '%2E')}"
    written = client.put(path, json={"vector": film(1)["vector"], "payload": {"year": 1}})
    assert written.status_code == 200, written.text
    stored = client.post(f"{form}/documents/get", json={"ids": [document_id]}).json()["documents"]
    assert [document["id"] for document in stored] == [document_id]
    assert client.patch(path, json={"set": {"year": 2}}).json()["patched"] == 1
    shown = client.get(path)
    assert (shown.status_code, shown.json()["id"]) == (200, document_id)
    assert shown.json()["payload"] == {"year": 2}
    assert client.delete(path).json()["deleted"] == 1
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("encoded", ["", "x" * 513, "%E9%9B%AA" * 171])
def test_an_id_that_is_too_short_or_too_long_is_refused(client: httpx.Client, encoded: str) -> None:
    refused = client.put(f"{FILMS}/documents/{encoded}", json={"vector": film(1)["vector"]})
    assert (refused.status_code, refused.json()["field"]) == (422, "id")


@pytest.mark.parametrize("encoded", ["%FF", "a%C3", "%ED%A0%80"])
def test_bytes_that_are_no_text_name_no_document(client: httpx.Client, encoded: str) -> None:
    path = f"{FILMS}/documents/{encoded}"
    refused = client.put(path, json={"vector": film(1)["vector"]})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert client.post(f"{FILMS}/count", json={}).json() == {"count": 0}
