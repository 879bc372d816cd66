"""How the catalog is, as its process tells it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """The newest backup, None while none is known, and why the last attempt failed, if it did.

    `behind` says that something has changed since.
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
