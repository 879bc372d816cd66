"""Lists of things whose texts hold words."""

from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.listing import Listing, Order
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    JOBS,
    TENANTS,
    USERS,
    Kind,
    a_collection,
    a_database,
    a_tenant,
    changed,
    keep,
)


async def numbers(
    store: CatalogStore, kind: Kind, things: list[Any], text: str, parent_id: Any = None
) -> list[int]:
    """Which of the things the text finds."""
    async with store.reading() as repos:
        page = await kind.list(repos, parent_id, Listing(text=text))
    return [things.index(thing) for thing in page.items]


@pytest.fixture
async def databases(store: CatalogStore) -> list[Any]:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    texts = [
        ("films", "Über alte Filme, 1927"),
        ("film_plots.v2", "what happens"),
        ("books", 'A café\'s "menu" AND more'),
        ("2024-logs", ""),
    ]
    made = [
        a_database(tenant.tenant_id, number, name=name, description=description)
        for number, (name, description) in enumerate(texts)
    ]
    await keep(store, DATABASES, *made)
    return made


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("film", [0, 1]),
        ("films", [0]),
        ("ilms", []),
        ("FILM", [0, 1]),
        ("plots", [1]),
        ("film plots", [1]),
        ("film-plots", [1]),
        ("plots film", [1]),
        ("film alte", [0]),
        ("v2", [1]),
        ("uber", [0]),
        ("ÜBER", [0]),
        ("u\u0308ber", [0]),
        ("cafe", [2]),
        ("café", [2]),
        ("caf", [2]),
        ("19", [0]),
        ("20 lo", [3]),
        ("nothing", []),
        ("film nothing", []),
        ("and", [2]),
        ("film OR books", []),
        ('"menu', [2]),
        ("menu*", [2]),
        ("name:films", []),
        ("description", []),
        ("books'; --", [2]),
        ("NEAR(film plots)", []),
        ("^films", [0]),
        ("", [0, 1, 2, 3]),
        (" -- ", [0, 1, 2, 3]),
        ("\0", [0, 1, 2, 3]),
        ("\ud800", [0, 1, 2, 3]),
    ],
)
async def test_a_text_finds_those_that_hold_the_beginnings_of_all_its_words(
    store: CatalogStore, databases: list[Any], text: str, found: list[int]
) -> None:
    assert await numbers(store, DATABASES, databases, text, databases[0].tenant_id) == found


@pytest.mark.parametrize(
    "name",
    [
        "Straße",
        "Αθήνα",
        "Ὀδύσσεια",
        "Москва",
        "Ёлка",
        "Ngộ Đức",
        "서울 대학교",
        "がっこう",
        "東京",
        "हिन्दी",
        "القاهرة",
        "ไทยแลนด์",
        "İstanbul",
        "ﬁlm",
        "Ⅷ x²",
        "Ǆ",
    ],
)
async def test_a_name_in_any_script_finds_itself(store: CatalogStore, name: str) -> None:
    tenant = a_tenant(name=name)
    await keep(store, TENANTS, tenant, a_tenant(1))
    for text in (name, name.lower()):
        assert await numbers(store, TENANTS, [tenant], text) == [0]


async def test_tenants_are_found_by_name_and_slug(store: CatalogStore) -> None:
    tenants = [a_tenant(name="Acme Corporation", slug="rocket-skates"), a_tenant(1)]
    await keep(store, TENANTS, *tenants)
    for text in ("corp", "skates", "acme rocket"):
        assert await numbers(store, TENANTS, tenants, text) == [0]


async def test_a_changed_text_is_found_by_its_new_words_only(
    store: CatalogStore, databases: list[Any]
) -> None:
    database, parent_id = databases[0], databases[0].tenant_id
    collection = a_collection(database.database_id, description="first words")
    await keep(store, COLLECTIONS, collection)
    wanted = replace(collection, description="second thoughts")
    new = await changed(store, lambda repos: repos.collections.update(wanted))
    assert await numbers(store, COLLECTIONS, [new], "first", database.database_id) == []
    assert await numbers(store, COLLECTIONS, [new], "thought", database.database_id) == [0]
    await changed(store, lambda repos: repos.databases.delete(database.database_id))
    assert await numbers(store, DATABASES, databases, "films", parent_id) == []


async def test_a_search_has_pages_and_states_like_any_list(
    store: CatalogStore, databases: list[Any]
) -> None:
    listing = Listing(text="film", limit=1, order=Order.NAME, descending=True)
    async with store.reading() as repos:
        first = await repos.databases.list(databases[0].tenant_id, listing)
        following = replace(listing, cursor=first.next_cursor)
        second = await repos.databases.list(databases[0].tenant_id, following)
        none = await repos.databases.list(
            databases[0].tenant_id, Listing(text="film", state="deleting")
        )
    assert (first.items, second.items) == ((databases[0],), (databases[1],))
    assert (second.next_cursor, none.items) == (None, ())


async def test_a_tenant_finds_only_its_own(store: CatalogStore, databases: list[Any]) -> None:
    other = a_tenant(2)
    await keep(store, TENANTS, other)
    assert await numbers(store, DATABASES, databases, "film", other.tenant_id) == []


@pytest.mark.parametrize("kind", [USERS, JOBS], ids=lambda kind: kind.word)
async def test_users_and_jobs_have_no_text(store: CatalogStore, kind: Kind) -> None:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    async with store.reading() as repos:
        with pytest.raises(InvalidArgument) as refusal:
            await kind.list(repos, tenant.tenant_id, Listing(text="x"))
    assert refusal.value.fields["field"] == "text"
