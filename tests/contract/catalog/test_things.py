"""What the repositories of all kinds of things have in common."""

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument, NotFound, PreconditionFailed
from akidb_ray.domain.ids import DatabaseId, TenantId
from tests.contract.catalog.conftest import Clock, OpenAgain
from tests.contract.catalog.things import (
    COLLECTIONS,
    DATABASES,
    JOBS,
    TENANTS,
    USERS,
    Kind,
    changed,
    keep,
    kept,
)


async def test_what_was_added_is_read_back_also_after_reopening(
    store: CatalogStore, open_again: OpenAgain, kind: Kind, parent_id: Any
) -> None:
    thing = kind.make(parent_id)
    await keep(store, kind, thing)
    assert await kept(store, kind, kind.id_of(thing)) == thing
    await store.close()
    assert await kept(await open_again(), kind, kind.id_of(thing)) == thing


async def test_times_of_other_offsets_are_read_back_in_utc(
    store: CatalogStore, kind: Kind, parent_id: Any
) -> None:
    thing = kind.make(parent_id)
    elsewhere = thing.created_at.astimezone(timezone(timedelta(hours=9)))
    await keep(store, kind, replace(thing, created_at=elsewhere, updated_at=elsewhere))
    read = await kept(store, kind, kind.id_of(thing))
    assert read.created_at == thing.created_at
    assert read.created_at.utcoffset() == timedelta(0)


async def test_what_does_not_exist_is_not_found(
    store: CatalogStore, kind: Kind, parent_id: Any
) -> None:
    missing = kind.make(parent_id)
    missing_id = kind.id_of(missing)
    version = await store.version()
    for work in (
        lambda repos: kind.repository(repos).get(missing_id),
        lambda repos: kind.repository(repos).update(missing),
        lambda repos: kind.repository(repos).delete(missing_id),
    ):
        with pytest.raises(NotFound) as refusal:
            await changed(store, work)
        assert refusal.value.fields == {"kind": kind.word, "id": str(missing_id)}
    assert await store.version() == version


async def test_an_id_is_given_once(store: CatalogStore, kind: Kind, parent_id: Any) -> None:
    thing = kind.make(parent_id, 1)
    await keep(store, kind, thing)
    other = replace(kind.make(parent_id, 2), **{kind.key: kind.id_of(thing)})
    with pytest.raises(AlreadyExists) as refusal:
        await keep(store, kind, other)
    known = {"kind": kind.word, "field": kind.key, "value": str(kind.id_of(thing))}
    assert refusal.value.fields == known
    assert await kept(store, kind, kind.id_of(thing)) == thing


async def test_a_new_thing_has_version_one(store: CatalogStore, kind: Kind, parent_id: Any) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await keep(store, kind, replace(kind.make(parent_id), version=2))
    assert refusal.value.fields["field"] == "version"


@pytest.mark.parametrize("kind", [USERS, DATABASES, COLLECTIONS], ids=lambda kind: kind.word)
async def test_a_thing_of_an_unknown_parent_is_refused(store: CatalogStore, kind: Kind) -> None:
    missing = kind.parent_type.new()
    with pytest.raises(NotFound) as refusal:
        await keep(store, kind, kind.make(missing))
    word = "database" if kind.parent == "database_id" else "tenant"
    assert refusal.value.fields == {"kind": word, "id": str(missing)}


async def test_an_update_gets_the_next_version_and_the_time_of_its_transaction(
    store: CatalogStore, clock: Clock, kind: Kind, parent_id: Any
) -> None:
    thing = kind.make(parent_id)
    await keep(store, kind, thing)
    clock.advance(5)
    wanted = replace(thing, **{kind.state: kind.other_state})
    new = await changed(store, lambda repos: kind.repository(repos).update(wanted))
    assert new == replace(wanted, version=2, updated_at=clock.now)
    assert await kept(store, kind, kind.id_of(thing)) == new


async def test_an_update_that_changes_nothing_leaves_version_and_time(
    store: CatalogStore, clock: Clock, kind: Kind, parent_id: Any
) -> None:
    thing = kind.make(parent_id)
    await keep(store, kind, thing)
    version = await store.version()
    clock.advance(5)
    same = await changed(store, lambda repos: kind.repository(repos).update(thing))
    assert same == thing
    assert await kept(store, kind, kind.id_of(thing)) == thing
    assert await store.version() == version


async def test_an_update_from_a_former_version_is_refused(
    store: CatalogStore, kind: Kind, parent_id: Any
) -> None:
    thing = kind.make(parent_id)
    await keep(store, kind, thing)
    wanted = replace(thing, **{kind.state: kind.other_state})
    new = await changed(store, lambda repos: kind.repository(repos).update(wanted))
    for stale in (wanted, thing, replace(new, version=3)):
        with pytest.raises(PreconditionFailed) as refusal:
            await changed(store, lambda repos, stale=stale: kind.repository(repos).update(stale))
        assert refusal.value.fields == {"kind": kind.word, "version": 2}
    assert await kept(store, kind, kind.id_of(thing)) == new


async def test_creation_time_and_parent_never_change(
    store: CatalogStore, kind: Kind, parent_id: Any
) -> None:
    thing = kind.make(parent_id)
    await keep(store, kind, thing)
    moves: dict[str, Any] = {"created_at": thing.created_at + timedelta(seconds=1)}
    if kind is not TENANTS:
        parent = kind.parent or "tenant_id"
        moves[parent] = (DatabaseId if parent == "database_id" else TenantId).new()
    for field, value in moves.items():
        moved = replace(thing, **{field: value})
        with pytest.raises(InvalidArgument) as refusal:
            await changed(store, lambda repos, moved=moved: kind.repository(repos).update(moved))
        assert refusal.value.fields["field"] == field
    assert await kept(store, kind, kind.id_of(thing)) == thing


async def test_a_deleted_thing_is_gone_and_its_name_is_free(
    store: CatalogStore, kind: Kind, parent_id: Any
) -> None:
    thing = kind.make(parent_id)
    await keep(store, kind, thing)
    await changed(store, lambda repos: kind.repository(repos).delete(kind.id_of(thing)))
    with pytest.raises(NotFound):
        await kept(store, kind, kind.id_of(thing))
    await keep(store, kind, kind.make(parent_id))


async def test_each_change_raises_the_version_by_one_and_jobs_do_not(
    store: CatalogStore, kind: Kind, parent_id: Any
) -> None:
    before = await store.version()
    thing = kind.make(parent_id)
    wanted = replace(thing, **{kind.state: kind.other_state})
    seen = []
    for work in (
        lambda repos: kind.repository(repos).add(thing),
        lambda repos: kind.repository(repos).update(wanted),
        lambda repos: kind.repository(repos).delete(kind.id_of(thing)),
    ):
        await changed(store, work)
        seen.append(await store.version() - before)
    assert seen == ([0, 0, 0] if kind is JOBS else [1, 2, 3])


@pytest.mark.parametrize(
    "kind", [TENANTS, USERS, DATABASES, COLLECTIONS], ids=lambda kind: kind.word
)
async def test_a_name_is_unique_among_the_things_of_one_parent(
    store: CatalogStore, kind: Kind, parent_id: Any
) -> None:
    first, second = kind.make(parent_id, 1), kind.make(parent_id, 2)
    await keep(store, kind, first, second)
    name = getattr(first, kind.name)
    known = {"kind": kind.word, "field": kind.name, "value": name}
    with pytest.raises(AlreadyExists) as refusal:
        await keep(store, kind, kind.make(parent_id, 1))
    assert refusal.value.fields == known
    renamed = replace(second, **{kind.name: name})
    with pytest.raises(AlreadyExists) as refusal:
        await changed(store, lambda repos: kind.repository(repos).update(renamed))
    assert refusal.value.fields == known
    assert await kept(store, kind, kind.id_of(second)) == second


async def test_another_parent_may_use_the_same_name(store: CatalogStore) -> None:
    one, other = TENANTS.make(None, 1), TENANTS.make(None, 2)
    await keep(store, TENANTS, one, other)
    await keep(store, DATABASES, DATABASES.make(one.tenant_id), DATABASES.make(other.tenant_id))
