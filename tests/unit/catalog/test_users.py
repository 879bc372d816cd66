"""Users through the catalog."""

import json
import pickle
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument, NotFound, PreconditionFailed
from akidb_ray.domain.ids import TenantId, UserId
from akidb_ray.domain.tenancy import Tenant, UserStatus
from tests.unit.catalog.states import state_of


async def test_a_user_is_read_back_as_it_was_made(
    catalog: StoredCatalog, tenant: Tenant, clock: Any
) -> None:
    made = await catalog.create_user(tenant.tenant_id, "Ann@acme.org", b"$argon2id$x")
    assert (made.status, made.password_hash) == (UserStatus.PENDING, b"$argon2id$x")
    assert (made.created_at, made.last_login_at) == (clock.now, None)
    assert await catalog.get_user(tenant.tenant_id, "ann@ACME.org") == made
    assert await catalog.get_user(tenant.tenant_id, made.user_id) == made
    assert (await catalog.list_users(tenant.tenant_id)).items == (made,)
    assert pickle.loads(pickle.dumps(made)) == made
    assert "argon2id" not in repr(made)


async def test_an_email_is_unique_within_a_tenant_whatever_its_case(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    other = await catalog.create_tenant("Other")
    await catalog.create_user(tenant.tenant_id, "ann@acme.org")
    await catalog.create_user(other.tenant_id, "ann@acme.org")
    with pytest.raises(AlreadyExists) as caught:
        await catalog.create_user(tenant.tenant_id, "ANN@acme.org")
    assert caught.value.fields == {"kind": "user", "field": "email", "value": "ANN@acme.org"}


async def test_a_user_changes_and_goes(catalog: StoredCatalog, tenant: Tenant) -> None:
    made = await catalog.create_user(tenant.tenant_id, "ann@acme.org")
    login = datetime(2026, 2, 1, tzinfo=UTC)
    changes = {"status": "active", "password_hash": b"new", "last_login_at": login}
    updated = await catalog.update_user(made.user_id, changes, if_version=1)
    assert (updated.status, updated.password_hash) == (UserStatus.ACTIVE, b"new")
    assert (updated.last_login_at, updated.version) == (login, 2)
    with pytest.raises(PreconditionFailed):
        await catalog.update_user(made.user_id, {"status": "locked"}, if_version=1)
    await catalog.delete_user(made.user_id)
    with pytest.raises(NotFound):
        await catalog.get_user(tenant.tenant_id, made.user_id)
    with pytest.raises(NotFound):
        await catalog.delete_user(made.user_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("status", "gone"),
        ("password_hash", "text"),
        ("password_hash", b""),
        ("last_login_at", datetime(2026, 2, 1)),  # noqa: DTZ001
        ("tenant_id", "other"),
        ("colour", "red"),
    ],
)
async def test_a_wrong_change_names_its_field(
    catalog: StoredCatalog, tenant: Tenant, field: str, value: object
) -> None:
    made = await catalog.create_user(tenant.tenant_id, "ann@acme.org")
    with pytest.raises(InvalidArgument) as caught:
        await catalog.update_user(made.user_id, {field: value})
    assert caught.value.fields["field"] == field


async def test_a_user_of_another_tenant_is_not_found(
    catalog: StoredCatalog, tenant: Tenant
) -> None:
    other = await catalog.create_tenant("Other")
    theirs = await catalog.create_user(other.tenant_id, "ann@acme.org")
    with pytest.raises(NotFound):
        await catalog.get_user(tenant.tenant_id, theirs.user_id)
    with pytest.raises(NotFound):
        await catalog.create_user(TenantId.new(), "ann@acme.org")
    with pytest.raises(NotFound):
        await catalog.update_user(UserId.new(), {})


async def test_no_secret_gets_into_the_record_of_changes_or_a_snapshot(
    catalog: StoredCatalog, tenant: Tenant, file: Path
) -> None:
    made = await catalog.create_user(tenant.tenant_id, "ann@acme.org", b"secret-one")
    await catalog.update_user(made.user_id, {"password_hash": b"secret-two"})
    await catalog.replace_root_key_hash(b"secret-root")
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT kind, action, body FROM changes").fetchall()
    assert "secret" not in json.dumps(rows)
    assert [row[:2] for row in rows[-3:]] == [
        ("user", "created"),
        ("user", "updated"),
        ("root_key", "created"),
    ]
    known = pickle.dumps(await state_of(catalog))
    assert b"secret-one" not in known
    assert b"secret-two" not in known
