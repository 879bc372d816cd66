"""What a tenant of 1.x becomes."""

from dataclasses import replace

import pytest

from akidb_ray.catalog.v1.manifests import V1Tenant, parse_manifest
from akidb_ray.catalog.v1.translation import (
    ChosenSlug,
    choose_slugs,
    differences,
    password_hash_of,
    translate,
)
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import (
    DatabaseState,
    TenantQuota,
    TenantStatus,
    UserStatus,
    check_slug,
)
from tests.unit.catalog.test_v1_manifests import FILE, parsed
from tests.unit.catalog.v1_folders import ARGON2ID, NOW, SHA256, Manifest, manifest, manifests


def source(number: int = 1, **fields: object) -> V1Tenant:
    return parsed(manifest(tenant_id=f"{number:032x}", **fields))


def slugs(*sources: V1Tenant, taken: tuple[str, ...] = ()) -> list[str]:
    chosen = choose_slugs(sources, taken)
    return [chosen[each.tenant_id].slug for each in sources]


def test_tenant_keeps_its_id_its_time_and_all_it_says() -> None:
    quotas = {
        "max_storage_bytes": 1,
        "api_rate_limit_per_second": 2,
        "max_vectors_per_collection": 3,
        "max_collections": 4,
    }
    given = source(status="suspended", quotas=quotas, metadata={"a": 1})
    tenant = translate(given, ChosenSlug("acme"), NOW).tenant
    assert (tenant.tenant_id, tenant.name, tenant.slug) == (given.tenant_id, given.name, "acme")
    assert tenant.status is TenantStatus.SUSPENDED
    assert tenant.created_at == tenant.updated_at == given.created_at
    assert tenant.quota == TenantQuota(32 * 2**30, 1, 2, 4, 3)
    assert (tenant.metadata, tenant.external_id, tenant.version) == ({"a": 1}, None, 1)


def test_missing_quotas_get_the_defaults_of_1x() -> None:
    quota = translate(source(), ChosenSlug("acme"), NOW).tenant.quota
    assert quota == TenantQuota(32 * 2**30, 10**11, 200, None, None)


def test_quota_of_zero_is_not_a_missing_one() -> None:
    quotas = {"max_storage_bytes": 0, "api_rate_limit_per_second": 0, "max_collections": 0}
    quota = translate(source(quotas=quotas), ChosenSlug("acme"), NOW).tenant.quota
    assert (quota.storage_quota_bytes, quota.qps_quota, quota.max_collections) == (0, 0, 0)


def test_each_tenant_gets_a_ready_default_database() -> None:
    database = translate(source(), ChosenSlug("acme"), NOW).database
    assert (database.name, database.state) == ("default", DatabaseState.READY)
    assert database.description == "Auto-created during v1.x migration"
    assert database.created_at == database.updated_at == NOW


@pytest.mark.parametrize("text", [ARGON2ID, SHA256, SHA256.lower()])
def test_known_hash_makes_an_active_administrator(text: str) -> None:
    made = translate(source(api_key_hash=text), ChosenSlug("acme"), NOW)
    assert (made.user.email, made.user.status) == ("admin@acme.invalid", UserStatus.ACTIVE)
    expected = text if text.startswith("$") else text.lower()
    assert made.user.password_hash == expected.encode()
    assert made.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "$2b$12$abcdefghijklmnopqrstuu",
        SHA256[:-1],
        SHA256 + "0",
        "g" * 64,
        f"{ARGON2ID}\n",
        ARGON2ID.replace("argon2id", "argon2i"),
        ARGON2ID.replace("v=19", "v=16"),
        ARGON2ID.replace("m=19456", "m=0"),
        ARGON2ID.replace("c29tZS1zYWx0LWhlcmU", "c2FsdA"),
        ARGON2ID.replace("c29tZS1zYWx0LWhlcmU", "c29tZS1zYWx0LWhlc"),
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZS1zYWx0LWhlcmU",
    ],
)
def test_unknown_hash_makes_a_pending_administrator_without_it(text: str | None) -> None:
    made = translate(source(api_key_hash=text), ChosenSlug("acme"), NOW)
    assert (made.user.status, made.user.password_hash) == (UserStatus.PENDING, None)
    (note,) = made.notes
    assert note.startswith("api_key_hash ")
    assert note.endswith(": admin@acme.invalid is pending")
    assert not text or text not in note


def test_valid_slug_is_copied() -> None:
    assert choose_slugs([source(slug="a-1")], ()) == {source().tenant_id: ChosenSlug("a-1", "")}


@pytest.mark.parametrize("slug", [None, "", "Acme", "a_b", "-a", "a-", "x" * 64, "é"])
def test_missing_or_invalid_slug_is_made_of_the_name_and_reported(slug: str | None) -> None:
    (chosen,) = choose_slugs([source(slug=slug, name="Bücher & Söhne")], ()).values()
    assert chosen.slug == "bucher-sohne"
    assert chosen.note.endswith("slug bucher-sohne was made of the name")


def test_first_of_those_with_one_slug_keeps_it() -> None:
    same = [source(1, name="One"), source(2, name="Two"), source(3, name="One")]
    assert slugs(*same) == ["acme", "two", "one"]


def test_slug_of_the_catalog_is_not_taken_away() -> None:
    assert slugs(source(slug="default", name="default"), taken=("default",)) == ["default-2"]


def test_made_slug_never_takes_one_that_a_later_manifest_gives() -> None:
    assert slugs(source(1, slug=None, name="B"), source(2, slug="b")) == ["b-2", "b"]


def test_thousands_of_one_name_get_slugs_in_reasonable_time() -> None:
    many = [source(number, slug=None, name="x" * 200) for number in range(3000)]
    chosen = slugs(*many)
    assert len(set(chosen)) == 3000
    assert all(check_slug(slug) for slug in chosen)


@pytest.mark.parametrize("seed", range(5))
def test_slugs_are_valid_and_unique_whatever_is_given(seed: int) -> None:
    sources = [parsed(content) for content in manifests(300, seed)]
    chosen = choose_slugs(sources, ("default", "acme"))
    found = [chosen[each.tenant_id].slug for each in sources]
    assert len({*found, "default", "acme"}) == 302
    assert all(check_slug(slug) for slug in found)
    for each in sources:
        got = chosen[each.tenant_id]
        assert (got.slug == each.slug) == (got.note == "")


@pytest.mark.parametrize("seed", range(3))
def test_what_was_translated_does_not_differ_from_its_manifest(seed: int) -> None:
    sources = [parsed(content) for content in manifests(200, seed)]
    chosen = choose_slugs(sources, ("default", "acme"))
    for each in sources:
        made = translate(each, chosen[each.tenant_id], NOW)
        assert list(differences(each, made.tenant, made.user)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "Acme Robotics 2"}, ["name"]),
        ({"status": "suspended"}, ["status"]),
        ({"created_at": "2025-03-14T09:26:54Z"}, ["created_at"]),
        ({"metadata": {"a": 1}}, ["metadata"]),
        ({"quotas": {"max_storage_bytes": 5}}, ["storage_quota_bytes"]),
        ({"quotas": {"max_collections": 5}}, ["max_collections"]),
        ({"api_key_hash": SHA256}, ["api_key_hash"]),
        ({"slug": "other", "name": "Other"}, ["name", "slug"]),
    ],
)
def test_every_difference_is_named(changes: Manifest, expected: list[str]) -> None:
    made = translate(source(), ChosenSlug("acme"), NOW)
    assert list(differences(source(**changes), made.tenant, made.user)) == expected


def test_hash_that_was_changed_in_the_catalog_is_no_difference() -> None:
    made = translate(source(), ChosenSlug("acme"), NOW)
    newer = replace(made.user, password_hash=b"new", version=2)
    assert list(differences(source(), made.tenant, newer)) == []
    assert list(differences(source(), made.tenant, None)) == []


def test_metadata_differs_where_true_is_not_one() -> None:
    made = translate(source(metadata={"a": True}), ChosenSlug("acme"), NOW)
    assert list(differences(source(metadata={"a": 1}), made.tenant, None)) == ["metadata"]


def test_hash_is_read_from_the_manifest_alone() -> None:
    given = parse_manifest(
        FILE,
        b'{"tenant_id": "%s", "name": "a", "status": "active", '
        b'"created_at": "2025-01-01T00:00:00Z"}' % (b"0" * 32),
    )
    assert password_hash_of(given) is None
    assert given.tenant_id == TenantId.parse("0" * 32)
