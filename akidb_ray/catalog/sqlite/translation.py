"""Errors of SQLite, SQLAlchemy and the file system become ours here, and go no further.

The text of a foreign error is used only in SQLite's own words, never with the statement's
parameters: those can hold password hashes.
"""

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from akidb_ray.domain.errors import (
    AkiDBError,
    AlreadyExists,
    Corrupt,
    Internal,
    InvalidArgument,
    NotFound,
    StorageFailed,
    StorageFull,
    Unavailable,
)

# Primary result codes, https://www.sqlite.org/rescode.html; the low byte of an extended code.
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FAILED = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}

_REFUSED_VALUES = {
    "SQLITE_CONSTRAINT_CHECK",
    "SQLITE_CONSTRAINT_NOTNULL",
    "SQLITE_CONSTRAINT_DATATYPE",
}


@contextmanager
def translated(file: Path) -> Iterator[None]:
    """Raise StorageFull, StorageFailed, Corrupt, Unavailable or Internal for foreign errors."""
    try:
        yield
    except DBAPIError as error:
        raise _of_sqlite(error.orig, file) from error
    except sqlite3.Error as error:
        raise _of_sqlite(error, file) from error
    except PoolTimeout as error:
        raise Unavailable("the catalog is busy: no connection became free in time") from error
    except SQLAlchemyError as error:
        raise Internal(f"the catalog failed: {type(error).__name__}") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = StorageFull if full else StorageFailed
        raise kind(f"{file}: {error.strerror}") from error


def _of_sqlite(error: BaseException | None, file: Path) -> AkiDBError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(f"no room left for the catalog {file}")
    if code in _BUSY:
        return Unavailable(f"another process holds the catalog {file}")
    if code in _CORRUPT:
        return Corrupt(str(file), str(error))
    if code in _FAILED:
        return StorageFailed(f"the catalog {file}: {error}")
    return Internal(f"the catalog refused a statement: {error}")


@contextmanager
def refusals(table: Table, values: Mapping[str, Any]) -> Iterator[None]:
    """Raise AlreadyExists, NotFound (of the parent) or InvalidArgument when `values` break a rule.

    `values` are the columns being written to `table`.
    """
    try:
        yield
    except sqlite3.IntegrityError as error:
        refusal = _refusal(error, table, values)
        if refusal is None:
            raise
        raise refusal from error
    except (OverflowError, UnicodeEncodeError) as error:
        # The driver doesn't say which; SQLite holds integers of 64 bits, and text as UTF-8.
        name = next((name for name, value in values.items() if not _storable(value)), "")
        raise InvalidArgument(name, "is not a value that the catalog can hold") from error


def _refusal(
    error: sqlite3.IntegrityError, table: Table, values: Mapping[str, Any]
) -> AkiDBError | None:
    rule = error.sqlite_errorname
    # "UNIQUE constraint failed: databases.tenant_id, databases.name": the last is the one chosen.
    # "CHECK constraint failed: dimension": our constraints have their column's name.
    column = str(error).rsplit(": ", 1)[-1].rsplit(".", 1)[-1]
    if rule in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return AlreadyExists(table.info["kind"], column, values.get(column))
    # "cannot store TEXT value in INTEGER column tenants.qps_quota"
    column = column.rsplit(" ", 1)[-1]
    if rule in _REFUSED_VALUES:
        return InvalidArgument(column, "is not a value that the catalog allows")
    if rule == "SQLITE_CONSTRAINT_FOREIGNKEY":
        # SQLite doesn't say which key; a table of ours that a caller writes to has one parent.
        key = next(iter(table.foreign_keys))
        return NotFound(key.column.table.info["kind"], values.get(key.parent.name))
    return None


def _storable(value: object) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return True
