"""Changes on one version only: `if_version` in the body, or `If-Match` with an `ETag`."""

import httpx
import pytest

from tests.serving import COLLECTIONS

TENANT = "/v2/tenants/default"
DATABASE = f"{TENANT}/databases/default"
COLLECTION = f"{COLLECTIONS}/c"
CHANGES = {TENANT: {"name": "X"}, DATABASE: {"description": "x"}, COLLECTION: {"description": "x"}}


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    made = await client.post(COLLECTIONS, json={"name": "c", "dimension": 16})
    assert made.headers["etag"] == f'"{made.json()["version"]}"'
    return client


async def test_a_change_of_an_old_version_is_refused(filled: httpx.AsyncClient) -> None:
    for path, change in CHANGES.items():
        before = await filled.get(path)
        version, tag = before.json()["version"], before.headers["etag"]
        assert tag == f'"{version}"'
        changed = await filled.patch(path, json=change, headers={"if-match": tag})
        assert (
            changed.headers["etag"]
            == f'"{version + 1}"'
            == (await filled.get(path)).headers["etag"]
        )
        for stale in (
            await filled.patch(path, json=change, headers={"if-match": tag}),
            await filled.patch(path, json={**change, "if_version": version}),
            await filled.patch(path, json={**change, "if_version": 10**30}),
        ):
            assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
        fresh = await filled.patch(path, json={**change, "if_version": version + 1})
        assert fresh.status_code == 200
        any_version = await filled.patch(path, json=change, headers={"if-match": "*"})
        assert any_version.status_code == 200


async def test_a_condition_that_is_no_version_is_refused(filled: httpx.AsyncClient) -> None:
    for value in ("3", 'W/"3"', '"a"', '"1", "2"', '"0"', '"-1"', '""', f'"{10**30}"', "é"):
        for path, change in CHANGES.items():
            headers = {"if-match": value.encode()}
            refused = await filled.patch(path, json=change, headers=headers)
            assert (refused.status_code, refused.json()["field"]) == (422, "If-Match")


async def test_header_and_body_may_not_name_two_versions(filled: httpx.AsyncClient) -> None:
    body = {"name": "X", "if_version": 2}
    refused = await filled.patch(TENANT, json=body, headers={"if-match": '"1"'})
    assert (refused.status_code, refused.json()["field"]) == (422, "if_version")


async def test_the_moves_of_a_tenant_take_a_condition_too(filled: httpx.AsyncClient) -> None:
    version = (await filled.get(TENANT)).json()["version"]
    stale = {"if-match": f'"{version + 7}"'}
    for refused in (
        await filled.post(f"{TENANT}/suspend", headers=stale),
        await filled.post(f"{TENANT}/suspend", json={"if_version": version + 7}),
        await filled.delete(TENANT, headers=stale),
    ):
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert (await filled.get(TENANT)).json()["status"] == "active"
    unknown = await filled.post(f"{TENANT}/suspend", json={"reason": "x"})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "reason")
    suspended = await filled.post(f"{TENANT}/suspend", json={"if_version": version})
    assert suspended.json()["status"] == "suspended"
    resumed = await filled.post(f"{TENANT}/resume", headers={"if-match": suspended.headers["etag"]})
    assert resumed.json()["status"] == "active"


async def test_what_would_ignore_a_condition_refuses_it(filled: httpx.AsyncClient) -> None:
    for method, path in (
        ("DELETE", COLLECTION), ("DELETE", DATABASE), ("POST", f"{TENANT}/purge"),
    ):  # fmt: skip
        refused = await filled.request(method, path, headers={"if-match": '"1"'})
        assert (refused.status_code, refused.json()["field"]) == (422, "If-Match")
    assert (await filled.get(COLLECTION)).status_code == 200
