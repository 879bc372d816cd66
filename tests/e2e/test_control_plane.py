"""Tenants, databases, collections and jobs over the wire, with what only a real server does."""

import httpx
import pytest

from tests.serving import COLLECTIONS, wait_until


def test_versions_short_forms_and_jobs_work_over_the_wire(client: httpx.Client) -> None:
    made = client.post("/v1/collections", json={"name": "wire", "dimension": 16})
    assert (made.status_code, made.headers["etag"]) == (201, f'"{made.json()["version"]}"')
    stale = client.put("/collections/wire", json={"description": "x"}, headers={"if-match": '"99"'})
    assert stale.status_code == 412
    changed = client.put(
        "/v1/collections/wire",
        json={"description": "ein Draht"},
        headers={"if-match": made.headers["etag"]},
    )
    assert changed.status_code == 200, changed.text
    found = client.get(COLLECTIONS, params={"q": "DRAHT"}).json()["collections"]
    assert [collection["name"] for collection in found] == ["wire"]
    begun = client.delete(f"{COLLECTIONS}/wire", params={"wait_s": 0})
    assert begun.status_code in (202, 204)
    if begun.status_code == 202:
        path = begun.headers["location"]
        wait_until(lambda: client.get(path).json()["state"] == "succeeded")
    wait_until(lambda: client.get(f"{COLLECTIONS}/wire").status_code == 404)


@pytest.mark.parametrize("part", ["a%2Fb", "..%2F..", "%00", "%E9%9B%AA", "%FF", "a%20b", "%25"])
def test_odd_characters_in_a_path_find_nothing(client: httpx.Client, part: str) -> None:
    for path in (f"/v2/tenants/{part}", f"{COLLECTIONS}/{part}", f"/v1/collections/{part}"):
        answer = client.get(path)
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
