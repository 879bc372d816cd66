"""Lists of the catalog: order, pages, states and words, with the plans that SQLite makes."""

import pickle
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.cursors import Place, cursor_after
from akidb_ray.catalog.sqlite.collections import SqliteCollections
from akidb_ray.catalog.sqlite.databases import SqliteDatabases
from akidb_ray.catalog.sqlite.jobs import SqliteJobs, running_for_statement
from akidb_ray.catalog.sqlite.pages import Listed, page_statement
from akidb_ray.catalog.sqlite.repository import deleting_statement
from akidb_ray.catalog.sqlite.tenants import SqliteTenants
from akidb_ray.catalog.sqlite.users import SqliteUsers
from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import DatabaseId, EntityId, StoreId, TenantId
from akidb_ray.domain.listing import Listing, Order
from akidb_ray.domain.tenancy import Database, Tenant

ORDERS = [
    Listing(order=order, descending=descending) for order in Order for descending in (False, True)
]


@pytest.fixture
async def films(catalog: StoredCatalog, tenant: Tenant, clock: Any) -> StoredCatalog:
    """Databases whose names and times sort differently; two have the same time."""
    for name in ("delta", "alpha", "echo", "bravo"):
        await catalog.create_database(tenant.tenant_id, name)
        clock.advance(1 if name != "alpha" else 0)
    return catalog


async def names(catalog: StoredCatalog, tenant: Tenant, listing: Listing) -> list[str]:
    """Of all pages."""
    found = []
    while True:
        page = await catalog.list_databases(tenant.tenant_id, listing)
        assert pickle.loads(pickle.dumps(page)) == page
        found += [database.name for database in page.items]
        if page.next_cursor is None:
            return found
        assert len(page.items) == listing.limit
        listing = replace(listing, cursor=page.next_cursor, offset=0)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("listing", ORDERS, ids=lambda each: f"{each.order}-{each.descending}")
async def test_pages_hold_everything_once_in_the_order_that_is_asked_for(
    films: StoredCatalog, tenant: Tenant, listing: Listing, limit: int
) -> None:
    by_name = ["alpha", "bravo", "default", "delta", "echo"]
    by_time = ["default", "delta", "alpha", "echo", "bravo"]
    wanted = by_name if listing.order is Order.NAME else by_time
    found = await names(films, tenant, replace(listing, limit=limit))
    assert found == (wanted[::-1] if listing.descending else wanted)


async def test_a_page_that_is_just_full_is_the_last(films: StoredCatalog, tenant: Tenant) -> None:
    page = await films.list_databases(tenant.tenant_id, Listing(limit=5))
    assert page.next_cursor is None


async def test_an_offset_leaves_out_the_first_ones(films: StoredCatalog, tenant: Tenant) -> None:
    listing = Listing(limit=2, offset=1, order=Order.NAME)
    assert await names(films, tenant, listing) == ["bravo", "default", "delta", "echo"]
    assert await names(films, tenant, Listing(offset=5)) == []


async def test_a_page_begins_after_a_thing_that_went_or_changed_meanwhile(
    films: StoredCatalog, tenant: Tenant
) -> None:
    listing = Listing(limit=2, order=Order.NAME)
    page = await films.list_databases(tenant.tenant_id, listing)
    await films.update_database(page.items[-1].database_id, {"name": "zulu"})
    await films.end_job((await films.delete_database(page.items[0].database_id)).job_id)
    rest = await names(films, tenant, replace(listing, cursor=page.next_cursor))
    assert rest == ["default", "delta", "echo", "zulu"]


@pytest.mark.parametrize("cursor", ["", "x", "ü", "not a cursor", "AAAA", "A" * 22 + "==", "W10"])
async def test_a_made_up_cursor_is_refused(catalog: StoredCatalog, cursor: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.list_tenants(Listing(cursor=cursor))
    assert caught.value.fields["field"] == "cursor"


@pytest.mark.parametrize("other", ORDERS[1:], ids=lambda each: f"{each.order}-{each.descending}")
async def test_a_cursor_of_another_order_is_refused(
    films: StoredCatalog, tenant: Tenant, other: Listing
) -> None:
    page = await films.list_databases(tenant.tenant_id, Listing(limit=2))
    with pytest.raises(InvalidArgument, match="cursor: was made by a list of another order"):
        await films.list_databases(tenant.tenant_id, replace(other, cursor=page.next_cursor))


@pytest.mark.parametrize(
    ("field", "listing"),
    [
        ("limit", Listing(limit=0)),
        ("limit", Listing(limit=-1)),
        ("limit", Listing(limit=1001)),
        ("offset", Listing(offset=-1)),
        ("offset", Listing(offset=2**63)),
        ("state", Listing(state="gone")),
        ("order", Listing(order="size")),  # type: ignore[arg-type]
    ],
)
async def test_what_no_list_can_answer_is_refused(
    catalog: StoredCatalog, tenant: Tenant, field: str, listing: Listing
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await catalog.list_databases(tenant.tenant_id, listing)
    assert caught.value.fields["field"] == field


async def test_a_cursor_and_an_offset_exclude_each_other(
    films: StoredCatalog, tenant: Tenant
) -> None:
    page = await films.list_databases(tenant.tenant_id, Listing(limit=2))
    listing = Listing(offset=1, cursor=page.next_cursor)
    with pytest.raises(InvalidArgument, match="offset: can't be used together with a cursor"):
        await films.list_databases(tenant.tenant_id, listing)


async def test_users_and_jobs_have_no_text(catalog: StoredCatalog, tenant: Tenant) -> None:
    with pytest.raises(InvalidArgument, match="text: "):
        await catalog.list_users(tenant.tenant_id, Listing(text="ann"))
    with pytest.raises(InvalidArgument, match="text: "):
        await catalog.list_jobs(None, Listing(text="ann"))


async def test_users_are_sorted_by_their_address_whatever_its_case(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    for email in ("Bob@x.org", "ann@x.org", "carl@x.org"):
        await catalog.create_user(tenant.tenant_id, email)
    listing = Listing(limit=1, order=Order.NAME)
    found = []
    for _ in range(3):
        page = await catalog.list_users(tenant.tenant_id, listing)
        found += [user.email for user in page.items]
        listing = replace(listing, cursor=page.next_cursor)
    assert found == ["ann@x.org", "Bob@x.org", "carl@x.org"]


async def test_a_list_of_a_state_holds_what_is_in_it(
    catalog: StoredCatalog, database: Database, store: StoreId
) -> None:
    for name in ("one", "two", "three"):
        made = await catalog.create_collection(database.database_id, name, CollectionSpec(16))
        if name != "two":
            await catalog.update_collection(made, {"state": "ready"})
    ready = await catalog.list_collections(database.database_id, Listing(state="ready"))
    assert [each.name for each in ready.items] == ["one", "three"]


@pytest.fixture
async def searched(catalog: StoredCatalog, tenant: Tenant) -> StoredCatalog:
    other = await catalog.create_tenant("Other")
    await catalog.create_database(other.tenant_id, "cafe-of-others", "Heists")
    await catalog.create_database(tenant.tenant_id, "cafe-plots", "Größere Überfälle, 2. Teil")
    await catalog.create_database(tenant.tenant_id, "heists", "All of the Café")
    return catalog


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cafe", ["cafe-plots", "heists"]),
        ("CAFÉ", ["cafe-plots", "heists"]),
        ("caf\u0065\u0301", ["cafe-plots", "heists"]),
        ("plot", ["cafe-plots"]),
        ("lots", []),
        ("cafe-plots", ["cafe-plots"]),
        ("uberf grossere", []),
        ("uberf größ 2", ["cafe-plots"]),
        ("hei all", ["heists"]),
        ("", ["cafe-plots", "default", "heists"]),
        ("- * !", ["cafe-plots", "default", "heists"]),
    ],
)
async def test_words_find_names_and_descriptions_within_one_parent(
    searched: StoredCatalog, tenant: Tenant, text: str, found: list[str]
) -> None:
    assert await names(searched, tenant, Listing(text=text, order=Order.NAME)) == found


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "'",
        "cafe OR heists",
        "NOT cafe",
        "NEAR(cafe plots)",
        "name:cafe",
        "{parent}: cafe",
        "^cafe",
        "cafe*)",
        "'; DROP TABLE tenants; --",
        "\0",
        "\ud800",
        "cafe\0plots",
        "😀 ١٢٣ ﬁ",
        "x" * 5000,
    ],
)
async def test_any_text_is_harmless(searched: StoredCatalog, tenant: Tenant, text: str) -> None:
    found = await names(searched, tenant, Listing(text=text))
    assert set(found) <= {"cafe-plots", "heists", "default"}


async def test_the_id_of_a_parent_is_no_word_of_its_children(
    searched: StoredCatalog, tenant: Tenant
) -> None:
    assert await names(searched, tenant, Listing(text=tenant.tenant_id.value.hex)) == []


async def test_words_are_found_no_more_after_they_changed_or_went(
    searched: StoredCatalog, tenant: Tenant
) -> None:
    plots = await searched.get_database(tenant.tenant_id, "cafe-plots")
    await searched.update_database(plots.database_id, {"description": "Quiet"})
    assert await names(searched, tenant, Listing(text="überfälle")) == []
    assert await names(searched, tenant, Listing(text="quiet")) == ["cafe-plots"]
    await searched.end_job((await searched.delete_database(plots.database_id)).job_id)
    assert await names(searched, tenant, Listing(text="quiet")) == []


async def test_words_state_order_and_pages_go_together(
    searched: StoredCatalog, tenant: Tenant
) -> None:
    listing = Listing(text="cafe", state="ready", order=Order.NAME, descending=True, limit=1)
    assert await names(searched, tenant, listing) == ["heists", "cafe-plots"]


LISTED = {
    "tenants": (SqliteTenants.mapped.listed, None),
    "users": (SqliteUsers.mapped.listed, TenantId.new()),
    "databases": (SqliteDatabases.mapped.listed, TenantId.new()),
    "collections": (SqliteCollections.mapped.listed, DatabaseId.new()),
    "jobs": (SqliteJobs.mapped.listed, None),
    "jobs of a tenant": (SqliteJobs.mapped.listed, TenantId.new()),
}


def plan_of(file: Path, listed: Listed, listing: Listing, parent: EntityId | None) -> str:
    """What SQLite says that it does for the first page, and for the one after it."""
    last = Place("2026" if listing.order is Order.CREATED else "m", TenantId.new().value)
    second = replace(listing, cursor=cursor_after(listing, last))
    steps: list[str] = []
    with closing(sqlite3.connect(file)) as connection:
        for page in (listing, second):
            statement, values = page_statement(listed, page, parent)
            explain = f"EXPLAIN QUERY PLAN {statement.sql}"
            rows = connection.execute(explain, statement.parameters(values)).fetchall()
            steps += [detail for *_, detail in rows]
    return "; ".join(steps)


@pytest.mark.parametrize(
    ("kind", "listing"),
    # Jobs are few, for the ended ones are forgotten: no index has them by name.
    [
        (kind, listing)
        for kind in LISTED
        for listing in ORDERS
        if "jobs" not in kind or listing.order is Order.CREATED
    ],
)
def test_an_index_brings_each_list_in_its_order(
    catalog: StoredCatalog, file: Path, kind: str, listing: Listing
) -> None:
    listed, parent = LISTED[kind]
    plan = plan_of(file, listed, listing, parent)
    assert "INDEX" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("kind", ["tenants", "collections"])
@pytest.mark.parametrize("listing", ORDERS, ids=lambda each: f"{each.order}-{each.descending}")
def test_an_index_brings_those_in_a_state_in_their_order(
    catalog: StoredCatalog, file: Path, kind: str, listing: Listing
) -> None:
    listed, parent = LISTED[kind]
    plan = plan_of(file, listed, replace(listing, state=listed.states[-1]), parent)
    assert re.search("_in_(state|status)", plan)
    assert "TEMP B-TREE" not in plan


def test_running_jobs_are_found_by_an_index(catalog: StoredCatalog, file: Path) -> None:
    plan = plan_of(file, LISTED["jobs"][0], Listing(state="running"), None)
    assert "jobs_in_state" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("kind", ["databases", "collections"])
def test_what_is_being_deleted_is_found_by_an_index(
    catalog: StoredCatalog, file: Path, kind: str
) -> None:
    explain = f"EXPLAIN QUERY PLAN {deleting_statement(LISTED[kind][0].table).sql}"
    with closing(sqlite3.connect(file)) as connection:
        plan = "; ".join(detail for *_, detail in connection.execute(explain))
    assert f"{kind}_deleting" in plan
    assert "TEMP B-TREE" not in plan


def test_the_running_jobs_of_a_thing_are_found_by_an_index(
    catalog: StoredCatalog, file: Path
) -> None:
    explain = f"EXPLAIN QUERY PLAN {running_for_statement(2).sql}"
    with closing(sqlite3.connect(file)) as connection:
        plan = "; ".join(detail for *_, detail in connection.execute(explain, ["a", "b"]))
    assert "jobs_running (subject_id=? AND state=?)" in plan
