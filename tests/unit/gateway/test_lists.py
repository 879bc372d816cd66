"""Lists over REST: pages, order, states and the search for words."""

from typing import Any

import httpx

from akidb_ray.gateway.rest.schemas import CollectionsAnswer, DatabasesAnswer, TenantsAnswer
from tests.serving import COLLECTIONS

TENANTS = "/v2/tenants"
DATABASES = "/v2/tenants/default/databases"
KINDS = {TENANTS: "tenants", DATABASES: "databases", COLLECTIONS: "collections"}


async def all_pages(client: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        answer = await client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page[KINDS[path]]) <= int(query.get("limit", 100))
        items += page[KINDS[path]]
        if page["next_cursor"] is None:
            return items
        query["cursor"] = page["next_cursor"]


async def fill(client: httpx.AsyncClient, names: list[str]) -> None:
    for name in names:
        for path, body in (
            (TENANTS, {"name": f"{name} tenant", "slug": name}),
            (DATABASES, {"name": name, "description": f"about {name}"}),
            (COLLECTIONS, {"name": name, "description": f"about {name}", "dimension": 16}),
        ):
            made = await client.post(path, json=body)
            assert made.status_code == 201, made.text


def names_of(path: str, items: list[dict[str, Any]]) -> list[str]:
    key = "slug" if path == TENANTS else "name"
    return [item[key] for item in items if item[key] != "default"]


async def test_each_list_is_paged_to_its_end_in_either_order(client: httpx.AsyncClient) -> None:
    names = ["m", "z", "a", "q", "b"]
    await fill(client, names)
    for path in KINDS:
        for limit in (1, 2, 5, 100):
            created = await all_pages(client, path, limit=limit)
            assert names_of(path, created) == names
            by_name = await all_pages(client, path, limit=limit, order="name")
            assert names_of(path, by_name) == sorted(names)
            backwards = await all_pages(client, path, limit=limit, order="name", descending="true")
            assert names_of(path, backwards) == sorted(names, reverse=True)
            newest = await all_pages(client, path, limit=limit, descending="true")
            assert names_of(path, newest) == names[::-1]
    for path, answer in zip(
        KINDS, (TenantsAnswer, DatabasesAnswer, CollectionsAnswer), strict=True
    ):
        assert answer.model_validate((await client.get(path)).json())


async def test_a_list_can_begin_after_an_offset(client: httpx.AsyncClient) -> None:
    await fill(client, ["a", "b", "c"])
    for path, kind in KINDS.items():
        whole = (await client.get(path)).json()[kind]
        rest = (await client.get(path, params={"offset": 1})).json()
        assert rest[kind] == whole[1:]
        beyond = (await client.get(path, params={"offset": 100})).json()
        assert beyond == {kind: [], "next_cursor": None}


async def test_words_are_found_whatever_case_and_accents(client: httpx.AsyncClient) -> None:
    await client.post(TENANTS, json={"name": "Café Müller", "slug": "one"})
    await client.post(TENANTS, json={"name": "Cafeteria 雪 Ltd", "slug": "two"})
    for path in (DATABASES, COLLECTIONS):
        body = {"name": "one", "description": "CAFÉ müller", "dimension": 16}
        other = {"name": "two", "description": "cafeteria 雪 ltd", "dimension": 16}
        for each in (body, other):
            sent = each if path == COLLECTIONS else {**each, "dimension": None}
            sent = {name: value for name, value in sent.items() if value is not None}
            assert (await client.post(path, json=sent)).status_code == 201
    for path in KINDS:
        for words, found in (
            ("cafe", ["one", "two"]), ("CAFÉ MUL", ["one"]), ("müller café", ["one"]),
            ("雪", ["two"]), ("cafet", ["two"]), ("nothing", []), ("cafe nothing", []),
        ):  # fmt: skip
            listed = await all_pages(client, path, q=words, limit=1)
            assert names_of(path, listed) == found, (path, words)


ODD_WORDS = ["a OR b", "NEAR(a b)", "name:x", "a*", "'; drop --", "^a", "\0a", "a😀", "(a", '"a']


async def test_words_are_never_a_language_of_their_own(client: httpx.AsyncClient) -> None:
    await fill(client, ["films"])
    for words in ODD_WORDS:
        for path in KINDS:
            listed = await client.get(path, params={"q": words})
            assert listed.status_code == 200, listed.text


async def test_words_without_any_word_are_refused(client: httpx.AsyncClient) -> None:
    for words in ("", " ", '"*', '"', "*", "-", "(", "'; --", "\0", "\u0301"):
        for path in KINDS:
            refused = await client.get(path, params={"q": words})
            assert (refused.status_code, refused.json()["field"]) == (422, "q"), words
            assert "holds no word" in refused.json()["detail"]


async def test_a_list_keeps_one_state(client: httpx.AsyncClient) -> None:
    await fill(client, ["a", "b"])
    await client.post(f"{TENANTS}/a/suspend")
    suspended = await all_pages(client, TENANTS, status="suspended")
    assert names_of(TENANTS, suspended) == ["a"]
    assert names_of(TENANTS, await all_pages(client, TENANTS, status="active")) == ["b"]
    assert names_of(DATABASES, await all_pages(client, DATABASES, state="ready")) == ["a", "b"]
    assert await all_pages(client, COLLECTIONS, state="deleting") == []


WRONG_PARAMETERS = [
    ({"limit": 0}, "limit"),
    ({"limit": 1001}, "limit"),
    ({"limit": "x"}, "limit"),
    ({"offset": -1}, "offset"),
    ({"offset": 10**30}, "offset"),
    ({"order": "size"}, "order"),
    ({"descending": "maybe"}, "descending"),
    ({"cursor": "no-cursor!"}, "cursor"),
    ({"cursor": "é"}, "cursor"),
    ({"cursor": "bnVsbA"}, "cursor"),
    ({"q": "x" * 1025}, "q"),
    ({"limt": 5}, "limt"),
    ({"page": 2}, "page"),
]


async def test_a_wrong_parameter_is_refused_by_its_name(client: httpx.AsyncClient) -> None:
    for query, field in WRONG_PARAMETERS:
        for path in KINDS:
            refused = await client.get(path, params=query)
            assert (refused.status_code, refused.json()["field"]) == (422, field)


async def test_an_unknown_state_is_refused_with_those_that_are_known(
    client: httpx.AsyncClient,
) -> None:
    for path, field, known in (
        (TENANTS, "status", "suspended"), (DATABASES, "state", "migrating"),
        (COLLECTIONS, "state", "creating"), ("/v2/jobs", "state", "cancelled"),
    ):  # fmt: skip
        refused = await client.get(path, params={field: "asleep"})
        assert (refused.status_code, refused.json()["field"]) == (422, field)
        assert known in refused.json()["detail"]


async def test_a_cursor_serves_only_the_order_that_made_it(client: httpx.AsyncClient) -> None:
    await fill(client, ["a", "b"])
    cursor = (await client.get(DATABASES, params={"limit": 1})).json()["next_cursor"]
    for query in ({"order": "name"}, {"descending": "true"}, {"offset": 1}):
        refused = await client.get(DATABASES, params={"cursor": cursor, **query})
        assert refused.status_code == 422
        assert refused.json()["field"] in ("cursor", "offset")
