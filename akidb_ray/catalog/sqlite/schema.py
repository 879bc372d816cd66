"""The schema's version: what a file has, what this release knows, and the way between them.

Migrations go forward only, each in one transaction with foreign keys off and checked before the
commit. A file of a newer release, or one that is no catalog, is refused before anything writes
to it.
"""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from akidb_ray.catalog.sqlite.engines import migration_engine
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import Corrupt, InvalidState

MIGRATIONS = Path(__file__).with_name("migrations")

# Alembic keeps the migration that runs in module-level names.
_alembic_lock = threading.Lock()


def upgrade(path: Path, migrations: Path = MIGRATIONS) -> None:
    """Bring the file to the newest schema; an empty file becomes a catalog without rows.

    A migration that fails leaves the file as the one before it did, and its error is raised:
    StorageFull, StorageFailed, Corrupt, Unavailable, Internal.
    """
    config = _config(migrations)
    engine = migration_engine(path)
    with _alembic_lock, translated(path), engine.connect() as connection:
        config.attributes["connection"] = connection
        config.attributes["file"] = str(path)
        command.upgrade(config, "head")


def require_known_schema(path: Path, migrations: Path = MIGRATIONS) -> None:
    """Raise InvalidState when a newer release made the file, Corrupt when it is no catalog."""
    script = _script(migrations)
    found = schema_version(path)
    if found is None:
        raise Corrupt(str(path), "is not a catalog: it has no schema version")
    if found not in {revision.revision for revision in script.walk_revisions()}:
        newest = script.get_current_head()
        raise InvalidState(
            f"the catalog {path}",
            f"at schema version {found}",
            f"being opened by this release, which knows versions up to {newest}; "
            "use the release that wrote it, or a newer one",
        )


def newest_schema(migrations: Path = MIGRATIONS) -> str:
    """The one that this release writes."""
    newest = _script(migrations).get_current_head()
    assert newest is not None
    return newest


def schema_version(path: Path) -> str | None:
    """None for a file that is no catalog.

    Read without any right to write, so that a file which is refused stays as it is.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with translated(path), closing(sqlite3.connect(uri, uri=True)) as connection:
        table = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
        if connection.execute(table).fetchone() is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _config(migrations: Path) -> Config:
    config = Config()
    # The parser of ini files, which is behind this, gives '%' a meaning.
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _script(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(migrations))
