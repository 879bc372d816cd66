"""`akidb migrate` over folders of AkiDB 1.x."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.domain.ids import ClusterId
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.store import open_store
from tests.unit.catalog.v1_folders import (
    ARGON2ID,
    SAMPLES,
    SHA256,
    make_catalog,
    manifest,
    manifests,
    tenants_in,
    write,
)

Akidb = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "catalog" / "catalog.sqlite"


def arguments(v1: Path, file: Path, *more: str) -> list[str]:
    folders = ["--v1-data-dir", str(v1), "--v2-database", str(file)]
    return ["migrate", "v1-to-v2", *folders, *more]


def test_table_shows_each_tenant_and_what_a_person_should_know(akidb: Akidb, file: Path) -> None:
    ran = akidb(*arguments(SAMPLES, file))
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.rstrip().split(maxsplit=3) for line in lines[2:6]] == [
        ["harbour", "active", "migrated", "Harbour Analytics"],
        ["tenant", "provisioning", "migrated", "株式会社サンプル"],
        ["harbour-analytics-old", "decommissioned", "migrated", "Harbour Analytics (old)"],
        ["cafe-zurich", "suspended", "migrated", "Café Zürich"],
    ]
    assert (
        "harbour-analytics-old: slug harbour is another tenant's; "
        "slug harbour-analytics-old was made of the name"
    ) in lines
    assert f"4 tenants migrated into {file}, 0 were there already." in ran.out


def test_json_holds_the_whole_report(akidb: Akidb, file: Path) -> None:
    first = akidb(*arguments(SAMPLES, file, "--json")).json
    assert (first["migrated"], first["already_migrated"], first["dry_run"]) == (4, 0, False)
    assert (first["database"], first["database_made"], first["backup"]) == (str(file), True, None)
    assert first["tenants"][0] == {
        "file": "tenants/tenant_7c1f2a9e4b8d4d03a1f6c0e95b7d2f48.json",
        "tenant_id": "7c1f2a9e-4b8d-4d03-a1f6-c0e95b7d2f48",
        "slug": "harbour",
        "name": "Harbour Analytics",
        "status": "active",
        "outcome": "migrated",
        "notes": [],
    }
    second = akidb(*arguments(SAMPLES, file, "--json")).json
    assert (second["migrated"], second["already_migrated"]) == (0, 4)


def test_dry_run_says_what_would_be_and_makes_nothing(akidb: Akidb, file: Path) -> None:
    ran = akidb(*arguments(SAMPLES, file, "--dry-run"))
    assert "Dry run: 4 tenants would be migrated, 0 are there already." in ran.out
    assert not file.parent.exists()


def test_every_problem_is_printed_and_the_command_fails(
    akidb: Akidb, file: Path, tmp_path: Path
) -> None:
    v1 = write(tmp_path / "v1", manifests(5, seed=1))
    (v1 / "tenants" / "0.json").write_text("{")
    (v1 / "tenants" / "1.json").write_text("[]")
    ran = akidb(*arguments(v1, file))
    assert ran.code == 1
    assert ran.err.startswith("akidb: nothing was migrated: tenants/0.json: is not JSON")
    assert ran.err.count("\n") == 1
    assert [line.partition(":")[0] for line in ran.out.splitlines()] == [
        "tenants/0.json",
        "tenants/1.json",
    ]
    ran = akidb(*arguments(v1, file, "--json"))
    assert ran.code == 1
    assert len(ran.json["problems"]) == 2
    assert not file.exists()


def test_backup_is_named_and_restored(akidb: Akidb, file: Path) -> None:
    file.parent.mkdir(parents=True)
    make_catalog(file)
    backup = akidb(*arguments(SAMPLES, file, "--json")).json["backup"]
    assert Path(backup).is_file()
    ran = akidb("migrate", "rollback", "--v2-database", file)
    assert (ran.code, ran.err) == (0, "")
    assert f"Restored {file} from {backup}." in ran.out
    assert tenants_in(file) == {}


def test_rollback_of_a_made_file_is_told_as_json(akidb: Akidb, file: Path) -> None:
    akidb(*arguments(SAMPLES, file))
    report = akidb("migrate", "rollback", "--v2-database", file, "--json").json
    assert report == {
        "database": str(file),
        "restored_from": None,
        "kept_aside": None,
        "tenants_removed": 4,
        "lost": [],
        "log_problem": "",
    }
    assert not file.exists()


def test_rollback_without_a_migration_is_refused_in_one_line(akidb: Akidb, file: Path) -> None:
    ran = akidb("migrate", "rollback", "--v2-database", file)
    assert (ran.code, ran.err) == (1, f"akidb: catalog file '{file}' does not exist\n")


def test_lost_catalog_of_a_server_with_data_is_not_made_anew(
    akidb: Akidb, file: Path, tmp_path: Path
) -> None:
    folder = OsFileSystem(tmp_path / "data" / "stores" / "0000")
    open_store(folder, ClusterId.new(), lock_wait_s=0.0).close()
    ran = akidb(*arguments(SAMPLES, file))
    assert ran.code == 2
    assert "restore the catalog first" in ran.err
    assert not file.exists()


def test_no_secret_is_printed(akidb: Akidb, file: Path, tmp_path: Path) -> None:
    v1 = write(tmp_path / "v1", [manifest(), manifest(tenant_id="1" * 32, api_key_hash=SHA256)])
    printed = [akidb(*arguments(v1, file, *more)).out for more in ((), ("--json",))]
    for secret in (ARGON2ID, SHA256, SHA256.lower()):
        assert not any(secret in out for out in printed)
