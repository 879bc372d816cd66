"""The database itself refuses what is wrong, whoever writes to it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from akidb_ray.catalog.sqlite.schema import upgrade

ID = b"0123456789abcdef"
TIME = "2026-01-31T12:00:00.000000Z"
TIMES = {"created_at": TIME, "updated_at": TIME}

ROWS: dict[str, dict[str, object]] = {
    "tenants": {"tenant_id": ID, "name": "Acme", "slug": "acme", "status": "active", **TIMES},
    "users": {"user_id": ID, "tenant_id": ID, "email": "a@b.c", "status": "active", **TIMES},
    "databases": {"database_id": ID, "tenant_id": ID, "name": "films", "state": "ready", **TIMES},
    "collections": {
        "collection_id": ID,
        "database_id": ID,
        "name": "plots",
        "state": "ready",
        "dimension": 384,
        "metric": "cosine",
        **TIMES,
    },
    "stores": {"store_id": ID, "actor_name": "shard-host-0", "registered_at": TIME},
    "shards": {"collection_id": ID, "number": 0, "store_id": ID},
    "catalog_meta": {"id": 1, "cluster_id": ID},
    "changes": {
        "catalog_version": 1,
        "changed_at": TIME,
        "kind": "tenant",
        "entity_id": ID,
        "action": "created",
        "body": "{}",
    },
    "jobs": {
        "job_id": ID,
        "kind": "purge_tenant",
        "state": "running",
        "tenant_id": ID,
        "subject_id": "01a1fde5-cd3a-700b-8b1a-3d7e2beefe4e",
        "subject": "Acme",
        "total": 2,
        "done": 1,
        "cancel_requested": 0,
        **TIMES,
    },
}


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    file.touch()
    upgrade(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as opened:
        opened.execute("PRAGMA foreign_keys = ON")
        for table, row in ROWS.items():
            insert(opened, table, row)
        yield opened


def insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    marks = ", ".join("?" * len(row))
    values = list(row.values())
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", values)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("tenants", "status", "gone"),
        ("tenants", "slug", "Acme"),
        ("tenants", "slug", "-acme"),
        ("tenants", "slug", "a" * 64),
        ("tenants", "name", ""),
        ("tenants", "qps_quota", -1),
        ("tenants", "memory_quota_bytes", -1),
        ("tenants", "storage_quota_bytes", -1),
        ("tenants", "max_collections", -1),
        ("tenants", "max_vectors_per_collection", -1),
        ("tenants", "metadata", "not json"),
        ("tenants", "metadata", "[1]"),
        ("tenants", "version", 0),
        ("tenants", "updated_at", "yesterday"),
        ("tenants", "name", None),
        ("users", "status", "gone"),
        ("users", "email", "nobody"),
        ("users", "last_login_at", "yesterday"),
        ("databases", "state", "gone"),
        ("databases", "schema_version", 0),
        ("databases", "description", "x" * 4097),
        ("collections", "state", "gone"),
        ("collections", "dimension", 15),
        ("collections", "dimension", 4097),
        ("collections", "dimension", "wide"),
        ("collections", "metric", "manhattan"),
        ("collections", "shard_count", 0),
        ("collections", "shard_count", 65),
        ("collections", "index_kind", "tree"),
        ("collections", "hnsw_m", 3),
        ("collections", "hnsw_ef_construction", 7),
        ("collections", "hnsw_engine", "nmslib"),
        ("collections", "language", "klingon"),
        ("collections", "replica_factor", 4),
        ("collections", "tiering_policy", "tape"),
        ("collections", "sync_policy", "never"),
        ("collections", "wal_retention_seconds", -1),
        ("collections", "max_doc_count", 0),
        ("stores", "actor_name", "x" * 256),
        ("shards", "number", 64),
        ("shards", "epoch", 0),
        ("stores", "shard_count", -1),
        ("catalog_meta", "id", 2),
        ("catalog_meta", "epoch", -1),
        ("catalog_meta", "catalog_version", -1),
        ("catalog_meta", "cluster_id", b"short"),
        ("changes", "action", "seen"),
        ("changes", "kind", "shard"),
        ("changes", "body", "not json"),
        ("jobs", "job_id", b"short"),
        ("jobs", "kind", "compact"),
        ("jobs", "state", "paused"),
        ("jobs", "tenant_id", b"short"),
        ("jobs", "subject_id", "short"),
        ("jobs", "subject", ""),
        ("jobs", "subject", "x" * 256),
        ("jobs", "total", -1),
        ("jobs", "done", -1),
        ("jobs", "done", 3),
        ("jobs", "error", "x" * 4097),
        ("jobs", "cancel_requested", 2),
        ("jobs", "version", 0),
        ("jobs", "created_at", "yesterday"),
    ],
)
def test_a_value_out_of_range_is_refused(
    connection: sqlite3.Connection, table: str, column: str, value: object
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE {table} SET {column} = ?", [value])


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        ("tenants", {"tenant_id": ID[::-1]}),
        ("users", {"user_id": ID[::-1], "email": "A@B.C"}),
        ("databases", {"database_id": ID[::-1]}),
        ("collections", {"collection_id": ID[::-1]}),
        ("shards", {}),
    ],
)
def test_a_duplicate_is_refused(
    connection: sqlite3.Connection, table: str, changed: dict[str, object]
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(connection, table, ROWS[table] | changed)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("users", "tenant_id"),
        ("databases", "tenant_id"),
        ("collections", "database_id"),
        ("shards", "collection_id"),
        ("shards", "store_id"),
    ],
)
def test_a_row_without_its_parent_is_refused(
    connection: sqlite3.Connection, table: str, column: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        connection.execute(f"UPDATE {table} SET {column} = ?", [ID[::-1]])


def test_a_store_that_holds_shards_cannot_be_removed(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        connection.execute("DELETE FROM stores")


@pytest.mark.parametrize("table", ["tenants", "users", "databases", "collections"])
def test_created_at_never_changes(connection: sqlite3.Connection, table: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"created_at and .* cannot change"):
        connection.execute(f"UPDATE {table} SET created_at = '2027-01-31T12:00:00.000000Z'")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("tenants", "name"),
        ("users", "password_hash"),
        ("databases", "name"),
        ("collections", "name"),
    ],
)
def test_a_change_by_hand_moves_updated_at_and_the_version(
    connection: sqlite3.Connection, table: str, column: str
) -> None:
    connection.execute(f"UPDATE {table} SET {column} = {column}")
    ((updated_at, version),) = connection.execute(f"SELECT updated_at, version FROM {table}")
    assert updated_at != TIME
    assert version == 2


def test_a_change_that_brings_its_time_and_version_keeps_them(
    connection: sqlite3.Connection,
) -> None:
    later = "2027-01-31T12:00:00.000000Z"
    connection.execute("UPDATE tenants SET version = 7, updated_at = ?", [later])
    (row,) = connection.execute("SELECT updated_at, version FROM tenants")
    assert row == (later, 7)


def test_full_text_search_finds_names_and_descriptions(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE collections SET description = 'Heists that go wrong'")
    connection.execute("UPDATE databases SET name = 'silent-films'")
    for table, words in {"tenants": "acme", "databases": "silent", "collections": "heist*"}.items():
        key = f"{table.removesuffix('s')}_id"
        query = f"SELECT {key} FROM {table}_fts WHERE {table}_fts MATCH ?"
        assert connection.execute(query, [words]).fetchall() == [(ID,)]


def test_full_text_search_forgets_what_changed_or_went(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE tenants SET name = 'Other', slug = 'other'")
    query = "SELECT count(*) FROM tenants_fts WHERE tenants_fts MATCH ?"
    assert connection.execute(query, ["acme"]).fetchone() == (0,)
    assert connection.execute(query, ["other"]).fetchone() == (1,)
    connection.execute("DELETE FROM shards")
    connection.execute("DELETE FROM tenants")
    for table in ("tenants", "databases", "collections"):
        assert connection.execute(f"SELECT count(*) FROM {table}_fts").fetchone() == (0,)


def test_stores_count_their_shards(connection: sqlite3.Connection) -> None:
    def counts() -> list[tuple[str, int]]:
        query = "SELECT actor_name, shard_count FROM stores ORDER BY actor_name"
        return connection.execute(query).fetchall()

    other = {"store_id": ID[::-1], "actor_name": "shard-host-1", "registered_at": TIME}
    insert(connection, "stores", other)
    assert counts() == [("shard-host-0", 1), ("shard-host-1", 0)]
    connection.execute("UPDATE shards SET store_id = ?", [ID[::-1]])
    assert counts() == [("shard-host-0", 0), ("shard-host-1", 1)]
    connection.execute("DELETE FROM collections")
    assert counts() == [("shard-host-0", 0), ("shard-host-1", 0)]


@pytest.mark.parametrize("table", ["tenants", "databases", "collections"])
def test_full_text_search_is_sound(connection: sqlite3.Connection, table: str) -> None:
    connection.execute(f"UPDATE {table} SET name = 'changed'")
    connection.execute(f"INSERT INTO {table}_fts ({table}_fts) VALUES ('integrity-check')")
    key = f"{table.removesuffix('s')}_id"
    numbers = f"SELECT number, {key} FROM {table}_fts_rows"
    assert (
        connection.execute(numbers).fetchall()
        == connection.execute(f"SELECT rowid, {key} FROM {table}_fts").fetchall()
    )


def test_a_job_outlives_its_tenant(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM shards")
    connection.execute("DELETE FROM tenants")
    assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
