"""What the bytes of a 1.x manifest say."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from akidb_ray.catalog.v1.manifests import BadManifest, V1Quotas, V1Tenant, parse_manifest
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import TenantStatus
from tests.unit.catalog.v1_folders import ARGON2ID, Manifest, manifest, manifests

FILE = "tenants/x.json"


def parsed(content: Manifest) -> V1Tenant:
    return parse_manifest(FILE, json.dumps(content).encode())


def refused(content: bytes) -> BadManifest:
    with pytest.raises(BadManifest) as caught:
        parse_manifest(FILE, content)
    assert caught.value.detail.startswith(FILE)
    assert caught.value.fields["file"] == FILE
    return caught.value


def test_all_fields_are_read() -> None:
    quotas = {
        "max_storage_bytes": 1,
        "api_rate_limit_per_second": 2,
        "max_vectors_per_collection": 3,
        "max_collections": 4,
    }
    tenant = parsed(manifest(quotas=quotas, metadata={"plan": "größer"}))
    assert tenant == V1Tenant(
        file=FILE,
        tenant_id=TenantId(UUID("00000000-0000-4000-8000-000000000001")),
        name="Acme Robotics",
        slug="acme",
        status=TenantStatus.ACTIVE,
        created_at=datetime(2025, 3, 14, 9, 26, 53, tzinfo=UTC),
        quotas=V1Quotas(1, 2, 3, 4),
        metadata={"plan": "größer"},
        api_key_hash=ARGON2ID,
    )


def test_optional_fields_may_be_missing_or_null() -> None:
    least = {"tenant_id": "0" * 32, "name": "A", "status": "active", "created_at": "2025-01-01T00Z"}
    least["created_at"] = "2025-01-01T00:00Z"
    nulls = dict.fromkeys(("slug", "quotas", "metadata", "api_key_hash"))
    for content in (least, {**least, **nulls}, {**least, "quotas": {"max_collections": None}}):
        tenant = parsed(content)
        assert (tenant.slug, tenant.quotas, tenant.metadata) == (None, V1Quotas(), {})
        assert (tenant.api_key_hash, tenant.notes) == (None, ())


@pytest.mark.parametrize("seed", range(5))
def test_every_manifest_that_1x_may_have_written_is_read(seed: int) -> None:
    for content in manifests(100, seed):
        tenant = parsed(content)
        assert (tenant.name, str(tenant.status)) == (content["name"], content["status"])


@pytest.mark.parametrize(
    "text",
    [
        "5f0c7b1e2d3a1c5b8e9f0a1b2c3d4e5f",
        "5F0C7B1E-2D3A-1C5B-8E9F-0A1B2C3D4E5F",
        "tenant_5f0c7b1e2d3a1c5b8e9f0a1b2c3d4e5f",
        "tenant_5f0c7b1e-2d3a-1c5b-8e9f-0a1b2c3d4e5f",
    ],
)
def test_id_may_be_compact_or_dashed_and_have_a_prefix(text: str) -> None:
    expected = TenantId(UUID("5f0c7b1e-2d3a-1c5b-8e9f-0a1b2c3d4e5f"))
    assert parsed(manifest(tenant_id=text)).tenant_id == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-11-30T23:59:59.123456+01:00", datetime(2024, 11, 30, 22, 59, 59, 123456, UTC)),
        ("2025-01-01T00:00:00.123456789Z", datetime(2025, 1, 1, 0, 0, 0, 123456, UTC)),
        ("2025-01-01T00:00:00-09:30", datetime(2025, 1, 1, 9, 30, tzinfo=UTC)),
        ("2025-01-01 00:00:00+00:00", datetime(2025, 1, 1, tzinfo=UTC)),
        ("20250314T092653Z", datetime(2025, 3, 14, 9, 26, 53, tzinfo=UTC)),
        ("20250314T092653,5+0200", datetime(2025, 3, 14, 7, 26, 53, 500_000, UTC)),
        ("2025-03-14t09:26:53z", datetime(2025, 3, 14, 9, 26, 53, tzinfo=UTC)),
    ],
)
def test_time_of_creation_may_have_any_offset(text: str, expected: datetime) -> None:
    assert parsed(manifest(created_at=text)).created_at == expected


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "20161231T235960.25Z", "2017-01-01t08:59:60+09:00"]
)
def test_leap_second_is_taken_as_the_microsecond_before_it_and_reported(text: str) -> None:
    tenant = parsed(manifest(created_at=text))
    assert tenant.created_at == datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)
    assert tenant.notes == (
        "created_at is in a leap second; it was taken as the microsecond before it",
    )


def test_time_without_an_offset_is_taken_as_utc_and_reported() -> None:
    tenant = parsed(manifest(created_at="2025-01-01T12:00:00"))
    assert tenant.created_at == datetime(2025, 1, 1, 12, tzinfo=UTC)
    assert tenant.notes == ("created_at has no offset from UTC; it was taken as UTC",)


def test_unknown_fields_are_reported() -> None:
    tenant = parsed(manifest(owner="someone", quotas={"max_users": 3}))
    assert tenant.notes == (
        "field 'owner' is not brought over",
        "field 'quotas.max_users' is not brought over",
    )


def test_byte_order_mark_is_no_part_of_the_json() -> None:
    content = b"\xef\xbb\xbf" + json.dumps(manifest()).encode()
    assert parse_manifest(FILE, content).name == "Acme Robotics"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b'{"tenant_id": ', "is not JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"name": "\xff"}', "is not UTF-8: at byte 10"),
        (b'{"name": "a", "name": "b"}', "an object has two members 'name'"),
        (b'{"metadata": {"n": NaN}}', "NaN is no value of JSON"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_what_is_not_json_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    assert reason in refused(content).detail


@pytest.mark.parametrize("field", ["tenant_id", "name", "status", "created_at"])
@pytest.mark.parametrize("missing", [True, False])
def test_required_field_that_is_missing_or_null_is_named(field: str, missing: bool) -> None:
    content: Manifest = {**manifest(), field: None}
    if missing:
        del content[field]
    error = refused(json.dumps(content).encode())
    assert error.detail == f"{FILE}: {field}: is missing"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tenant_id", 7, "must be a string, is a number"),
        ("tenant_id", "", "is not a UUID"),
        ("tenant_id", "{5f0c7b1e-2d3a-4c5b-8e9f-0a1b2c3d4e5f}", "is not a UUID"),
        ("tenant_id", "5f0c7b1e2d3a4c5b8e9f0a1b2c3d4e5", "is not a UUID"),
        ("name", ["a"], "must be a string, is a list"),
        ("name", "  ", "blank"),
        ("name", "n" * 256, "at most 255"),
        ("name", "two\nlines", "printable"),
        ("name", "\ud800", "printable"),
        ("slug", 1, "must be a string"),
        ("status", "deleted", "'deleted' is none of provisioning, active, suspended"),
        ("status", "Active", "is none of"),
        ("status", True, "must be a string, is a boolean"),
        ("created_at", "yesterday", "is not a time like"),
        ("created_at", "2025-03-14", "is not a time like"),
        ("created_at", "20250314", "is not a time like"),
        ("created_at", "2025-02-30T00:00:00Z", "is not a time like"),
        ("created_at", "2025-03-14T09:26:60Z", "is not a time like"),
        ("created_at", "2025-03-14T09:60:00Z", "is not a time like"),
        ("created_at", "0001-01-01T00:00:00+14:00", "is not a time like"),
        ("created_at", 1741944413, "must be a string, is a number"),
        ("metadata", [], "must be an object"),
        ("metadata", "{}", "must be an object"),
        ("metadata", {"a": "x" * 70_000}, "must be at most 65536 bytes"),
        ("quotas", 5, "must be an object"),
        ("api_key_hash", 5, "must be a string"),
    ],
)
def test_wrong_value_is_refused_with_the_name_of_its_field(
    field: str, value: object, reason: str
) -> None:
    error = refused(json.dumps({**manifest(), field: value}).encode())
    assert error.fields["field"] == field
    assert reason in error.detail


@pytest.mark.parametrize("value", [-1, 2**63, 1.5, "10", True, []])
def test_quota_that_is_no_whole_number_is_refused(value: object) -> None:
    content = manifest(quotas={"max_storage_bytes": value})
    assert refused(json.dumps(content).encode()).fields["field"] == "quotas.max_storage_bytes"


def test_no_secret_is_shown() -> None:
    tenant = parsed(manifest())
    assert ARGON2ID not in repr(tenant)
    content = json.dumps(manifest()).encode().replace(b'"status"', b'status"')
    assert ARGON2ID not in refused(content).detail
