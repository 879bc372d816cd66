"""What only users do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument, NotFound
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import Tenant, User
from tests.contract.catalog.things import (
    START,
    TENANTS,
    USERS,
    a_tenant,
    a_user,
    changed,
    keep,
    kept,
)


@pytest.fixture
async def tenant(store: CatalogStore) -> Tenant:
    tenant = a_tenant()
    await keep(store, TENANTS, tenant)
    return tenant


async def by_email(store: CatalogStore, tenant_id: TenantId, email: str) -> User:
    async with store.reading() as repos:
        return await repos.users.get_by_email(tenant_id, email)


async def test_every_field_is_kept(store: CatalogStore, tenant: Tenant) -> None:
    login = START + timedelta(seconds=1, microseconds=7)
    user = a_user(tenant.tenant_id, password_hash=b"\0hash\xff", last_login_at=login)
    await keep(store, USERS, user)
    assert await kept(store, USERS, user.user_id) == user
    cleared = replace(user, password_hash=None, last_login_at=None)
    await changed(store, lambda repos: repos.users.update(cleared))
    read = await kept(store, USERS, user.user_id)
    assert (read.password_hash, read.last_login_at) == (None, None)


async def test_the_case_of_ascii_letters_tells_no_addresses_apart(
    store: CatalogStore, tenant: Tenant
) -> None:
    user = a_user(tenant.tenant_id, email="Ada@Example.com")
    other = a_user(tenant.tenant_id, email="bob@example.com")
    await keep(store, USERS, user, other)
    for spelling in ("Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM"):
        assert await by_email(store, tenant.tenant_id, spelling) == user
        with pytest.raises(AlreadyExists) as refusal:
            await keep(store, USERS, a_user(tenant.tenant_id, email=spelling))
        assert refusal.value.fields == {"kind": "user", "field": "email", "value": spelling}
        taken = replace(other, email=spelling)
        with pytest.raises(AlreadyExists):
            await changed(store, lambda repos, taken=taken: repos.users.update(taken))
    spelled = replace(user, email="ADA@example.com")
    new = await changed(store, lambda repos: repos.users.update(spelled))
    assert (new.email, new.version) == ("ADA@example.com", 2)


async def test_the_case_of_other_letters_does(store: CatalogStore, tenant: Tenant) -> None:
    upper, lower = (a_user(tenant.tenant_id, email=f"{letter}@b.c") for letter in "Öö")
    await keep(store, USERS, upper, lower)
    assert await by_email(store, tenant.tenant_id, "Ö@b.c") == upper
    assert await by_email(store, tenant.tenant_id, "ö@b.c") == lower


async def test_an_address_belongs_to_one_tenant(store: CatalogStore, tenant: Tenant) -> None:
    other = a_tenant(2)
    await keep(store, TENANTS, other)
    user = a_user(tenant.tenant_id, email="ada@example.com")
    await keep(store, USERS, user)
    for tenant_id, email in (
        (other.tenant_id, "ada@example.com"),
        (TenantId.new(), "ada@example.com"),
        (tenant.tenant_id, "bob@example.com"),
    ):
        with pytest.raises(NotFound) as refusal:
            await by_email(store, tenant_id, email)
        assert refusal.value.fields == {"kind": "user", "id": email}
    await keep(store, USERS, a_user(other.tenant_id, email="ada@example.com"))


@pytest.mark.parametrize("email", ["", "@b.c", "nobody", "a@", "x" * 250 + "@b.cd"])
async def test_what_is_no_address_is_refused(
    store: CatalogStore, tenant: Tenant, email: str
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await keep(store, USERS, a_user(tenant.tenant_id, email=email))
    assert refusal.value.fields["field"] == "email"


async def test_a_password_hash_is_shown_nowhere(store: CatalogStore, tenant: Tenant) -> None:
    user: Any = a_user(tenant.tenant_id, password_hash=b"very secret")
    await keep(store, USERS, user)
    assert "secret" not in repr(await kept(store, USERS, user.user_id))
    assert "secret" not in repr(await store.update_since(0))
    assert "secret" not in repr(await store.update_since(1))
