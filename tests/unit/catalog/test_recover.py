"""What is added to a catalog from the shards that were found, and what is left out."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.catalog.backups import Backup, Series
from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.catalog.recovery import recover
from akidb_ray.catalog.recovery_plan import (
    Known,
    Outcome,
    Recovery,
    carry_out,
    plan_recovery,
    read_known,
    with_default,
)
from akidb_ray.catalog.restoring import LEAP, LOCK
from akidb_ray.catalog.sqlite.copying import check_database
from akidb_ray.catalog.sqlite.facts import read_facts
from akidb_ray.domain.collection import Collection, CollectionSpec, CollectionState
from akidb_ray.domain.errors import InvalidState, Unavailable
from akidb_ray.domain.found_shards import FoundShard
from akidb_ray.domain.ids import ClusterId, CollectionId, DatabaseId, JobId, StoreId, TenantId
from akidb_ray.domain.jobs import Job, JobKind, JobState
from akidb_ray.domain.placement import ShardKey, ShardPlacement
from akidb_ray.domain.tenancy import Database, DatabaseState, Tenant, TenantStatus
from akidb_ray.shard.recovery import create_replica
from akidb_ray.shard.survey import survey
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.catalog.files import make_catalog_file

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SPEC = CollectionSpec(dimension=16)
STORE, OTHER_STORE = StoreId.new(), StoreId.new()
TENANT_ID, DATABASE_ID = TenantId.new(), DatabaseId.new()
TENANT = Tenant(TENANT_ID, "Acme", "acme", TenantStatus.ACTIVE, NOW, NOW)
DATABASE = Database(DATABASE_ID, TENANT_ID, "shop", DatabaseState.READY, NOW, NOW)


def _shards(name: str = "docs", count: int = 1, **changes: object) -> list[FoundShard]:
    collection_id = CollectionId.new()
    shards = [
        FoundShard(
            key=ShardKey(TENANT_ID, collection_id, number),
            store_id=STORE,
            folder=f"tenants/{number}",
            tenant="acme",
            database="shop",
            collection=name,
            database_id=DATABASE_ID,
            spec=replace(SPEC, shard_count=count),
        )
        for number in range(count)
    ]
    return [replace(shard, **changes) for shard in shards]  # type: ignore[arg-type]


def _collection_of(shards: Sequence[FoundShard]) -> Collection:
    spec = shards[0].spec
    assert spec is not None
    return Collection(
        shards[0].key.collection_id,
        DATABASE_ID,
        shards[0].collection,
        spec,
        CollectionState.READY,
        NOW,
        NOW,
    )


KNOWN = Known((TENANT,), (DATABASE,), (), frozenset({STORE}))


def _outcomes(recovery: Recovery) -> list[tuple[str, str, str]]:
    return [(line.outcome, line.kind, line.name) for line in recovery.lines]


def test_a_collection_that_the_catalog_lacks_is_added_where_its_shards_are() -> None:
    shards = _shards(count=3, epoch=4)
    shards[1] = replace(shards[1], store_id=OTHER_STORE)
    done = plan_recovery(shards, KNOWN, NOW)
    assert _outcomes(done) == [(Outcome.ADDED, "collection", "docs")]
    ((collection, placements),) = done.collections
    assert collection == _collection_of(shards)
    assert placements == (
        ShardPlacement(0, STORE, 4),
        ShardPlacement(1, OTHER_STORE, 4),
        ShardPlacement(2, STORE, 4),
    )
    assert done.stores == (OTHER_STORE,)
    assert (done.tenants, done.databases) == ((), ())


def test_what_the_catalog_has_stays_as_it_is() -> None:
    shards = _shards()
    mine = replace(_collection_of(shards), name="renamed", description="mine")
    done = plan_recovery(shards, replace(KNOWN, collections=(mine,)), NOW)
    assert _outcomes(done) == [(Outcome.THERE, "collection", "renamed")]
    assert done.collections == ()


def test_missing_tenants_and_databases_are_added_with_their_ids_once() -> None:
    done = plan_recovery([*_shards("one"), *_shards("two")], Known(), NOW)
    assert [(t.tenant_id, t.slug) for t in done.tenants] == [(TENANT_ID, "acme")]
    assert [(d.database_id, d.name) for d in done.databases] == [(DATABASE_ID, "shop")]
    assert {collection.name for collection, _ in done.collections} == {"one", "two"}


def test_a_database_is_known_by_its_id_whatever_its_name_and_by_its_name_without_one() -> None:
    renamed = replace(DATABASE, name="renamed")
    known = replace(KNOWN, databases=(renamed,))
    (by_id,) = plan_recovery(_shards(), known, NOW).collections
    assert by_id[0].database_id == DATABASE_ID
    (by_name,) = plan_recovery(_shards(database_id=None), KNOWN, NOW).collections
    assert by_name[0].database_id == DATABASE_ID
    unnamed = plan_recovery(_shards(database_id=None, database=""), KNOWN, NOW)
    assert [database.name for database in unnamed.databases] == ["default"]
    assert unnamed.lines[0].note == "its name is not known"


def test_a_name_that_another_one_has_is_given_a_number_and_reported() -> None:
    shards = _shards()
    other = replace(_collection_of(shards), collection_id=CollectionId.new())
    third = replace(other, collection_id=CollectionId.new(), name="docs-2")
    done = plan_recovery(shards, replace(KNOWN, collections=(other, third)), NOW)
    ((collection, _),) = done.collections
    assert collection.name == "docs-3"
    assert done.lines[0].note == "'docs' is another one's name"
    taken = replace(TENANT, tenant_id=TenantId.new())
    done = plan_recovery(shards, Known((taken,)), NOW)
    assert [tenant.slug for tenant in done.tenants] == ["acme-2"]
    same = replace(DATABASE, database_id=DatabaseId.new())
    done = plan_recovery(shards, replace(KNOWN, databases=(same,)), NOW)
    assert [database.name for database in done.databases] == ["shop-2"]


@pytest.mark.parametrize("name", ["", "../x", "-", "a b"])
def test_a_name_that_is_none_is_guessed_and_reported(name: str) -> None:
    shards = _shards(name, tenant="", database=name)
    done = plan_recovery(shards, Known(), NOW)
    ((collection, _),) = done.collections
    assert collection.name == f"recovered-{collection.collection_id}"
    assert [tenant.slug for tenant in done.tenants] == ["recovered"]
    assert [line.note for line in done.lines][-1] == "its name is not known"


def _left(shards: Sequence[FoundShard], known: Known = KNOWN) -> str:
    done = plan_recovery(shards, known, NOW)
    assert [line.outcome for line in done.lines] == [Outcome.LEFT]
    assert (done.collections, done.tenants, done.databases, done.stores) == ((), (), (), ())
    return done.lines[0].note


def test_a_collection_that_is_not_whole_or_not_clear_is_left_out_and_said_why() -> None:
    three = _shards(count=3)
    assert "has its shards 1, of 3" in _left([three[0], three[2]])
    assert "more than one store" in _left([*three, replace(three[1], store_id=OTHER_STORE)])
    broken = replace(three[1], problem="CURRENT names no manifest", spec=None, collection="")
    assert "tenants/1: CURRENT names no manifest" in _left([three[0], broken, three[2]])
    other_spec = replace(three[1], spec=replace(SPEC, shard_count=3, hnsw_m=16))
    assert "disagree" in _left([three[0], other_spec, three[2]])
    elsewhere = replace(three[1], key=replace(three[1].key, tenant_id=TenantId.new()))
    assert "more than one tenant" in _left([three[0], elsewhere, three[2]])
    few = [replace(shard, spec=replace(SPEC, shard_count=2)) for shard in three]
    assert "3 shards, and its settings say 2" in _left(few)
    assert "dimension" in _left(_shards(spec=CollectionSpec(dimension=3)))


def test_what_a_deletion_had_begun_to_remove_is_left_out() -> None:
    shards = _shards()
    for deleted in (shards[0].key.collection_id, DATABASE_ID, TENANT_ID):
        known = replace(KNOWN, deleted=frozenset({str(deleted)}))
        assert "deletion" in _left(shards, known)
    going = replace(DATABASE, state=DatabaseState.DELETING)
    named = _shards(database_id=None)
    assert "is being deleted" in _left(named, replace(KNOWN, databases=(going,)))


def test_a_new_catalog_has_the_tenant_and_the_database_default() -> None:
    done = with_default(plan_recovery(_shards(), Known(), NOW), NOW)
    assert sorted(tenant.slug for tenant in done.tenants) == ["acme", "default"]
    assert sorted(database.name for database in done.databases) == ["default", "shop"]
    shards = _shards(tenant="default", database="default")
    done = with_default(plan_recovery(shards, Known(), NOW), NOW)
    assert [tenant.tenant_id for tenant in done.tenants] == [TENANT_ID]
    assert [database.database_id for database in done.databases] == [DATABASE_ID]


async def test_what_was_planned_is_added_and_then_known() -> None:
    store = MemoryStore(lambda: NOW)
    recovery = plan_recovery([*_shards(), *_shards(count=2)], Known(), NOW)
    async with store.writing() as repos:
        await carry_out(recovery, repos)
    async with store.reading() as repos:
        known = await read_known(repos)
        placed = [
            await repos.placement.placements(c.collection_id) for c, _ in recovery.collections
        ]
    assert known == Known(
        recovery.tenants,
        recovery.databases,
        tuple(collection for collection, _ in recovery.collections),
        frozenset({STORE}),
    )
    assert placed == [placements for _, placements in recovery.collections]


@pytest.mark.parametrize(
    ("state", "counts"), [(JobState.SUCCEEDED, True), (JobState.CANCELLED, False)]
)
async def test_subjects_of_deletions_are_known_as_deleted(state: JobState, counts: bool) -> None:
    store = MemoryStore(lambda: NOW)
    subject = str(TENANT_ID)
    kind = JobKind.PURGE_TENANT
    job = Job(JobId.new(), kind, state, TENANT_ID, subject, "acme", NOW, NOW)
    async with store.writing() as repos:
        await repos.jobs.add(job)
    async with store.reading() as repos:
        assert (subject in (await read_known(repos)).deleted) is counts


def test_shards_are_found_in_a_store_with_what_their_manifests_say() -> None:
    fs = MemoryFileSystem()
    shards = _shards(count=2)
    for shard in shards:
        names = {
            "tenant": shard.tenant,
            "database": shard.database,
            "database_id": str(DATABASE_ID),
            "collection": shard.collection,
        }
        assert shard.spec is not None
        inner = fs.subtree(PurePosixPath("tenants") / shard.key.path)
        create_replica(inner, shard.spec, names, epoch=shard.epoch)
    damaged = PurePosixPath("tenants") / shards[1].key.path / "CURRENT"
    whole = fs.read(damaged)
    found = survey(fs, STORE)
    wanted = [replace(s, folder=str(PurePosixPath("tenants") / s.key.path)) for s in shards]
    assert list(found.shards) == wanted
    fs.replace(damaged, whole[:-4])
    fs.create_directory(PurePosixPath("tenants/lost+found/x/y"))
    found = survey(fs, STORE)
    assert [bool(shard.problem) for shard in found.shards] == [False, True]
    assert found.strange == ("tenants/lost+found/x/y",)


CLUSTER = ClusterId.new()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_catalog_file(tmp_path / "catalog" / "catalog.sqlite", CLUSTER)


def _collections(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM collections")]


def test_a_catalog_gets_what_it_lacks_once(file: Path) -> None:
    shards = _shards(count=2)
    done = recover(file, CLUSTER, shards, [], NOW, dry_run=False)
    assert (Outcome.ADDED, "collection", "docs") in _outcomes(done)
    assert _collections(file) == ["docs"]
    again = recover(file, CLUSTER, shards, [], NOW, dry_run=False)
    assert _outcomes(again) == [(Outcome.THERE, "collection", "docs")]
    assert check_database(file) == []


def test_a_dry_run_says_the_same_and_changes_nothing(file: Path) -> None:
    shards = _shards()
    before = (read_facts(file), _collections(file))
    planned = recover(file, CLUSTER, shards, [], NOW, dry_run=True)
    assert (read_facts(file), _collections(file)) == before
    done = recover(file, CLUSTER, shards, [], NOW, dry_run=False)
    assert done.lines == planned.lines
    names = [path.name for path in file.parent.iterdir() if path.name.startswith(".")]
    assert names == []


def test_a_lost_catalog_is_made_anew_above_all_that_was_backed_up(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    shards = _shards()
    file.with_name("catalog.sqlite-wal").write_bytes(b"a stray log")
    file.with_name("catalog.sqlite.recovering").write_bytes(b"of a killed attempt")
    recover(file, CLUSTER, shards, [], NOW, dry_run=True)
    assert not file.exists()
    seen = Backup(Series.CHANGE, 5_000_000_000, 7, NOW, 0)
    recover(file, CLUSTER, shards, [seen], NOW, dry_run=False)
    facts = read_facts(file)
    assert facts.cluster_id == CLUSTER
    assert facts.version == seen.version + LEAP
    assert facts.epoch == int(NOW.timestamp())
    assert _collections(file) == ["docs"]
    assert check_database(file) == []
    left = {path.name for path in tmp_path.iterdir() if "replaced" not in path.name}
    assert left == {"LOCK", "catalog.sqlite"}


def test_the_catalog_of_another_cluster_or_of_a_running_server_is_refused(file: Path) -> None:
    with pytest.raises(InvalidState, match="cluster"):
        recover(file, ClusterId.new(), _shards(), [], NOW, dry_run=False)
    lock = OsFileSystem(file.parent).lock(LOCK, 0.0)
    with pytest.raises(Unavailable, match="stop it first"):
        recover(file, CLUSTER, _shards(), [], NOW, dry_run=False)
    lock.release()
    assert _collections(file) == []
