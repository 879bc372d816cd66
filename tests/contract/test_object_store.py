"""What the object store port promises, on a folder, in memory, and on a real S3 server."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest

from akidb_ray.catalog.backups import Backups, Series, clusters_in
from akidb_ray.domain.errors import Corrupt, InvalidArgument, NotFound, StorageFailed
from akidb_ray.domain.ids import ClusterId
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.object_store import FolderStore, ObjectStore, open_object_store
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.s3_server import ACCESS_KEY, SECRET_KEY, running_s3, uri_of
from tests.unit.catalog.files import change, make_catalog_file

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(params=["folder", "file uri", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, credentials: None) -> ObjectStore:
    folder = tmp_path / "a folder"
    if request.param == "memory":
        return FolderStore(MemoryFileSystem(), "memory")
    if request.param == "s3":
        prefix = f"contract/{tmp_path.name}"
        return open_object_store(uri_of(request.getfixturevalue("endpoint"), prefix), "uri")
    uri = folder.as_uri() if request.param == "file uri" else str(folder)
    return open_object_store(uri, "uri")


def test_what_was_put_is_got_and_listed(store: ObjectStore) -> None:
    assert store.list() == []
    assert store.list("no/such/folder") == []
    store.put("one/b", b"first")
    store.put("one/a", memoryview(b"second"))
    store.put("top", b"")
    assert store.get("one/b") == b"first"
    assert store.get("one/a") == b"second"
    assert store.get("top") == b""
    assert store.list() == ["one", "top"]
    assert store.list("one") == ["a", "b"]


def test_large_object_comes_back_whole(store: ObjectStore) -> None:
    content = bytes(range(256)) * 60_000
    store.put("large", content)
    assert store.get("large") == content


def test_put_replaces_the_whole_object(store: ObjectStore) -> None:
    store.put("one", b"a long content")
    store.put("one", b"short")
    assert store.get("one") == b"short"


def test_missing_object_is_not_found_and_removing_it_is_fine(store: ObjectStore) -> None:
    with pytest.raises(NotFound, match="nothing"):
        store.get("folder/nothing")
    store.remove("folder/nothing")
    store.put("folder/one", b"1")
    store.remove("folder/one")
    store.remove("folder/one")
    assert store.list("folder") == []
    with pytest.raises(NotFound):
        store.get("folder/one")


def test_backups_are_taken_kept_in_numbers_and_fetched(store: ObjectStore, tmp_path: Path) -> None:
    cluster_id = ClusterId.new()
    file = make_catalog_file(tmp_path / "catalog.sqlite", cluster_id)
    backups = Backups(store, cluster_id)
    for number in range(4):
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            change(connection, 1)
        backups.take(file, Series.CHANGE, NOW + timedelta(seconds=number), keep=2)
    newest, older = backups.list()
    assert (newest.version, older.version) == (4, 3)
    assert backups.fetch(older, tmp_path / "fetched").version == 3
    assert clusters_in(store) == [cluster_id]
    path = f"{cluster_id}/{newest.name}"
    store.put(path, store.get(path)[:-1])
    with pytest.raises(Corrupt):
        backups.fetch(newest, tmp_path / "fetched")


def test_half_written_files_are_not_listed_and_go_when_they_are_old(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    fs = OsFileSystem(tmp_path)
    store = FolderStore(fs, "folder", lambda: now)
    for name, modified_at in (("old.scratch", now - 7200), ("young.scratch", now - 5)):
        fs.write(PurePosixPath(name), [b"half"])
        os.utime(tmp_path / name, (modified_at, modified_at))
    assert store.list() == []
    store.put("one", b"1")
    assert store.list() == ["one"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "young.scratch"]


def test_credentials_of_the_uri_work_and_are_in_no_message(
    endpoint: str, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    plain = uri_of(endpoint, "with/login")

    def store_with(secret: str) -> ObjectStore:
        login = f"{ACCESS_KEY}:{quote(secret, safe='')}@"
        return open_object_store(plain.replace("s3://", f"s3://{login}"), "uri")

    store = store_with(SECRET_KEY)
    store.put("one", b"1")
    assert store.where == "s3://backups/with/login"
    with pytest.raises(StorageFailed, match="s3://backups/with/login") as failed:
        store_with("a/wrong+secret").put("one", b"1")
    for secret in ("a/wrong+secret", quote("a/wrong+secret", safe="")):
        assert secret not in str(failed.value)


@pytest.mark.parametrize(
    "uri", ["s3://", "nonsense://a/b", "s3://user:hidden@bucket/x?wrong=hidden", "s3://[/x"]
)
def test_uri_that_makes_no_sense_is_refused_by_its_field(uri: str) -> None:
    with pytest.raises(InvalidArgument, match="backup_uri") as refused:
        open_object_store(uri, "catalog.backup_uri")
    assert "hidden" not in str(refused.value)


def test_store_that_cannot_be_reached_fails_by_name(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(StorageFailed, match="file"):
        open_object_store(str(blocked / "folder"), "uri")
