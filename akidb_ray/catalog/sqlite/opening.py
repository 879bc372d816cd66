"""Opening a catalog file: checked, copied before it is migrated, and taken over.

Each opening begins a term: it raises the epoch in the file, and each write checks that it is still
its own. So a process that was thought dead, and is not, changes nothing any more.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.sqlite.copying import copy_database
from akidb_ray.catalog.sqlite.creation import First, create_catalog_file
from akidb_ray.catalog.sqlite.database import CatalogDatabase
from akidb_ray.catalog.sqlite.engines import require_sqlite
from akidb_ray.catalog.sqlite.identity import Standing, begin_term, read_standing
from akidb_ray.catalog.sqlite.schema import (
    MIGRATIONS,
    newest_schema,
    require_known_schema,
    schema_version,
    upgrade,
)
from akidb_ray.domain.errors import Corrupt, NotFound


async def prepare_file(
    path: Path, clock: Callable[[], datetime], *, create: bool, fill: First
) -> None:
    """Have a file of today's schema at `path`.

    Raises NotFound for a missing file without `create`, InvalidState when a newer release wrote it
    or SQLite is too old, Corrupt when it is no catalog.
    """
    require_sqlite()
    if await asyncio.to_thread(path.exists):
        await asyncio.to_thread(bring_up_to_date, path)
    elif create:
        await create_catalog_file(path, clock(), fill)
    else:
        raise NotFound("catalog file", path)


def bring_up_to_date(path: Path, migrations: Path = MIGRATIONS) -> None:
    """Migrate a file of an older release, after copying it to `<name>.before-<newest schema>`.

    Raises InvalidState and Corrupt, like `require_known_schema`, for a file that is left untouched.
    """
    require_known_schema(path, migrations)
    found, newest = schema_version(path), newest_schema(migrations)
    if found == newest:
        return
    copy = path.with_name(f"{path.name}.before-{newest}")
    # A copy of a still older schema is that of an attempt which stopped between two migrations: it
    # is the one to go back to.
    if not copy.exists() or schema_version(copy) == found:
        copy_database(path, copy)
    upgrade(path, migrations)


async def begin_term_of(database: CatalogDatabase) -> Standing:
    """Take the catalog over. Raises Corrupt when it doesn't say whose it is."""
    async with database.writing() as connection:
        await begin_term(connection)
        standing = await read_standing(connection)
        if standing is None:
            raise Corrupt(str(database.path), "does not say which cluster it belongs to")
        return standing
