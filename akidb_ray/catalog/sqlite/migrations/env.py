"""Alembic's entry: runs each migration, and the move of the version number, in one transaction.

SQLAlchemy's own support calls SQLite's DDL not transactional, because the driver starts no
transaction before it. `catalog.engines` makes BEGIN explicit, so here it is.
"""

from typing import Any

from alembic import context
from sqlalchemy import Connection

from akidb_ray.domain.errors import Corrupt

connection: Connection = context.config.attributes["connection"]


def refuse_orphans(*_: Any, **__: Any) -> None:
    """Foreign keys are off while migrations run, so look for orphans before each commit."""
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if orphans:
        file = context.config.attributes["file"]
        table, _, parent, _ = orphans[0]
        raise Corrupt(file, f"a migration left {len(orphans)} rows of {table} without {parent}")


context.configure(
    connection=connection,
    transactional_ddl=True,
    transaction_per_migration=True,
    on_version_apply=refuse_orphans,
)
with context.begin_transaction():
    context.run_migrations()
