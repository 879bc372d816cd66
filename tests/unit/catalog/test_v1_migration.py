"""The tenants of 1.x into a catalog: all of them or nothing."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.v1.checking import tenant_ids
from akidb_ray.catalog.v1.report import MigrationRefused, Outcome
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import DatabaseState, Tenant, TenantQuota, UserStatus
from tests.unit.catalog.v1_folders import (
    ARGON2ID,
    BESIDES,
    SAMPLES,
    SHA256,
    Manifest,
    in_catalog,
    make_catalog,
    manifest,
    manifests,
    run_migration,
    tenants_in,
    tree,
    uuid_of,
    write,
)

TAKEN_AT = ".before-v1-20260131T120000000000Z"


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    return tmp_path / "v1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "v2"
    folder.mkdir()
    return folder / "catalog.sqlite"


def expected_quota(content: Manifest) -> TenantQuota:
    quotas = content.get("quotas") or {}
    return TenantQuota(
        memory_quota_bytes=34359738368,
        storage_quota_bytes=quotas.get("max_storage_bytes", 100_000_000_000),
        qps_quota=quotas.get("api_rate_limit_per_second", 200),
        max_collections=quotas.get("max_collections"),
        max_vectors_per_collection=quotas.get("max_vectors_per_collection"),
    )


async def check_inside(catalog: StoredCatalog, content: Manifest, tenant: Tenant) -> None:
    """The database and the administrator of a migrated tenant."""
    (database,) = (await catalog.list_databases(tenant.tenant_id)).items
    assert (database.name, database.state) == ("default", DatabaseState.READY)
    assert database.description == "Auto-created during v1.x migration"
    (user,) = (await catalog.list_users(tenant.tenant_id)).items
    assert user.email == f"admin@{tenant.slug}.invalid"
    known = {ARGON2ID: ARGON2ID, SHA256: SHA256.lower(), SHA256.lower(): SHA256.lower()}
    text = known.get(content.get("api_key_hash") or "")
    assert user.password_hash == (text.encode() if text else None)
    assert user.status is (UserStatus.ACTIVE if text else UserStatus.PENDING)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_hundred_tenants_of_every_kind_arrive_as_the_table_says(
    v1: Path, file: Path, seed: int, existing: bool
) -> None:
    contents = manifests(100, seed)
    write(v1, contents, seed)
    if existing:
        make_catalog(file)
    report = run_migration(v1, file)
    assert report.count(Outcome.MIGRATED) == len(report.tenants) == 100
    found = tenants_in(file)
    assert len(found) == 100
    given = [content.get("slug") for content in contents]
    for content in contents:
        tenant = found[TenantId(uuid_of(content))]
        assert (tenant.name, str(tenant.status)) == (content["name"], content["status"])
        assert tenant.metadata == (content.get("metadata") or {})
        assert tenant.quota == expected_quota(content)
        assert (tenant.external_id, tenant.version) == (None, 1)
        created_at = datetime.fromisoformat(content["created_at"])
        if created_at.tzinfo is None:
            created_at = created_at.replace(tzinfo=UTC)
        assert tenant.created_at == tenant.updated_at == created_at
        if given.count(content.get("slug")) == 1 and content["slug"].startswith("tenant-"):
            assert tenant.slug == content["slug"]

    async def check(catalog: StoredCatalog) -> None:
        for content in contents:
            await check_inside(catalog, content, found[TenantId(uuid_of(content))])

    in_catalog(file, check)


def test_samples_of_both_layouts_are_migrated(file: Path) -> None:
    report = run_migration(SAMPLES, file)
    assert [(tenant.slug, tenant.status) for tenant in report.tenants] == [
        ("harbour", "active"),
        ("tenant", "provisioning"),
        ("harbour-analytics-old", "decommissioned"),
        ("cafe-zurich", "suspended"),
    ]
    assert set(tenants_in(file)) == {tenant.tenant_id for tenant in report.tenants}


def test_new_file_is_a_whole_catalog_that_a_server_can_go_on_with(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    report = run_migration(v1, file)
    assert (report.made, report.backup) == (True, None)

    async def use(catalog: StoredCatalog) -> None:
        tenant = await catalog.get_tenant("default")
        database = await catalog.get_database(tenant.tenant_id, "default")
        assert database.description == ""
        acme = await catalog.get_tenant("acme")
        await catalog.create_database(acme.tenant_id, "more")
        assert catalog.cluster_id is not None

    in_catalog(file, use)
    assert sorted(tree(file.parent)) == ["LOCK", "catalog.sqlite", "migration.log"]


def test_file_is_made_in_a_folder_that_is_not_there_yet(v1: Path, tmp_path: Path) -> None:
    write(v1, [manifest()])
    file = tmp_path / "data" / "catalog" / "catalog.sqlite"
    run_migration(v1, file)
    assert len(tenants_in(file)) == 1


def test_existing_file_is_backed_up_and_keeps_all_it_had(v1: Path, file: Path) -> None:
    make_catalog(file)

    async def fill(catalog: StoredCatalog) -> Tenant:
        await catalog.replace_root_key_hash(b"root")
        return await catalog.create_tenant("There before", slug="acme")

    before = in_catalog(file, fill)
    file.chmod(0o640)
    write(v1, [manifest()])
    report = run_migration(v1, file)
    assert report.backup == file.with_name(f"catalog.sqlite{TAKEN_AT}")
    assert tenants_in(report.backup) == {before.tenant_id: before}
    after = tenants_in(file)
    assert after[before.tenant_id] == before
    assert sorted(tenant.slug for tenant in after.values()) == ["acme", "acme-robotics"]
    assert {path.stat().st_mode & 0o777 for path in (file, report.backup)} == {0o640}


def test_second_run_finds_all_there_and_writes_nothing(v1: Path, file: Path) -> None:
    write(v1, manifests(30, seed=1))
    first = run_migration(v1, file)
    before = tree(file.parent, without=BESIDES)
    second = run_migration(v1, file)
    assert second.count(Outcome.PRESENT) == 30
    assert second.backup is None
    assert tree(file.parent, without=BESIDES) == before
    assert [t.slug for t in second.tenants] == [t.slug for t in first.tenants]


def test_second_run_brings_only_what_is_new(v1: Path, file: Path) -> None:
    contents = manifests(30, seed=2)
    write(v1, contents[:20])
    run_migration(v1, file)
    first = tenants_in(file)
    write(v1, contents[20:])
    report = run_migration(v1, file)
    assert (report.count(Outcome.MIGRATED), report.count(Outcome.PRESENT)) == (10, 20)
    after = tenants_in(file)
    assert len(after) == 30
    assert {tenant_id: after[tenant_id] for tenant_id in first} == first


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Acme"}, "name"),
        ({"status": "suspended"}, "status"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"quotas": {"max_collections": 1}}, "max_collections"),
        ({"api_key_hash": SHA256}, "api_key_hash"),
        ({"created_at": "2020-01-01T00:00:00Z"}, "created_at"),
    ],
)
def test_tenant_that_is_there_with_other_data_is_a_conflict_and_nothing_is_written(
    tmp_path: Path, file: Path, change: Manifest, named: str
) -> None:
    run_migration(write(tmp_path / "former", [manifest()]), file)
    before = tree(file.parent, without=BESIDES)
    new = manifest(tenant_id="1" * 32, slug="new")
    with pytest.raises(MigrationRefused, match=f"already, with other values of: {named}$"):
        run_migration(write(tmp_path / "v1", [new, manifest(**change)]), file)
    assert tree(file.parent, without=BESIDES) == before


def test_tenant_that_was_changed_in_the_catalog_is_a_conflict(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    run_migration(v1, file)

    async def rename(catalog: StoredCatalog) -> None:
        tenant = await catalog.get_tenant("acme")
        await catalog.update_tenant(tenant.tenant_id, {"name": "Newer"})

    in_catalog(file, rename)
    with pytest.raises(MigrationRefused, match="with other values of: name"):
        run_migration(v1, file)


def test_password_that_was_changed_in_the_catalog_is_no_conflict(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    run_migration(v1, file)

    async def change(catalog: StoredCatalog) -> None:
        tenant = await catalog.get_tenant("acme")
        user = await catalog.get_user(tenant.tenant_id, "admin@acme.invalid")
        await catalog.update_user(user.user_id, {"password_hash": b"newer"})

    in_catalog(file, change)
    assert run_migration(v1, file).count(Outcome.PRESENT) == 1


@pytest.mark.parametrize("existing", [False, True])
def test_dry_run_reports_the_same_and_writes_nothing(v1: Path, file: Path, existing: bool) -> None:
    write(v1, manifests(40, seed=4))
    if existing:
        make_catalog(file)
    before = tree(file.parent, without=BESIDES)
    tried = run_migration(v1, file, dry_run=True)
    assert tree(file.parent, without=BESIDES) == before
    assert not (file.parent / "migration.log").exists()
    done = run_migration(v1, file)
    assert (tried.dry_run, done.dry_run) == (True, False)
    assert tried.made is done.made is not existing
    assert tried.tenants == done.tenants


def test_dry_run_makes_no_folder_and_finds_problems(v1: Path, tmp_path: Path) -> None:
    write(v1, [manifest()])
    file = tmp_path / "data" / "catalog.sqlite"
    run_migration(v1, file, dry_run=True)
    (v1 / "tenants" / "0.json").write_text("{}")
    with pytest.raises(MigrationRefused):
        run_migration(v1, file, dry_run=True)
    assert not file.parent.exists()


def test_log_has_a_line_for_each_tenant_and_no_secret(v1: Path, file: Path) -> None:
    contents = manifests(50, seed=5)
    write(v1, contents)
    run_migration(v1, file)
    run_migration(v1, file)
    log = (file.parent / "migration.log").read_text()
    for content in contents:
        tenant_id = uuid_of(content)
        assert log.count(f" tenant {tenant_id} from tenants/") == 2
    assert log.count(": migrate, slug ") == log.count(": already there, slug ") == 50
    assert "migration done: 50 tenants migrated, 0 there already, no backup\n" in log
    for secret in (ARGON2ID, ARGON2ID.rsplit("$", 1)[1], SHA256, SHA256.lower()):
        assert secret not in log


def test_line_that_a_crash_cut_off_stays_apart_in_the_log(v1: Path, file: Path) -> None:
    write(v1, [manifest()])
    (file.parent / "migration.log").write_text("half a li")
    run_migration(v1, file)
    lines = (file.parent / "migration.log").read_text().splitlines()
    assert lines[0] == "half a li"
    assert lines[1].endswith(" begins")


def test_progress_is_told_up_to_the_last_tenant(v1: Path, file: Path) -> None:
    write(v1, manifests(10, seed=6))
    told: list[tuple[int, int]] = []
    run_migration(v1, file, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 10) for number in range(1, 11)]


def test_many_tenants_take_reasonable_time(v1: Path, file: Path) -> None:
    count = int(os.environ.get("MIGRATED_TENANTS", "400"))
    write(v1, manifests(count, seed=8))
    assert run_migration(v1, file).count(Outcome.MIGRATED) == count
    assert len(tenant_ids(file)) == count + 1
