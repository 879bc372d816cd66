"""Lists of things of every kind: order, pages by cursor and by offset, filters."""

from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.errors import InvalidArgument, NotFound
from akidb_ray.domain.listing import MAX_PAGE_ROWS, Listing, Order, Page
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    JOBS,
    TENANTS,
    USERS,
    Kind,
    a_tenant,
    a_user,
    changed,
    keep,
    times,
)

# Letters of both cases, digits and signs, so that the order of names shows how they are compared.
NAMES = ("b", "a", "c-1", "c1", "c_1", "10", "2", "a.b")


async def page(store: CatalogStore, kind: Kind, parent_id: Any, listing: Listing) -> Page[Any]:
    async with store.reading() as repos:
        return await kind.list(repos, parent_id, listing)


async def ids(store: CatalogStore, kind: Kind, parent_id: Any, listing: Listing) -> list[Any]:
    """Those of all pages, fetched one after the other by their cursors."""
    found = []
    while True:
        part = await page(store, kind, parent_id, listing)
        assert len(part.items) <= listing.limit
        found += [kind.id_of(thing) for thing in part.items if kind.id_of(thing) != parent_id]
        if part.next_cursor is None:
            return found
        assert len(part.items) == listing.limit
        assert part.next_cursor != listing.cursor
        listing = replace(listing, cursor=part.next_cursor)


@pytest.fixture
async def things(store: CatalogStore, kind: Kind, parent_id: Any) -> list[Any]:
    """Eight, in the order of their creation, two of them of the same moment."""
    made = []
    for number, name in enumerate(NAMES):
        if kind is TENANTS:
            name = name.replace(".", "-dot-").replace("_", "--")
        if kind is USERS:
            name = f"{name}@example.com"
        made.append(kind.make(parent_id, **{kind.name: name}, **times(max(1, number))))
    made[:2] = sorted(made[:2], key=kind.id_of)
    await keep(store, kind, *reversed(made))
    return made


@pytest.mark.parametrize("order", Order)
async def test_pages_follow_each_other_in_the_order_that_is_asked_for(
    store: CatalogStore, kind: Kind, parent_id: Any, things: list[Any], order: Order
) -> None:
    if order is Order.NAME:
        things.sort(key=lambda thing: getattr(thing, kind.name))
    wanted = [kind.id_of(thing) for thing in things]
    for limit in (1, 3, 8, 100):
        listing = Listing(limit=limit, order=order)
        assert await ids(store, kind, parent_id, listing) == wanted
        backwards = replace(listing, descending=True)
        assert await ids(store, kind, parent_id, backwards) == wanted[::-1]


async def test_an_offset_skips_things(
    store: CatalogStore, kind: Kind, parent_id: Any, things: list[Any]
) -> None:
    extra = 1 if kind is TENANTS and parent_id else 0
    for offset, limit in ((0, 3), (3, 3), (6, 3), (8, 1), (100, 1)):
        part = await page(store, kind, parent_id, Listing(limit=limit, offset=offset))
        assert list(part.items) == things[offset : offset + limit]
        assert (part.next_cursor is None) == (offset + limit >= len(things) + extra)
    second = await page(store, kind, parent_id, Listing(limit=2, offset=2))
    rest = await page(store, kind, parent_id, Listing(cursor=second.next_cursor))
    assert list(rest.items) == things[4:]


async def test_a_page_begins_behind_a_thing_that_is_gone_meanwhile(
    store: CatalogStore, kind: Kind, parent_id: Any, things: list[Any]
) -> None:
    for order in Order:
        first = await page(store, kind, parent_id, Listing(limit=2, order=order))
        everything = await page(store, kind, parent_id, Listing(order=order))
        last = kind.id_of(first.items[-1])
        await changed(store, lambda repos, last=last: kind.repository(repos).delete(last))
        following = Listing(order=order, cursor=first.next_cursor)
        rest = await page(store, kind, parent_id, following)
        assert rest.items == everything.items[2:]


async def test_a_state_keeps_those_that_are_in_it(
    store: CatalogStore, kind: Kind, parent_id: Any, things: list[Any]
) -> None:
    moved = [replace(thing, **{kind.state: kind.other_state}) for thing in things[::3]]
    for thing in moved:
        await changed(store, lambda repos, thing=thing: kind.repository(repos).update(thing))
    listing = Listing(limit=2, state=kind.other_state)
    wanted = [kind.id_of(thing) for thing in moved]
    assert await ids(store, kind, parent_id, listing) == wanted
    usual = getattr(things[0], kind.state)
    others = await ids(store, kind, parent_id, Listing(state=usual))
    assert others == [kind.id_of(thing) for thing in things if thing not in things[::3]]


async def test_what_no_list_can_answer_is_refused(
    store: CatalogStore, kind: Kind, parent_id: Any, things: list[Any]
) -> None:
    first = await page(store, kind, parent_id, Listing(limit=2))
    cursor = first.next_cursor
    for field, listing in (
        ("limit", Listing(limit=0)),
        ("limit", Listing(limit=MAX_PAGE_ROWS + 1)),
        ("offset", Listing(offset=-1)),
        ("offset", Listing(offset=2**63)),
        ("offset", Listing(offset=1, cursor=cursor)),
        ("state", Listing(state="gone")),
        ("cursor", Listing(cursor="")),
        ("cursor", Listing(cursor="????")),
        ("cursor", Listing(cursor="bm90IG1pbmU")),
        ("cursor", Listing(cursor=cursor, order=Order.NAME)),
        ("cursor", Listing(cursor=cursor, descending=True)),
    ):
        with pytest.raises(InvalidArgument) as refusal:
            await page(store, kind, parent_id, listing)
        assert refusal.value.fields["field"] == field


@pytest.mark.parametrize("kind", [USERS, DATABASES, COLLECTIONS], ids=lambda kind: kind.word)
async def test_a_list_of_an_unknown_parent_is_not_found(store: CatalogStore, kind: Kind) -> None:
    missing = kind.parent_type.new()
    with pytest.raises(NotFound) as refusal:
        await page(store, kind, missing, Listing())
    assert refusal.value.fields["id"] == str(missing)


async def test_things_of_other_parents_are_not_listed(store: CatalogStore) -> None:
    one, other = a_tenant(1), a_tenant(2)
    await keep(store, TENANTS, one, other)
    for kind in (USERS, DATABASES, JOBS):
        mine, yours = kind.make(one.tenant_id, 1), kind.make(other.tenant_id, 2)
        await keep(store, kind, mine, yours)
        found = await page(store, kind, one.tenant_id, Listing())
        assert found == Page((mine,))
    every = await page(store, JOBS, None, Listing())
    assert [job.tenant_id for job in every.items] == [one.tenant_id, other.tenant_id]


async def test_users_are_listed_without_the_case_of_ascii_letters(store: CatalogStore) -> None:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    emails = ["a@b.c", "b1@b.c", "B@b.c", "bb@b.c", "C@b.c", "É@b.c", "é@b.c"]
    await keep(store, USERS, *[a_user(tenant.tenant_id, email=each) for each in emails])
    for limit in (1, 2, 100):
        listing, found = Listing(limit=limit, order=Order.NAME), []
        while True:
            part = await page(store, USERS, tenant.tenant_id, listing)
            found += [user.email for user in part.items]
            if part.next_cursor is None:
                break
            listing = replace(listing, cursor=part.next_cursor)
        assert found == emails
