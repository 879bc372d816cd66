"""Restoring the catalog from a backup, and the file that is kept aside for it.

The new file is made ready under another name, and takes the place of the old one by one rename;
before that all of the old one is in one file, so no log of it can be replayed into the new one. A
crash leaves the old catalog or the new. One that is too damaged to be folded is moved aside first:
a crash then leaves none, which no server takes for an empty one while there are stores.

Whoever followed the old catalog has to take the whole of the new one: so its version and its epoch
are above all that are known, and it says nothing of changes.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from akidb_ray.catalog.backups import Backup, Backups
from akidb_ray.catalog.sqlite.copying import companions, remove_database, sync
from akidb_ray.catalog.sqlite.engines import BUSY_TIMEOUT_MS
from akidb_ray.catalog.sqlite.facts import CatalogFacts, begin_anew, read_facts
from akidb_ray.catalog.sqlite.schema import require_known_schema, upgrade
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import (
    AkiDBError,
    Corrupt,
    InvalidArgument,
    InvalidState,
    NotFound,
    Unavailable,
)
from akidb_ray.storage.os_filesystem import OsFileSystem

LOCK = PurePosixPath("LOCK")
# More changes, and more starts, than can have come since the newest backup.
LEAP = 1_000_000


@dataclass(frozen=True, slots=True)
class Restored:
    """`skipped` says which newer backups were no good, and why; `kept` is the folder with the file
    that was there, None if there was none.
    """

    backup: Backup
    version: int
    skipped: tuple[str, ...]
    kept: Path | None


def restore(
    file: Path, backups: Backups, name: str | None, now: datetime, lock_wait_s: float = 1.0
) -> Restored:
    """Put a backup in the place of the catalog at `file`: the one named, else the newest good one.

    Raises Unavailable while a process holds the catalog, NotFound, Corrupt when no backup is good,
    InvalidState for one of a newer release, InvalidArgument for one of another cluster,
    StorageFull, StorageFailed. The catalog is then as it was.
    """
    with catalog_lock(file.parent, lock_wait_s):
        fetched = file.with_name(f"{file.name}.restoring")
        with translated(fetched):
            remove_database(fetched)
        try:
            backup, skipped = _fetch(backups, name, fetched)
            upgrade(fetched)
            seen = _seen(file, backups, read_facts(fetched))
            version = max(facts.version for facts in seen) + LEAP
            begin_anew(fetched, version, max(facts.epoch for facts in seen) + LEAP)
            kept = put_in_place(fetched, file, now)
        finally:
            with translated(fetched):
                remove_database(fetched)
    return Restored(backup, version, skipped, kept)


@contextlib.contextmanager
def catalog_lock(folder: Path, wait_s: float = 1.0) -> Iterator[None]:
    """Hold the folder as a server does. Raises Unavailable while one runs on it."""
    fs = OsFileSystem(folder)
    try:
        lock = fs.lock(LOCK, wait_s)
    except Unavailable:
        raise Unavailable(f"a server runs on {folder}; stop it first") from None
    try:
        yield
    finally:
        lock.release()


def put_in_place(ready: Path, file: Path, now: datetime) -> Path | None:
    """Rename `ready` to `file`, durably; what was there is copied first, to the folder returned.

    The catalog's lock must be held.
    """
    with translated(file):
        sync(ready)
        present = [path for path in (file, *companions(file)) if path.exists()]
        kept = _keep_aside(file, present, now) if present else None
        if present and not _folded(file):
            # The file goes before its log: the file alone would be an older state of the catalog.
            for path in present:
                path.unlink()
                sync(file.parent)
        # It holds hashes of passwords and keys.
        ready.chmod(0o600)
        _set_owner(ready, file if file.exists() else file.parent)
        ready.rename(file)
        sync(file.parent)
    return kept


def _fetch(backups: Backups, name: str | None, target: Path) -> tuple[Backup, tuple[str, ...]]:
    """Which backup is in `target` now, and what was wrong with newer ones."""
    if name is not None:
        backup = backups.find(name)
        _fetch_known(backups, backup, target)
        return backup, ()
    skipped: list[str] = []
    for backup in backups.list():
        try:
            _fetch_known(backups, backup, target)
        except (Corrupt, InvalidArgument, InvalidState, NotFound) as error:
            skipped.append(f"{backup.name}: {error.fields.get('reason', error.detail)}")
        else:
            return backup, tuple(skipped)
    if skipped:
        raise Corrupt(backups.where, f"holds no good backup: {'; '.join(skipped)}")
    raise NotFound("backup", backups.where)


def _fetch_known(backups: Backups, backup: Backup, target: Path) -> None:
    """Errors name the backup: `target` is gone when they are read."""
    name = f"{backups.where}/{backup.name}"
    try:
        backups.fetch(backup, target)
        require_known_schema(target)
    except Corrupt as error:
        raise Corrupt(name, error.fields["reason"]) from error
    except InvalidState as error:
        current, wanted = error.fields["current"], error.fields["wanted"]
        raise InvalidState(f"the backup {name}", current, wanted) from error
    except InvalidArgument as error:
        raise InvalidArgument("backup", f"{name} {error.fields['reason']}") from error


def _seen(file: Path, backups: Backups, fetched: CatalogFacts) -> list[CatalogFacts]:
    """Versions and epochs that somebody may have followed."""
    seen = [fetched]
    seen += [CatalogFacts(fetched.cluster_id, b.version, b.epoch) for b in backups.list()]
    # The file may be missing, or be damaged: that is why it is replaced.
    with contextlib.suppress(AkiDBError):
        seen.append(read_facts(file))
    return seen


def _keep_aside(file: Path, present: Sequence[Path], now: datetime) -> Path:
    """Copy the files as they are, durably and whole or not at all, into a folder of their own."""
    name = f"{file.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
    kept = file.with_name(name)
    scratch = file.with_name(f"{name}.copying")
    for left in file.parent.glob(f"{file.name}.replaced-*.copying"):
        shutil.rmtree(left)
    scratch.mkdir(mode=0o700)
    for path in present:
        sync(Path(shutil.copyfile(path, scratch / path.name)))
    sync(scratch)
    scratch.rename(kept)
    sync(file.parent)
    return kept


def _folded(file: Path) -> bool:
    """Bring all that is committed into the file itself. False for one that is missing, or too
    damaged for that. Raises Unavailable when another process has it open.
    """
    if not file.exists():
        return False
    try:
        with translated(file), closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except Corrupt:
        return False
    if mode != "delete":
        raise Unavailable(f"another process has {file} open")
    return file.exists() and not any(path.exists() for path in companions(file))


def _set_owner(file: Path, like: Path) -> None:
    """A command that root runs must leave a file that the server's own user may write."""
    known = like.stat()
    if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(file, known.st_uid, known.st_gid)
