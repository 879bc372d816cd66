"""Finding manifests in a folder of 1.x."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from akidb_ray.catalog.v1.reading import MAX_MANIFEST_BYTES, V1Data, read_v1
from akidb_ray.domain.errors import InvalidArgument
from tests.unit.catalog.v1_folders import SAMPLES, manifest, manifests, tree, uuid_of, write

ID = "00000000000040008000000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    folder = tmp_path / "v1" / "tenants"
    folder.mkdir(parents=True)
    return folder


def read(tenants: Path) -> V1Data:
    return read_v1(tenants.parent)


def put(path: Path, **fields: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(manifest(**fields)))


def problem(tenants: Path) -> str:
    (only,) = read(tenants).problems
    return only.detail


def test_samples_of_both_layouts_are_read() -> None:
    data = read_v1(SAMPLES)
    assert [tenant.name for tenant in data.tenants] == [
        "Harbour Analytics",
        "株式会社サンプル",
        "Harbour Analytics (old)",
        "Café Zürich",
    ]
    assert (data.problems, data.ignored) == ((), ())


@pytest.mark.parametrize("seed", range(3))
def test_every_tenant_is_found_in_either_layout_and_nothing_is_changed(
    tmp_path: Path, seed: int
) -> None:
    contents = manifests(100, seed)
    before = tree(write(tmp_path, contents, seed))
    data = read_v1(tmp_path)
    assert {each.tenant_id.value for each in data.tenants} == set(map(uuid_of, contents))
    assert list(data.tenants) == sorted(data.tenants, key=lambda t: (t.created_at, t.tenant_id))
    assert data.problems == ()
    assert tree(tmp_path) == before


def test_folder_with_data_beside_its_manifest_is_no_problem(tenants: Path) -> None:
    put(tenants / f"tenant_{ID}.json")
    (tenants / ID / "collections").mkdir(parents=True)
    data = read(tenants)
    assert len(data.tenants) == 1
    assert data.problems == ()


def test_what_bears_no_manifests_name_is_passed_over_and_told(tenants: Path) -> None:
    put(tenants / f"{ID}.json")
    (tenants / "README.txt").write_text("not ours")
    (tenants / "._junk.json").write_bytes(b"\x00")
    (tenants / f"{ID}.json.bak").write_text("{")
    (tenants / "lost+found").mkdir()
    data = read(tenants)
    assert len(data.tenants) == 1
    assert data.problems == ()
    assert sorted(data.ignored) == [
        "tenants/._junk.json",
        f"tenants/{ID}.json.bak",
        "tenants/README.txt",
        "tenants/lost+found",
    ]


def test_tenants_folder_that_has_lost_its_manifest_is_a_problem(tenants: Path) -> None:
    (tenants / OTHER).mkdir()
    assert problem(tenants) == (
        f"tenants/{OTHER}: is named after a tenant, but no manifest.json is in it"
    )


@pytest.mark.parametrize("name", ["acme.json", f"{OTHER}.json", "acme/manifest.json"])
def test_manifest_must_be_named_after_its_tenant(tenants: Path, name: str) -> None:
    put(tenants / name)
    assert "which is not what the file is named after" in problem(tenants)


def test_id_that_occurs_twice_is_a_problem_that_names_both_files(tenants: Path) -> None:
    put(tenants / f"{ID}.json")
    put(tenants / f"tenant_{ID}" / "manifest.json")
    detail = problem(tenants)
    assert f"tenants/{ID}.json" in detail
    assert f"tenants/tenant_{ID}/manifest.json" in detail


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _huge(path: Path) -> None:
    path.write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))


@pytest.mark.parametrize("make", [_directory, _loop, _dangling, _pipe, _huge])
@pytest.mark.parametrize("name", [f"{ID}.json", f"{ID}/manifest.json"])
def test_manifest_that_cannot_be_read_is_a_problem_with_its_name(
    tenants: Path, make: object, name: str
) -> None:
    assert callable(make)
    path = tenants / name
    path.parent.mkdir(exist_ok=True)
    make(path)
    put(tenants / f"{OTHER}.json", tenant_id=OTHER)
    data = read(tenants)
    assert [each.fields["file"] for each in data.problems] == [f"tenants/{name}"]
    assert len(data.tenants) == 1


@pytest.fixture
def nobody() -> Iterator[None]:
    """Whom files may be kept from: nothing is forbidden to root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_manifest_without_permission_is_a_problem(nobody: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tenants = Path(folder) / "tenants"
        tenants.mkdir()
        put(tenants / f"{ID}.json")
        (tenants / f"{ID}.json").chmod(0)
        assert "Permission denied" in problem(tenants)


def test_all_problems_are_found_at_once(tenants: Path) -> None:
    put(tenants / f"{ID}.json", status="gone")
    put(tenants / f"{OTHER}.json", tenant_id=OTHER, name="")
    assert len(read(tenants).problems) == 2


def test_folder_without_tenants_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="can't be read: No such file"):
        read_v1(tmp_path)
    (tmp_path / "tenants").write_text("a file")
    with pytest.raises(InvalidArgument, match="can't be read: Not a directory"):
        read_v1(tmp_path)
