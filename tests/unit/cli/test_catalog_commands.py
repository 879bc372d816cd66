"""`akidb catalog` over data folders with real stores: what an operator does after a loss."""

import asyncio
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.cli.main import main
from akidb_ray.domain.collection import CollectionSpec, CollectionState, Metric
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, StoreId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardSearch, VectorQuery
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.data_folder import catalog_file, store_folder
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.store import open_store
from tests.unit.shard.shards import POLICY, batch, vectors_for

SPEC = CollectionSpec(dimension=16, metric=Metric.L2, shard_count=2)
IDS = [f"{number:02}" for number in range(20)]


@dataclass
class Data:
    """A data folder with a catalog and one store, which nobody holds between the calls."""

    path: Path

    @property
    def file(self) -> Path:
        return catalog_file(self.path)

    @contextmanager
    def store(self) -> Iterator[tuple[StoreId, Replicas]]:
        fs = OsFileSystem(store_folder(self.path, 0))
        cluster_id = asyncio.run(self.ask(lambda catalog: _done(catalog.cluster_id)))
        opened = open_store(fs, cluster_id, 0.0)
        replicas = Replicas(fs, POLICY)
        try:
            yield opened.store_id, replicas
        finally:
            replicas.close()
            opened.close()

    async def ask(self, work: Callable[[StoredCatalog], Any], create: bool = False) -> Any:
        catalog = await StoredCatalog.open(self.file, lambda: datetime.now(UTC), create=create)
        try:
            return await work(catalog)
        finally:
            await catalog.close()

    def make_collection(self, name: str) -> str:
        """With a document of each id in both of its shards."""

        async def record(catalog: StoredCatalog) -> tuple[Any, Any, CollectionId]:
            await catalog.register_store(store_id, "host")
            tenant = await catalog.get_tenant("default")
            database = await catalog.get_database(tenant.tenant_id, "default")
            made = await catalog.create_collection(database.database_id, name, SPEC)
            await catalog.update_collection(made, {"state": CollectionState.READY})
            return tenant, database, made

        with self.store() as (store_id, replicas):
            tenant, database, made = asyncio.run(self.ask(record))
            names = {
                "tenant": tenant.slug,
                "database": database.name,
                "database_id": str(database.database_id),
                "collection": name,
            }
            for number in range(SPEC.shard_count):
                key = ShardKey(tenant.tenant_id, made, number)
                replicas.create(key, SPEC, names)
                replicas.write(ShardUpsert(key, batch(IDS), RowFilter()))
        return str(made)

    def search(self, name: str) -> list[list[str]]:
        """What each shard of the collection, where the catalog says it is, has nearest to 07."""

        async def find(catalog: StoredCatalog) -> tuple[Any, Any]:
            update = await catalog.watch(0, 1.0)
            assert update is not None
            (collection,) = [c for c in update.collections if c.name == name]
            assert collection.state is CollectionState.READY
            assert collection.spec == SPEC
            owners = {d.database_id: d.tenant_id for d in update.databases}
            placed = update.placements[collection.collection_id]
            tenant_id = owners[collection.database_id]
            return [ShardKey(tenant_id, collection.collection_id, p.number) for p in placed], {
                p.store_id for p in placed
            }

        keys, stores = asyncio.run(self.ask(find))
        query = VectorQuery(vectors_for(["07"])[0], 3)
        with self.store() as (store_id, replicas):
            assert stores == {store_id}
            found = [replicas.search(ShardSearch(key, query, RowFilter())) for key in keys]
        return [[hit.id for hit in hits] for hits in found]


async def _done(value: Any) -> Any:
    return value


@pytest.fixture
def data(tmp_path: Path) -> Data:
    made = Data(tmp_path / "data")
    made.file.parent.mkdir(parents=True)
    asyncio.run(made.ask(lambda catalog: _done(None), create=True))
    with made.store():
        pass
    return made


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `akidb catalog` on the folder, with its own settings only."""
    for name in ("URI", "DELAY_S", "INTERVAL_S"):
        monkeypatch.delenv(f"AKIDB_CATALOG_BACKUP_{name}", raising=False)

    def call(command: str, *arguments: object) -> Ran:
        line = ["akidb", "catalog", command, "--data-dir", str(data.path), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as ended:
            main()
        caught = capsys.readouterr()
        return Ran(int(ended.value.code or 0), caught.out, caught.err)

    return call


def test_a_collection_made_after_the_backup_is_recovered_and_searchable(
    data: Data, run: Run
) -> None:
    data.make_collection("early")
    taken = run("backup", "--json").json
    late = data.make_collection("late")
    shutil.rmtree(data.file.parent / "catalog.sqlite", ignore_errors=True)
    data.file.unlink()
    for log in data.file.parent.glob("catalog.sqlite-*"):
        log.unlink()

    restored = run("restore")
    assert (restored.code, taken["name"] in restored.out) == (0, True)
    found = run("check")
    assert found.code == 1
    assert f"collection {late}: is not in the catalog" in found.out

    planned = run("recover", "--dry-run")
    assert (planned.code, "Nothing was changed" in planned.out) == (0, True)
    assert run("check").code == 1
    recovered = run("recover")
    assert recovered.code == 0
    assert "users and their passwords" in recovered.out
    things = {thing["name"]: thing["outcome"] for thing in run("recover", "--json").json["things"]}
    assert things == {"early": "already there", "late": "already there"}
    sound = run("check")
    assert (sound.code, "is sound" in sound.out) == (0, True)
    assert data.search("late") == data.search("early")
    assert [hits[0] for hits in data.search("late")] == ["07", "07"]


def test_without_catalog_and_backup_all_collections_come_back_from_the_shards(
    data: Data, run: Run
) -> None:
    made = data.make_collection("docs")
    shutil.rmtree(data.file.parent)
    recovered = run("recover")
    assert recovered.code == 0
    assert str(made) in recovered.out
    assert "new root key" in recovered.out
    assert [hits[0] for hits in data.search("docs")] == ["07", "07"]
    assert run("check").code == 0


def test_a_collection_that_is_not_whole_is_reported_and_not_added(data: Data, run: Run) -> None:
    made = data.make_collection("docs")
    shutil.rmtree(data.file.parent)
    (shard,) = data.path.glob(f"stores/*/tenants/*/{made}/0001")
    shutil.rmtree(shard)
    recovered = run("recover", "--json")
    assert recovered.code == 1
    (left,) = [t for t in recovered.json["things"] if t["outcome"] == "can't be brought back"]
    assert (left["id"], left["name"]) == (str(made), "docs")
    assert "no store here has its shards 1, of 2" in left["note"]
    assert list(data.path.glob(f"stores/*/tenants/*/{made}/0000/CURRENT"))


def test_backups_are_listed_and_one_is_restored_by_name(
    data: Data, run: Run, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    first = run("backup", "--uri", elsewhere, "--json").json
    data.make_collection("docs")
    second = run("backup", "--uri", elsewhere, "--json").json
    listed = run("backups", "--uri", elsewhere, "--json").json
    assert [backup["name"] for backup in listed["backups"]] == [second["name"], first["name"]]
    assert second["name"] in run("backups", "--uri", elsewhere).out
    restored = run("restore", first["name"], "--uri", elsewhere, "--json")
    assert restored.json["backup"] == first["name"]
    assert restored.json["version"] >= second["version"] + 1_000_000
    assert (Path(restored.json["kept"]) / catalog_file(data.path).name).exists()
    assert run("restore", "change-1", "--uri", elsewhere).code == 1


def test_a_restored_catalog_follows_on_and_is_newer_than_any_seen(data: Data, run: Run) -> None:
    data.make_collection("early")
    run("backup")

    async def state(catalog: StoredCatalog) -> Any:
        return await catalog.watch(0, 1.0)

    before = asyncio.run(data.ask(state))
    run("restore")

    async def seen(catalog: StoredCatalog) -> Any:
        return await catalog.watch(before.version, 1.0)

    after = asyncio.run(data.ask(seen))
    assert after.whole
    assert after.version > before.version
    assert after.epoch > before.epoch
    assert after.collections == before.collections


def test_while_a_server_runs_a_backup_is_taken_and_nothing_is_restored(
    data: Data, run: Run
) -> None:
    lock = OsFileSystem(data.file.parent).lock(PurePosixPath("LOCK"), 0.0)
    assert run("backup").code == 0
    assert run("check").code == 0
    for command in ("restore", "recover"):
        refused = run(command)
        assert refused.code == 1
        assert "stop it first" in refused.err
    lock.release()


def test_an_empty_folder_gets_the_catalog_of_the_only_cluster_at_the_target(
    data: Data, run: Run, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    taken = run("backup", "--uri", elsewhere, "--json").json
    new = tmp_path / "new"
    new.mkdir()
    nothing = run("restore", "--data-dir", new)
    assert (nothing.code, "backups of one cluster; holds none" in nothing.err) == (2, True)
    restored = run("restore", "--data-dir", new, "--uri", elsewhere, "--json").json
    assert (restored["backup"], restored["kept"]) == (taken["name"], None)
    assert catalog_file(new).exists()
    again = run("backup", "--data-dir", new, "--uri", elsewhere, "--json").json
    assert again["where"] == taken["where"]


def _sql(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (("DELETE FROM collections_fts",), "texts of 1 collections are not in it"),
        (("UPDATE tenants_fts SET name = 'x'",), "texts of 1 tenants are wrong"),
        (("DELETE FROM tenants_fts_rows",), "1 numbers of rows are wrong"),
        (("DELETE FROM databases_fts_data WHERE id > 10",), "databases_fts: its index is damaged"),
        (("DELETE FROM shards",), "0 of its 2 shards are placed"),
        (("DELETE FROM databases",), "that is not there"),
        (("UPDATE alembic_version SET version_num = '999'",), "schema version 999"),
        (("UPDATE catalog_meta SET cluster_id = randomblob(16)",), "the stores are of"),
        (("DROP TABLE alembic_version",), "no schema version"),
    ],
)
def test_check_finds_what_is_wrong(
    data: Data, run: Run, statements: tuple[str, ...], found: str
) -> None:
    data.make_collection("docs")
    assert run("check").code == 0
    _sql(data.file, *statements)
    checked = run("check")
    assert checked.code == 1
    assert found in checked.out
    assert run("check", "--json").json["ok"] is False


def test_check_finds_shards_without_folders_and_broken_ones(data: Data, run: Run) -> None:
    made = data.make_collection("docs")
    first, second = sorted(data.path.glob(f"stores/*/tenants/*/{made}/*"))
    (first / "CURRENT").write_bytes(b"rubbish")
    shutil.rmtree(second)
    checked = run("check")
    assert checked.code == 1
    assert "its shard 0 can't be used" in checked.out
    assert "its shard 1 has no folder" in checked.out


def test_check_of_a_truncated_or_missing_file_says_so(data: Data, run: Run) -> None:
    content = data.file.read_bytes()
    data.file.write_bytes(content[: len(content) // 2])
    assert run("check").code == 1
    data.file.unlink()
    checked = run("check")
    assert (checked.code, "is missing" in checked.out) == (1, True)


def test_a_folder_that_is_none_is_refused_by_its_option(
    data: Data, run: Run, tmp_path: Path
) -> None:
    refused = run("check", "--data-dir", tmp_path / "nothing")
    assert (refused.code, "--data-dir" in refused.err) == (2, True)
    (tmp_path / "empty").mkdir()
    refused = run("recover", "--data-dir", tmp_path / "empty")
    assert (refused.code, "no stores" in refused.err) == (2, True)
