"""What a catalog file holds, told apart from which process has it open."""

# ruff: noqa: S608 (the names in the statements are those of the schema)

import hashlib
import sqlite3
from pathlib import Path

from akidb_ray.catalog.sqlite.copying import reading

# Each opening raises it in the table, and changes nothing else by that.
_OF_THE_PROCESS = ("catalog_meta", "epoch")


def content_digest(path: Path) -> str:
    """Of all rows. Files that differ in how they are laid out, and in the term, have the same one.

    Raises NotFound, Corrupt, StorageFailed, Unavailable.
    """
    digest = hashlib.sha256()
    with reading(path) as connection:
        for table in _tables(connection):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(c for c in columns if (table, c) != _OF_THE_PROCESS)
            digest.update(f"{table} {names}\n".encode())
            for row in connection.execute(f"SELECT {names} FROM {table} ORDER BY {names}"):
                digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Without those that serve search: they are made of the others."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    names = [str(name) for (name,) in connection.execute(query)]
    return [name for name in names if "_fts" not in name and not name.startswith("sqlite_")]
