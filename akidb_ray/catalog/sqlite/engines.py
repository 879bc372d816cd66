"""SQLAlchemy engines on one SQLite file, with explicit transactions.

Python's sqlite3 starts transactions when it sees fit: before INSERT, but not before DDL or SELECT,
so that a migration could not be rolled back and a snapshot was not one. Here the driver starts none
(`isolation_level = None`) and SQLAlchemy's "begin" event says BEGIN.

Files are opened in mode `rw`, which never makes a new one.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from akidb_ray.domain.errors import InvalidState

# STRICT tables came with 3.37.
OLDEST_SQLITE = (3, 37, 0)
BUSY_TIMEOUT_MS = 5000
POOL_TIMEOUT_S = 5.0


def require_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raise InvalidState when the SQLite library is too old for the catalog."""
    if version < OLDEST_SQLITE:
        found = ".".join(map(str, version))
        raise InvalidState(
            "the SQLite library", f"version {found}", "the catalog, which needs 3.37 or newer"
        )


def migration_engine(path: Path) -> Engine:
    """Synchronous, with foreign keys off: else rebuilding a table deletes its children's rows."""
    engine = create_engine(_url("sqlite", path), poolclass=NullPool, hide_parameters=True)
    _prepare(engine, {"foreign_keys": "OFF", "synchronous": "FULL"})
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def writer_engine(path: Path) -> AsyncEngine:
    """One connection. Each of its transactions takes the write lock at once, and is durable."""
    engine = create_async_engine(
        _url("sqlite+aiosqlite", path),
        pool_size=1,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,
    )
    pragmas = {"journal_mode": "WAL", "foreign_keys": "ON", "synchronous": "FULL"}
    _prepare(engine.sync_engine, pragmas)
    _begin_quickly(engine, "BEGIN IMMEDIATE")
    return engine


def reader_engine(path: Path, connections: int) -> AsyncEngine:
    """A pool of connections that can't write; each transaction sees one state of the catalog."""
    engine = create_async_engine(
        _url("sqlite+aiosqlite", path),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,
    )
    _prepare(engine.sync_engine, {"query_only": "ON"})
    _begin_quickly(engine, "BEGIN")
    return engine


def _url(driver: str, path: Path) -> URL:
    return URL.create(
        driver, database=path.absolute().as_uri(), query={"mode": "rw", "uri": "true"}
    )


def _prepare(engine: Engine, pragmas: Mapping[str, str]) -> None:
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name} = {value}")
        cursor.close()

    event.listen(engine, "connect", connected)


def _begin_quickly(engine: AsyncEngine, begin: str) -> None:
    """In one crossing to the connection's thread, where SQLAlchemy's cursor takes three."""

    def started(connection: Connection) -> None:
        adapted: Any = connection.connection.dbapi_connection
        adapted.run_async(lambda driver: driver.execute(begin))

    event.listen(engine.sync_engine, "begin", started)
