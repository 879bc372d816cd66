"""A database file becomes another one at one instant, and until then is as it was.

What is new is made in a folder beside the file, which a crash leaves and the next attempt removes.
The file's own companions (write-ahead log, its index) are folded into it first: left beside a file
that takes its name, they would be replayed into it.
"""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from akidb_ray.catalog.sqlite.copying import companions, copy_database, remove_database, sync
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import Corrupt, Unavailable

_STAMP = "%Y%m%dT%H%M%S%fZ"
_BACKUP = re.compile(r"(.+)\.before-v1-[0-9]{8}T[0-9]{12}Z")


def backup_path(file: Path, now: datetime) -> Path:
    """Where the file is backed up by a migration at `now`. The names sort by time."""
    return file.with_name(f"{file.name}.before-v1-{now.astimezone(UTC):{_STAMP}}")


def aside_path(file: Path, now: datetime) -> Path:
    """Where a file is kept that is rolled back at `now`, though something in it is lost then."""
    return file.with_name(f"{file.name}.rolled-back-{now.astimezone(UTC):{_STAMP}}")


def backups_of(file: Path) -> list[Path]:
    """Those that migrations made of a database file, the newest first. Raises StorageFailed."""
    with translated(file.parent):
        paths = sorted(file.parent.iterdir(), reverse=True)
    matches = ((path, _BACKUP.fullmatch(path.name)) for path in paths)
    return [path for path, match in matches if match is not None and match[1] == file.name]


@contextmanager
def work_folder(file: Path) -> Iterator[Path]:
    """An empty folder on the disk of the file, gone at the end. The catalog must be locked."""
    folder = file.with_name(f".{file.name}.v1-work")
    with translated(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        # What is left of it is in nobody's way: the next attempt removes it.
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(new: Path, file: Path) -> None:
    """`new` becomes `file`, which may be missing, durably. Crash: `file` is the old or the new.

    The owner and the mode of the old one stay. Raises Unavailable when another process has either
    open, StorageFull, StorageFailed.
    """
    fold(new)
    with translated(file):
        if file.exists():
            fold(file)
            _copy_owner(file, new)
        sync(new)
        new.replace(file)
        sync(file.parent)


def remove_in_place(file: Path) -> None:
    """Remove the database file, durably. Raises Unavailable when another process has it open."""
    fold(file)
    with translated(file):
        remove_database(file)
        sync(file.parent)


def fold(file: Path) -> None:
    """Make the database one file without companions. Fails when another process has it open."""
    uri = f"{file.absolute().as_uri()}?mode=rw"
    with (
        translated(file),
        closing(sqlite3.connect(uri, uri=True, timeout=0.0, isolation_level=None)) as connection,
    ):
        # Leaving write-ahead mode takes a lock that nobody gets beside another connection.
        (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    if mode != "delete":
        raise Unavailable(f"another process has {file} open")


def copy_with_owner(source: Path, target: Path) -> None:
    """Copy a database file, durably, for the eyes of who may see the first. See `copy_database`."""
    copy_database(source, target)
    with translated(target):
        _copy_owner(source, target)


def _copy_owner(source: Path, target: Path) -> None:
    """The server that wrote the old file must be able to write the new one. Raises OSError."""
    known = source.stat()
    if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(target, known.st_uid, known.st_gid)
    shutil.copymode(source, target)


def check_no_stray_log(file: Path) -> None:
    """Raise Corrupt when a log lies where a missing file was: its last changes are in there."""
    with translated(file):
        for stray in companions(file):
            if not file.exists() and stray.exists():
                raise Corrupt(str(stray), "belongs to a catalog file that is gone; restore it")
