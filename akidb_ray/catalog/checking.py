"""Looking for what is wrong with a catalog file, by itself and beside the stores it speaks of.

The file may be in use: what needs to write, to let SQLite check its search indexes, is done on a
copy.
"""

# ruff: noqa: S608 (the names in the statements are those of the schema)

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from akidb_ray.catalog.sqlite.copying import check_database, copy_database
from akidb_ray.catalog.sqlite.facts import read_facts
from akidb_ray.catalog.sqlite.schema import require_known_schema
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.domain.found_shards import FoundShard
from akidb_ray.domain.ids import ClusterId, StoreId


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what about it."""

    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What a data folder holds beside the catalog; `cluster_id` is None without a store."""

    cluster_id: ClusterId | None
    stores: frozenset[StoreId]
    shards: tuple[FoundShard, ...]


def check_catalog(file: Path, on_disk: OnDisk) -> list[Finding]:
    """Empty for a sound catalog. Raises StorageFull, StorageFailed, Unavailable."""
    if not file.exists():
        return [Finding(str(file), "is missing")]
    try:
        require_known_schema(file)
        problems = check_database(file)
        if not problems:
            with tempfile.TemporaryDirectory(prefix=".check-", dir=file.parent) as folder:
                copy = Path(folder, file.name)
                copy_database(file, copy)
                return [*_check_cluster(copy, on_disk), *_check_copy(copy, on_disk)]
    except (Corrupt, InvalidState) as error:
        return [Finding(str(file), str(error.fields.get("reason", error.detail)))]
    return [Finding(str(file), problem) for problem in problems]


def _check_cluster(copy: Path, on_disk: OnDisk) -> Iterator[Finding]:
    owner = read_facts(copy).cluster_id
    if on_disk.cluster_id not in (None, owner):
        problem = f"is of cluster {owner}, the stores are of {on_disk.cluster_id}"
        yield Finding("the catalog", problem)


def _check_copy(copy: Path, on_disk: OnDisk) -> list[Finding]:
    with translated(copy), closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        search = [finding for table in _searched(connection) for finding in table]
        return [*search, *_check_shards(connection, on_disk)]


def _searched(connection: sqlite3.Connection) -> Iterator[list[Finding]]:
    """What is wrong with each of the tables that serve search."""
    made = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%' ORDER BY name"
    for (table,) in connection.execute(made).fetchall():
        yield _check_search(connection, table)


def _check_search(connection: sqlite3.Connection, table: str) -> list[Finding]:
    """That the index fits its own text, and the text that of the rows it is made of."""
    found = []
    try:
        connection.execute(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as error:
        found.append(Finding(table, f"its index is damaged: {error}"))
    source, numbers = table.removesuffix("_fts"), f"{table}_rows"
    shared = ", ".join(_columns(connection, source, table))
    rows, texts = f"SELECT {shared} FROM {source}", f"SELECT {shared} FROM {table}"
    found += _differing(connection, table, rows, texts, f"texts of {{}} {source}")
    if key := _columns(connection, numbers, table):
        known = f"SELECT number, {key[0]} FROM {numbers}"
        used = f"SELECT rowid, {key[0]} FROM {table}"
        found += _differing(connection, table, known, used, "{} numbers of rows")
    return found


def _columns(connection: sqlite3.Connection, one: str, other: str) -> list[str]:
    """Names that two tables have in common; none where one is missing, as in older schemas."""
    names = [
        [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in (one, other)
    ]
    return [name for name in names[0] if name in names[1]]


def _differing(
    connection: sqlite3.Connection, table: str, wanted: str, kept: str, what: str
) -> Iterator[Finding]:
    for one, other, problem in ((wanted, kept, "are not in it"), (kept, wanted, "are wrong")):
        query = f"SELECT count(*) FROM ({one} EXCEPT {other})"
        (count,) = connection.execute(query).fetchone()
        if count:
            yield Finding(table, f"{what.format(count)} {problem}")


def _check_shards(connection: sqlite3.Connection, on_disk: OnDisk) -> Iterator[Finding]:
    """Ready collections have their folders, and folders their collections."""
    rows = connection.execute(
        "SELECT collection_id, name, state, shard_count FROM collections ORDER BY collection_id"
    ).fetchall()
    placed: dict[bytes, list[tuple[int, StoreId]]] = {}
    for collection_id, number, store_id in connection.execute(
        "SELECT collection_id, number, store_id FROM shards"
    ):
        placed.setdefault(collection_id, []).append((number, StoreId(UUID(bytes=store_id))))
    found = {(s.key.collection_id.bytes, s.key.number, s.store_id): s for s in on_disk.shards}
    for collection_id, name, state, shard_count in rows:
        if state == "ready":
            subject = f"collection {name} ({UUID(bytes=collection_id)})"
            places = placed.get(collection_id, [])
            if len(places) != shard_count:
                yield Finding(subject, f"{len(places)} of its {shard_count} shards are placed")
            for problem in _missing(collection_id, places, found, on_disk.stores):
                yield Finding(subject, problem)
    known = {row[0] for row in rows}
    yield from _unknown([s for s in on_disk.shards if s.key.collection_id.bytes not in known])


def _missing(
    collection_id: bytes,
    places: Sequence[tuple[int, StoreId]],
    found: dict[tuple[bytes, int, StoreId], FoundShard],
    stores: frozenset[StoreId],
) -> Iterator[str]:
    """Stores that lie in other data folders, of other machines, are not looked at."""
    for number, store_id in sorted(places):
        shard = found.get((collection_id, number, store_id))
        if store_id in stores and shard is None:
            yield f"its shard {number} has no folder in store {store_id}"
        if shard is not None and shard.problem:
            yield f"its shard {number} can't be used: {shard.folder}: {shard.problem}"


def _unknown(shards: Iterable[FoundShard]) -> Iterator[Finding]:
    by_collection: dict[str, list[str]] = {}
    for shard in shards:
        by_collection.setdefault(str(shard.key.collection_id), []).append(shard.folder)
    for collection_id, folders in by_collection.items():
        problem = f"is not in the catalog, which `akidb catalog recover` may mend: {folders[0]}"
        yield Finding(f"collection {collection_id}", problem)
