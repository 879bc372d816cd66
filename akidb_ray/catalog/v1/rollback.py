"""Undoing a migration: the catalog as it was before, when nothing else has happened to it since.

No record is kept of a migration besides the backup that it made, so none can be at odds with the
file after a crash: the backup to go back to is the newest that lacks tenants of a migration which
the file has. Without one, a migration made the file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.restoring import catalog_lock
from akidb_ray.catalog.sqlite.copying import copy_database
from akidb_ray.catalog.sqlite.facts import begin_anew, read_facts
from akidb_ray.catalog.sqlite.schema import require_known_schema, upgrade
from akidb_ray.catalog.v1.log import MigrationLog
from akidb_ray.catalog.v1.losses import (
    losses_by_removing,
    losses_by_replacing,
    migrated_tenants,
)
from akidb_ray.catalog.v1.swapping import (
    aside_path,
    backups_of,
    copy_with_owner,
    put_in_place,
    remove_in_place,
    work_folder,
)
from akidb_ray.domain.errors import InvalidState, NotFound


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """`backup` is what the file was made of again; None: it is removed, as a migration made it.

    `tenants` is the number of those of 1.x that are gone with it. `lost` says, in words, what else
    is not in the restored file; `aside` is where the former file is kept then. `log_problem`: why
    the end of the rollback is not in the log.
    """

    database: Path
    backup: Path | None
    aside: Path | None
    tenants: int
    lost: tuple[str, ...]
    log_problem: str


def rollback(
    database: Path, clock: Callable[[], datetime], *, force: bool = False
) -> RollbackReport:
    """Undo the newest migration whose tenants are in the catalog at `database`.

    With `force` also when that loses something; the former file is kept beside it then. Raises
    InvalidState when there is no such migration, or something would be lost without `force`;
    NotFound without the file, Unavailable while a server has it, Corrupt, StorageFull,
    StorageFailed. Crash: the file is the old or the new.
    """
    file = database.resolve()
    if not file.exists():
        raise NotFound("catalog file", file)
    with catalog_lock(file.parent, wait_s=0.0), work_folder(file) as folder:
        require_known_schema(file)
        backup, migrated = _newest_migration(file)
        work = None if backup is None else _restored(backup, folder / file.name)
        lost = losses_by_removing(file) if work is None else losses_by_replacing(file, work)
        if lost and not force:
            raise InvalidState(
                f"the catalog {file}",
                f"changed since the migration ({', '.join(lost)})",
                "rollback, which would lose that; --force keeps the present file beside it",
            )
        log = MigrationLog(file.parent, clock)
        log.write([f"rollback of {file} begins: {backup or 'it was made by a migration'}"])
        aside = aside_path(file, clock()) if lost else None
        if aside is not None:
            copy_with_owner(file, aside)
        if work is None:
            remove_in_place(file)
        else:
            # Whoever followed the migrated catalog must take this one for a newer one.
            facts = read_facts(file)
            begin_anew(work, facts.version + 1, facts.epoch)
            put_in_place(work, file)
        problem = log.conclude(f"rollback done: {migrated} tenants of 1.x are gone")
    return RollbackReport(file, backup, aside, migrated, lost, problem)


def _newest_migration(file: Path) -> tuple[Path | None, int]:
    """The backup that it made, None when it made the file, and how many tenants it brought."""
    present = migrated_tenants(file)
    for backup in backups_of(file):
        # One that has them all is of a migration that never came to its end, or was rolled back.
        if brought := present - migrated_tenants(backup):
            return backup, len(brought)
    if not present:
        raise InvalidState(f"the catalog {file}", "without tenants of AkiDB 1.x", "rollback")
    return None, len(present)


def _restored(backup: Path, work: Path) -> Path:
    """A copy of the backup, of today's schema."""
    require_known_schema(backup)
    copy_database(backup, work)
    upgrade(work)
    return work
