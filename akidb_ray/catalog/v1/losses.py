"""What undoing a migration would lose: what is in a catalog file besides what the migration wrote.

A tenant, its administrator and its database `default` are the migration's as long as they are as it
left them. Rows are compared as they lie in the tables, also in tables of later releases.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from akidb_ray.catalog.sqlite.copying import reading
from akidb_ray.catalog.v1.translation import DATABASE_DESCRIPTION

# They say where a catalog stands, not what is in it.
_UNCOMPARED = frozenset({"alembic_version", "catalog_meta", "changes", "stores"})

_TABLES = """
SELECT name FROM sqlite_master
WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '*_fts*'
"""
_MIGRATED = """
SELECT tenants.tenant_id, user_id, database_id FROM tenants
JOIN users ON users.tenant_id = tenants.tenant_id
    AND email = 'admin@' || slug || '.invalid'
JOIN databases ON databases.tenant_id = tenants.tenant_id
    AND databases.name = 'default' AND databases.description = ?
WHERE tenants.version = 1 AND users.version = 1 AND databases.version = 1
"""
# What each new catalog holds.
_FIRST = """
SELECT tenants.tenant_id, database_id FROM tenants
JOIN databases ON databases.tenant_id = tenants.tenant_id AND databases.name = 'default'
WHERE slug = 'default' AND tenants.version = 1 AND databases.version = 1
"""

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Contents:
    """Of each table its rows by their keys; the keys of those that a migration wrote and nobody
    changed, and of those that each new catalog holds; and what makes it a cluster's.
    """

    tables: Mapping[str, Mapping[object, Row]]
    migrated: Set[object]
    first: Set[object]
    root_key_hash: object
    stores: int


def migrated_tenants(file: Path) -> frozenset[bytes]:
    """The ids of the tenants that a migration brought, whatever became of them since.

    Raises NotFound, Corrupt, StorageFailed, Unavailable.
    """
    with reading(file) as connection:
        query = "SELECT tenant_id FROM databases WHERE description = ?"
        rows = connection.execute(query, (DATABASE_DESCRIPTION,)).fetchall()
    return frozenset(tenant_id for (tenant_id,) in rows)


def losses_by_replacing(file: Path, former: Path) -> tuple[str, ...]:
    """What is lost, in words, when `former`, of the same cluster, takes the place of `file`."""
    now, then = _contents(file), _contents(former)
    lost = list(_changed(now, then.tables, now.migrated))
    if now.root_key_hash != then.root_key_hash:
        lost.append("the root key")
    return tuple(lost)


def losses_by_removing(file: Path) -> tuple[str, ...]:
    """What is lost, in words, with a file that a migration made; perhaps a cluster uses it."""
    now = _contents(file)
    lost = list(_changed(now, {}, now.migrated | now.first))
    if now.stores:
        lost.append(f"{now.stores} of stores")
    if now.root_key_hash is not None:
        lost.append("the root key")
    return tuple(lost)


def _changed(
    now: _Contents, then: Mapping[str, Mapping[object, Row]], explained: Set[object]
) -> Iterator[str]:
    """How many rows of which table were added, changed or removed, besides those `explained`."""
    for table in sorted(now.tables.keys() | then.keys()):
        rows, former = now.tables.get(table, {}), then.get(table, {})
        changed = [
            key
            for key in rows.keys() | former.keys()
            if not _same(rows.get(key), former.get(key))
            and not (key in explained and key not in former)
        ]
        if changed:
            yield f"{len(changed)} of {table}"


def _same(one: Row | None, other: Row | None) -> bool:
    """In the columns that both have: one file may have an older schema."""
    if one is None or other is None:
        return one is other
    return all(one[column] == other[column] for column in one.keys() & other.keys())


def _contents(file: Path) -> _Contents:
    with reading(file) as connection:
        connection.row_factory = sqlite3.Row
        names = [str(row["name"]) for row in connection.execute(_TABLES)]
        tables = {name: _rows(connection, name) for name in names if name not in _UNCOMPARED}
        migrated = connection.execute(_MIGRATED, (DATABASE_DESCRIPTION,)).fetchall()
        first = connection.execute(_FIRST).fetchall()
        meta = connection.execute("SELECT root_key_hash FROM catalog_meta").fetchone()
        stores = connection.execute("SELECT count(*) FROM stores").fetchone()
    return _Contents(
        tables=tables,
        migrated={key for row in migrated for key in row},
        first={key for row in first for key in row},
        root_key_hash=meta[0],
        stores=stores[0],
    )


def _rows(connection: sqlite3.Connection, table: str) -> dict[object, Row]:
    """By primary key: its value, or the tuple of its values."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    key = [str(column["name"]) for column in columns if column["pk"]]
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own tables
    found: dict[object, Row] = {}
    for row in rows:
        values = tuple(row[name] for name in key)
        found[values[0] if len(values) == 1 else values] = dict(row)
    return found
