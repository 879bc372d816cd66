"""What leads followers of the catalog from one version to the next."""

from dataclasses import replace
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.directory import CatalogUpdate, Directory
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.placement import ShardPlacement
from tests.contract.catalog.conftest import OpenAgain
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    JOBS,
    TENANTS,
    USERS,
    a_collection,
    a_database,
    a_job,
    a_tenant,
    a_user,
    changed,
    keep,
)


async def history(store: CatalogStore) -> list[dict[str, Any]]:
    """Change all that can change. Returns the contents after each transaction, from before the
    first one on.
    """
    tenants = [a_tenant(number) for number in range(3)]
    databases = [a_database(tenants[0].tenant_id, number) for number in range(2)]
    collections = [a_collection(databases[0].database_id, number) for number in range(3)]
    user, job = a_user(tenants[0].tenant_id), a_job(tenants[0].tenant_id)
    stores = [StoreId.new(), StoreId.new()]
    shards = [ShardPlacement(number, stores[0]) for number in range(2)]
    placed, removed = collections[0].collection_id, collections[1].collection_id

    async def swap(repos: Any) -> None:
        # Unlike rows of SQLite, things of a follower change their names all at once.
        first, second = [await repos.tenants.get(each.tenant_id) for each in tenants[:2]]
        first = await repos.tenants.update(replace(first, slug="free"))
        second = await repos.tenants.update(replace(second, slug=tenants[0].slug))
        await repos.tenants.update(replace(first, slug=tenants[1].slug))

    async def come_and_go(repos: Any) -> None:
        passing = a_database(tenants[2].tenant_id, 9)
        await repos.databases.add(passing)
        await repos.collections.add(a_collection(passing.database_id))
        await repos.databases.delete(passing.database_id)

    seen = [contents(Directory(await store.update_since(0)))]
    for change in (
        lambda repos: repos.tenants.add(tenants[0]),
        lambda repos: repos.tenants.add(tenants[1]),
        lambda repos: repos.users.add(user),
        lambda repos: repos.databases.add(databases[0]),
        lambda repos: repos.placement.register_store(stores[0], "shard-host-0"),
        lambda repos: repos.placement.register_store(stores[1], "shard-host-1"),
        lambda repos: repos.collections.add(collections[0]),
        lambda repos: repos.placement.place(placed, shards),
        lambda repos: repos.jobs.add(job),
        lambda repos: repos.collections.add(collections[1]),
        lambda repos: repos.tenants.add(tenants[2]),
        lambda repos: repos.databases.add(databases[1]),
        swap,
        lambda repos: repos.databases.update(replace(databases[0], name="renamed")),
        lambda repos: repos.placement.register_store(stores[1], ""),
        come_and_go,
        lambda repos: repos.collections.delete(removed),
        lambda repos: repos.collections.add(collections[2]),
        lambda repos: repos.users.update(replace(user, email="new@example.com")),
        lambda repos: repos.databases.delete(databases[1].database_id),
        lambda repos: repos.tenants.delete(tenants[0].tenant_id),
    ):
        await changed(store, change)
        seen.append(contents(Directory(await store.update_since(0))))
    await store.set_root_key_hash(b"hash")
    return [*seen, contents(Directory(await store.update_since(0)))]


def contents(directory: Directory) -> dict[str, Any]:
    return vars(directory).copy()


async def test_deltas_lead_from_any_version_to_what_a_whole_holds(store: CatalogStore) -> None:
    """Each follower takes the updates after each transaction, or misses some of them."""
    followers: list[Directory] = []
    seen: list[dict[str, Any]] = await history(store)
    newest = Directory(await store.update_since(0))
    for former in seen[1:]:
        follower = Directory()
        vars(follower).update(former)
        followers.append(follower)
    for follower in followers:
        update = await store.update_since(follower.version)
        assert not update.whole
        follower.apply(update)
        assert contents(follower) == contents(newest)


async def test_a_delta_holds_only_what_changed(store: CatalogStore) -> None:
    tenants = [a_tenant(number) for number in range(3)]
    await keep(store, TENANTS, *tenants)
    databases = [a_database(each.tenant_id) for each in tenants]
    await keep(store, DATABASES, *databases)
    since = await store.version()
    renamed = await changed(
        store, lambda repos: repos.tenants.update(replace(tenants[1], name="Renamed"))
    )
    await changed(store, lambda repos: repos.databases.delete(databases[2].database_id))
    update = await store.update_since(since)
    assert (update.whole, update.version) == (False, since + 2)
    assert tuple(update.tenants) == (renamed,)
    assert (tuple(update.databases), tuple(update.collections)) == ((), ())
    assert dict(update.placements) == {}
    assert dict(update.stores) == {}
    assert update.removed == {databases[2].database_id}


async def test_what_goes_with_its_parent_is_gone_for_followers(store: CatalogStore) -> None:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    database = a_database(tenant.tenant_id)
    await keep(store, DATABASES, database)
    await keep(store, COLLECTIONS, a_collection(database.database_id))
    follower = Directory(await store.update_since(0))
    since = await store.version()
    await changed(store, lambda repos: repos.tenants.delete(tenant.tenant_id))
    assert await store.version() == since + 1
    follower.apply(await store.update_since(since))
    assert (follower.tenant_count, follower.collection_count) == (0, 0)


async def test_nothing_new_is_an_empty_delta(store: CatalogStore) -> None:
    await keep(store, TENANTS, a_tenant())
    assert await store.update_since(1) == CatalogUpdate(store.cluster_id, store.epoch, 1, False)


@pytest.mark.parametrize("since", [0, 4, 100])
async def test_what_no_delta_leads_from_gets_a_whole(store: CatalogStore, since: int) -> None:
    tenants = [a_tenant(number) for number in range(3)]
    await keep(store, TENANTS, *tenants)
    update = await store.update_since(since)
    assert (update.whole, update.version) == (True, 3)
    assert tuple(update.tenants) == tuple(tenants)


async def test_forgotten_changes_make_older_followers_start_anew(
    store: CatalogStore, open_again: OpenAgain
) -> None:
    tenants = [a_tenant(number) for number in range(5)]
    await keep(store, TENANTS, *tenants)
    await store.forget_changes(10)
    assert [(await store.update_since(since)).whole for since in range(6)] == [True] + [False] * 5
    await store.forget_changes(2)
    known = [True, True, True, False, False, False]
    assert [(await store.update_since(since)).whole for since in range(6)] == known
    later = await open_again()
    assert [(await later.update_since(since)).whole for since in range(6)] == known
    assert tuple((await later.update_since(3)).tenants) == tuple(tenants[3:])
    await later.forget_changes(0)
    assert [(await later.update_since(since)).whole for since in range(6)] == [True] * 5 + [False]
    await keep(later, TENANTS, a_tenant(9))
    assert await later.version() == 6
    assert not (await later.update_since(5)).whole


async def test_users_and_jobs_are_not_followed(store: CatalogStore) -> None:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    user, job = a_user(tenant.tenant_id), a_job(tenant.tenant_id)
    await keep(store, USERS, user)
    await keep(store, JOBS, job)
    await changed(store, lambda repos: repos.users.delete(user.user_id))
    nothing = CatalogUpdate(store.cluster_id, store.epoch, 3, False)
    assert await store.update_since(1) == nothing


async def test_the_root_keys_hash_is_kept_and_followed(
    store: CatalogStore, open_again: OpenAgain
) -> None:
    assert await store.root_key_hash() is None
    await store.set_root_key_hash(b"one")
    assert await store.version() == 1
    await store.set_root_key_hash(b"two")
    assert await store.version() == 2
    assert (await store.update_since(1)).root_key_hash == b"two"
    assert (await store.update_since(0)).root_key_hash == b"two"
    assert await (await open_again()).root_key_hash() == b"two"
