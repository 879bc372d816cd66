"""Migrations are whole or not at all, and keep rows that refer to a rebuilt table."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Table

from akidb_ray.catalog.sqlite.schema import (
    MIGRATIONS,
    newest_schema,
    require_known_schema,
    upgrade,
)
from akidb_ray.catalog.sqlite.tables import metadata
from akidb_ray.domain.errors import Corrupt, InvalidState

NEWEST = int(newest_schema())
TIME = "'2026-01-31T12:00:00.000000Z'"

REBUILD = """
CREATE TABLE rebuilt AS SELECT * FROM tenants;
DROP TABLE tenants;
CREATE TABLE tenants (
    tenant_id BLOB NOT NULL PRIMARY KEY, external_id TEXT, name TEXT NOT NULL, slug TEXT NOT NULL,
    status TEXT NOT NULL, memory_quota_bytes INTEGER, storage_quota_bytes INTEGER,
    qps_quota INTEGER, metadata TEXT, version INTEGER, created_at TEXT, updated_at TEXT,
    max_collections INTEGER, max_vectors_per_collection INTEGER) STRICT;
INSERT INTO tenants SELECT * FROM rebuilt;
DROP TABLE rebuilt
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """A copy of the real migrations, to add to."""
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def of_before(migrations: Path, number: int) -> Path:
    """The migrations without `number` and what came after it."""
    for path in (migrations / "versions").glob("*.py"):
        if int(path.name[:3]) >= number:
            path.unlink()
    return migrations


@pytest.fixture
def migrated(file: Path) -> Path:
    """A catalog of today's schema with one tenant that has a database."""
    file.touch()
    upgrade(file)
    execute(
        file,
        "INSERT INTO tenants (tenant_id, name, slug, status, created_at, updated_at)"
        f" VALUES (zeroblob(16), 'Acme', 'acme', 'active', {TIME}, {TIME})",
        "INSERT INTO databases (database_id, tenant_id, name, state, created_at, updated_at)"
        f" VALUES (zeroblob(16), zeroblob(16), 'films', 'ready', {TIME}, {TIME})",
    )
    return file


def add_migration(migrations: Path, number: int, statements: str, end: str = "") -> None:
    (migrations / "versions" / f"{number:03d}_test.py").write_text(
        "from alembic import op\n"
        f"revision = '{number:03d}'\n"
        f"down_revision = '{number - 1:03d}'\n"
        "def upgrade():\n"
        f"    for statement in {statements.split(';')!r}:\n"
        "        op.get_bind().exec_driver_sql(statement)\n"
        f"    {end}\n"
    )


def collection(name: str) -> str:
    return (
        "INSERT INTO collections"
        " (collection_id, database_id, name, state, dimension, metric, created_at, updated_at)"
        f" VALUES (randomblob(16), zeroblob(16), '{name}', 'ready', 16, 'l2', {TIME}, {TIME})"
    )


def execute(file: Path, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def test_a_migration_that_fails_half_way_leaves_nothing_behind(
    migrated: Path, migrations: Path
) -> None:
    before = dump(migrated)
    half = "CREATE TABLE half (x INTEGER); UPDATE tenants SET name = 'changed'"
    add_migration(migrations, NEWEST + 1, half, "raise RuntimeError('half way')")
    with pytest.raises(RuntimeError, match="half way"):
        upgrade(migrated, migrations)
    assert dump(migrated) == before


def test_migrations_before_the_one_that_fails_stay(migrated: Path, migrations: Path) -> None:
    add_migration(migrations, NEWEST + 1, "CREATE TABLE whole (x INTEGER)")
    add_migration(
        migrations, NEWEST + 2, "CREATE TABLE half (x INTEGER)", "raise RuntimeError('half way')"
    )
    with pytest.raises(RuntimeError, match="half way"):
        upgrade(migrated, migrations)
    assert execute(migrated, "SELECT version_num FROM alembic_version") == [(f"{NEWEST + 1:03d}",)]
    names = execute(migrated, "SELECT name FROM sqlite_master WHERE name IN ('whole', 'half')")
    assert names == [("whole",)]


def test_rebuilding_a_table_keeps_its_children(migrated: Path, migrations: Path) -> None:
    add_migration(migrations, NEWEST + 1, REBUILD)
    upgrade(migrated, migrations)
    assert execute(migrated, "SELECT name FROM tenants") == [("Acme",)]
    assert execute(migrated, "SELECT name FROM databases") == [("films",)]
    assert execute(migrated, "PRAGMA foreign_key_check") == []


def test_a_migration_that_leaves_orphans_is_undone(migrated: Path, migrations: Path) -> None:
    before = dump(migrated)
    add_migration(migrations, NEWEST + 1, "DELETE FROM tenants")
    with pytest.raises(Corrupt, match="databases without tenants"):
        upgrade(migrated, migrations)
    assert dump(migrated) == before


def test_collections_of_before_keep_the_library_of_their_graphs(
    file: Path, migrations: Path
) -> None:
    file.touch()
    upgrade(file, of_before(migrations, 4))
    execute(
        file,
        "INSERT INTO tenants (tenant_id, name, slug, status, created_at, updated_at)"
        f" VALUES (zeroblob(16), 'Acme', 'acme', 'active', {TIME}, {TIME})",
        "INSERT INTO databases (database_id, tenant_id, name, state, created_at, updated_at)"
        f" VALUES (zeroblob(16), zeroblob(16), 'films', 'ready', {TIME}, {TIME})",
        collection("old"),
    )
    triggers = "SELECT sql FROM sqlite_master WHERE name LIKE 'collections_%_at' ORDER BY name"
    before = execute(file, triggers)
    upgrade(file)
    execute(file, collection("new"))
    found = "SELECT name, hnsw_engine, language, version, updated_at FROM collections ORDER BY 1"
    time = TIME.strip("'")
    assert execute(file, found) == [
        ("new", "faiss", "english", 1, time),
        ("old", "hnswlib", "english", 1, time),
    ]
    assert execute(file, triggers) == before


def test_what_was_there_before_is_counted_and_found_by_its_words(
    file: Path, migrations: Path
) -> None:
    file.touch()
    upgrade(file, of_before(migrations, 5))
    execute(
        file,
        "INSERT INTO tenants (tenant_id, name, slug, status, created_at, updated_at)"
        f" VALUES (zeroblob(16), 'Acme', 'acme', 'active', {TIME}, {TIME})",
        "INSERT INTO databases (database_id, tenant_id, name, state, created_at, updated_at)"
        f" VALUES (zeroblob(16), zeroblob(16), 'films', 'ready', {TIME}, {TIME})",
        collection("heists"),
        collection("quiet"),
        f"INSERT INTO stores VALUES (zeroblob(16), 'shard-host-0', {TIME})",
        f"INSERT INTO stores VALUES (randomblob(16), 'shard-host-1', {TIME})",
        "INSERT INTO shards SELECT collection_id, 0, zeroblob(16), 1 FROM collections",
    )
    upgrade(file)
    counts = "SELECT actor_name, shard_count FROM stores ORDER BY 1"
    assert execute(file, counts) == [("shard-host-0", 2), ("shard-host-1", 0)]
    assert execute(file, "SELECT max_collections, max_vectors_per_collection FROM tenants") == [
        (None, None)
    ]
    words = "SELECT name FROM {0} JOIN {0}_fts USING (name) WHERE {0}_fts MATCH '{1}'"
    for table, text, name in (
        ("tenants", "acme", "Acme"),
        ("databases", f'parent : "{"0" * 32}" films', "films"),
        ("collections", "heist*", "heists"),
    ):
        assert execute(file, words.format(table, text)) == [(name,)]
    execute(file, "DELETE FROM collections WHERE name = 'heists'")
    assert execute(file, words.format("collections", "heist*")) == []


def test_upgrading_twice_changes_nothing(migrated: Path) -> None:
    before = dump(migrated)
    upgrade(migrated)
    assert dump(migrated) == before


def test_a_schema_that_only_a_newer_release_knows_is_refused(
    migrated: Path, migrations: Path
) -> None:
    add_migration(migrations, NEWEST + 1, "CREATE TABLE newer (x INTEGER)")
    upgrade(migrated, migrations)
    require_known_schema(migrated, migrations)
    with pytest.raises(InvalidState, match=f"{NEWEST + 1:03d}"):
        require_known_schema(migrated)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: str(table.name))
def test_tables_that_queries_are_built_from_are_those_that_migrations_make(
    migrated: Path, table: Table
) -> None:
    found = execute(migrated, f"PRAGMA table_info({table.name})")
    keys = {name for _, name, _, _, _, key in found if key}
    assert [name for _, name, *_ in found] == [column.name for column in table.columns]
    assert keys == {column.name for column in table.primary_key}
    nullable = {name for _, name, _, required, *_ in found if not required}
    assert nullable == {column.name for column in table.columns if column.nullable}
    assert execute(migrated, f"SELECT strict FROM pragma_table_list('{table.name}')") == [(1,)]
