"""What a catalog file says of itself, read and set without opening it as a catalog."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from akidb_ray.catalog.sqlite.copying import reading
from akidb_ray.catalog.sqlite.engines import BUSY_TIMEOUT_MS
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import Corrupt
from akidb_ray.domain.ids import ClusterId


@dataclass(frozen=True, slots=True)
class CatalogFacts:
    """Whose catalog it is, the version of its last change, and the term of its last opening."""

    cluster_id: ClusterId
    version: int
    epoch: int


def read_facts(path: Path) -> CatalogFacts:
    """Of a file of any schema. Raises NotFound, Corrupt when it is no catalog, StorageFailed."""
    with reading(path) as connection:
        connection.row_factory = sqlite3.Row
        try:
            row = connection.execute("SELECT * FROM catalog_meta").fetchone()
        except sqlite3.OperationalError:
            row = None
    if row is None:
        raise Corrupt(str(path), "does not say which cluster it belongs to")
    # Files of before schema 005 have no epoch.
    epoch = row["epoch"] if "epoch" in row.keys() else 0  # noqa: SIM118 - a Row holds values
    return CatalogFacts(ClusterId(UUID(bytes=row["cluster_id"])), row["catalog_version"], epoch)


def begin_anew(path: Path, version: int, epoch: int) -> None:
    """Give the file this version and term and forget its changes, durably: whoever followed another
    file takes the whole of this one. It must have the newest schema, and nobody may have it open.

    Raises StorageFull, StorageFailed, Corrupt, Unavailable.
    """
    with translated(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE catalog_meta SET catalog_version = ?, epoch = ?", (version, epoch)
        )
        connection.execute("DELETE FROM changes")
        connection.execute("COMMIT")
