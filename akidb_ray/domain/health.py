"""How the catalog is, as its process tells it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """The newest backup, None while none is known. `behind` says that something has changed since.

    `error` says why the last attempt failed, or what else about the backups wants a person: older
    ones that can't be removed, or those of another course of the catalog.
    """

    where: str
    version: int | None = None
    taken_at: datetime | None = None
    behind: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogHealth:
    """`version` is that of the last change, `epoch` the term of the process."""

    version: int
    epoch: int
    backup: BackupStatus
