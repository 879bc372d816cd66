"""Copies of a catalog file: of one committed state, whole or not at all, verified by opening.

A copy is one file in SQLite's rollback mode. The one that it was made of may be open, and written
to, in any process: copying reads one snapshot of it and keeps no writer waiting.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from akidb_ray.catalog.sqlite.engines import BUSY_TIMEOUT_MS
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import Corrupt, NotFound

# What SQLite keeps beside a file: its write-ahead log, the log's index, its rollback journal.
_COMPANIONS = ("-wal", "-shm", "-journal")
_PAGES_PER_STEP = 1024
_MOST_PROBLEMS = 20


def copy_database(source: Path, target: Path) -> None:
    """Make `target`, or replace it, by a copy of the newest committed state of `source`, durably.

    After a crash `target` is as it was, and a file `<target>.copying` may be left, which the next
    copy removes. Raises NotFound without `source`, Corrupt when it or the copy is damaged,
    StorageFull, StorageFailed, Unavailable.
    """
    scratch = target.with_name(f"{target.name}.copying")
    with translated(target):
        remove_database(scratch)
    try:
        _copy(source, scratch)
        problems = check_database(scratch)
        if problems:
            raise Corrupt(str(source), f"its copy is damaged: {'; '.join(problems)}")
        with translated(target):
            sync(scratch)
            scratch.replace(target)
            sync(target.parent)
    finally:
        with translated(target):
            remove_database(scratch)


def check_database(path: Path) -> list[str]:
    """What SQLite finds wrong with a file: damaged pages and indexes, rows without their parents.

    Empty for a sound one. Reads only. Raises NotFound, StorageFailed, Unavailable.
    """
    try:
        with reading(path) as connection:
            return _problems(connection)
    except Corrupt as error:
        return [str(error.fields["reason"])]


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can't write, in a transaction: it sees one state until the end.

    Raises NotFound, Corrupt, StorageFailed, Unavailable.
    """
    with translated(path):
        if not path.exists():
            raise NotFound("catalog file", path)
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            connection.execute("BEGIN")
            # The snapshot is taken by the first read.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield connection


def companions(path: Path) -> list[Path]:
    """What SQLite may keep beside a file."""
    return [path.with_name(path.name + suffix) for suffix in _COMPANIONS]


def remove_database(path: Path) -> None:
    """Remove a file with all that SQLite keeps beside it, or find it gone. Raises OSError."""
    for each in (path, *companions(path)):
        each.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a directory, survive power loss. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(source: Path, scratch: Path) -> None:
    """In steps, within one read transaction: else each write meanwhile would start it again."""
    with translated(scratch):
        # It holds hashes of passwords and keys.
        scratch.touch(mode=0o600, exist_ok=False)
    with (
        reading(source) as connection,
        translated(scratch),
        closing(sqlite3.connect(scratch, isolation_level=None)) as copy,
    ):
        connection.backup(copy, pages=_PAGES_PER_STEP)
        # The copy is in the mode of its source. Out of write-ahead mode all of it is in one file.
        copy.execute("PRAGMA journal_mode = DELETE")


def _problems(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})").fetchall()
    problems = [str(message) for (message,) in found if message != "ok"]
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    problems += [
        f"row {row} of {table} names a row of {parent} that is not there"
        for table, row, parent, _ in orphans[:_MOST_PROBLEMS]
    ]
    return problems
