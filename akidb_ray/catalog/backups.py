"""Backups of the catalog: copies of its file in a folder or an object store.

Each cluster has a folder of its own there, named by its id, so that two that share a bucket never
touch each other's. A backup's name says what is in it, and holds the checksum of its bytes: a name
and content that belong together need no other record, and no half of one passes for a whole.

The newest is the one that was taken last, whatever its version: a data folder that was put back
goes on from a lower one. So each gets a time after those of all that are there, also where clocks
went back. It is fetched again and opened before older ones of its series are removed.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path, PurePosixPath

from akidb_ray.catalog.content import content_digest
from akidb_ray.catalog.sqlite.copying import check_database, copy_database
from akidb_ray.catalog.sqlite.facts import CatalogFacts, read_facts
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import AkiDBError, Corrupt, InvalidArgument, NotFound, StorageFailed
from akidb_ray.domain.ids import ClusterId
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.object_store import ObjectStore, open_object_store
from akidb_ray.storage.os_filesystem import OsFileSystem

BACKUPS_FOLDER = "backups"
_NAME = re.compile(
    r"(change|schedule|manual|left)-([0-9]{12,})-([0-9]{8,})-([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{8})\.sqlite"
)
_URI_FIELD = "catalog.backup_uri"
_TIME = "%Y%m%dT%H%M%SZ"
_WORK_PREFIX = ".backup-"
_WORK_AGE_S = 3600.0


class Series(StrEnum):
    """Backups of a series are removed only for newer ones of the same; those `left` never are."""

    CHANGE = "change"
    SCHEDULE = "schedule"
    MANUAL = "manual"
    LEFT = "left"
    """Of a course that the catalog left when an older data folder was put back."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup's name says: the catalog's version and epoch in it, when it was taken, and the
    CRC-32C of its bytes.
    """

    series: Series
    version: int
    epoch: int
    taken_at: datetime
    checksum: int

    @property
    def name(self) -> str:
        return (
            f"{self.series}-{self.version:012d}-{self.epoch:08d}"
            f"-{self.taken_at.astimezone(UTC):{_TIME}}-{self.checksum:08x}.sqlite"
        )

    @property
    def age_order(self) -> tuple[datetime, int, int]:
        """Larger for a newer one. Names know whole seconds only, and so does this."""
        return self.taken_at.replace(microsecond=0), self.epoch, self.version


def parse_backup(name: str) -> Backup | None:
    """None for the name of anything else."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        taken_at = datetime.strptime(found[4], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Backup(Series(found[1]), int(found[2]), int(found[3]), taken_at, int(found[5], 16))


def surplus(backups: list[Backup], series: Series, keep: int) -> list[Backup]:
    """Those of a series beyond the `keep` newest, at least 1."""
    own = sorted((b for b in backups if b.series is series), key=lambda b: b.age_order)
    return own[: -max(1, keep)]


def taken_after(backups: Iterable[Backup], backup: Backup) -> Backup:
    """The backup, with a later time if it would not be the newest of all."""
    newest = max((b.age_order for b in backups), default=None)
    if newest is None or backup.age_order > newest:
        return backup
    return replace(backup, taken_at=newest[0] + timedelta(seconds=1))


def of_another_course(
    backups: Iterable[Backup], version: int, epoch: int, *, known_course: bool
) -> list[Backup]:
    """Those that a catalog just opened, now at `version` and in the term `epoch`, can't have made.

    Each opening begins a term above all before it, and no version is lower than the one before: so
    a backup that is further belongs to a course that was left, with all that were taken before it.
    On a `known_course` the term says nothing: the newest backup has the same content.
    """
    own = [b for b in backups if b.series is not Series.LEFT]
    ahead = [
        b.age_order
        for b in own
        if b.series is not Series.MANUAL
        and (b.version > version or (b.epoch >= epoch and not known_course))
    ]
    return [b for b in own if ahead and b.age_order <= max(ahead)]


class Backups:
    """The backups of one cluster in a store. Methods block.

    All raise StorageFull and StorageFailed.
    """

    def __init__(self, store: ObjectStore, cluster_id: ClusterId) -> None:
        self.where = f"{store.where}/{cluster_id}"
        self._store = store
        self._cluster_id = cluster_id

    def list(self) -> list[Backup]:
        """The newest first."""
        found = map(parse_backup, self._store.list(str(self._cluster_id)))
        backups = [backup for backup in found if backup is not None]
        return sorted(backups, key=lambda backup: backup.age_order, reverse=True)

    def take(self, file: Path, series: Series, now: datetime, keep: int) -> Backup:
        """`add`, then `prune`. Raises StorageFailed, which says so, when only that fails."""
        backup = self.add(file, series, now)
        try:
            self.prune(series, keep)
        except AkiDBError as error:
            reason = f"{backup.name} was taken, but older ones can't be removed: {error.detail}"
            raise StorageFailed(reason) from error
        return backup

    def add(self, file: Path, series: Series, now: datetime) -> Backup:
        """Back up the catalog at `file`, which may be in use.

        Raises NotFound without the file, InvalidArgument when it is another cluster's, Corrupt.
        """
        with _work_folder(file.parent) as folder:
            copy_database(file, folder / "copy")
            facts = self._own(folder / "copy")
            content = OsFileSystem(folder).map(PurePosixPath("copy"))
            backup = Backup(series, facts.version, facts.epoch, now, crc32c(content))
            backup = taken_after(self.list(), backup)
            self._store.put(self._path(backup), content)
            try:
                self.fetch(backup, folder / "fetched")
            except Corrupt:
                self._store.remove(self._path(backup))
                raise
        return backup

    def prune(self, series: Series, keep: int) -> None:
        """Remove all of a series but the newest `keep`, at least 1."""
        for old in surplus(self.list(), series, keep):
            self._store.remove(self._path(old))

    def set_aside(self, backups: Iterable[Backup]) -> None:
        """Move these to the series `left`. After a failure some are moved; do it again.

        Raises Corrupt when one did not arrive whole. It is still there under its old name.
        """
        there = set(self._store.list(str(self._cluster_id)))
        for backup in backups:
            left = replace(backup, series=Series.LEFT)
            with contextlib.suppress(NotFound):
                if left.name not in there:
                    content = self._store.get(self._path(backup))
                    self._store.put(self._path(left), content)
                    if self._store.get(self._path(left)) != content:
                        self._store.remove(self._path(left))
                        raise Corrupt(f"{self.where}/{left.name}", "did not arrive whole")
                self._store.remove(self._path(backup))

    def holds(self, backup: Backup, file: Path) -> bool:
        """Whether a good backup has all that the catalog at `file` has. Raises NotFound, Corrupt
        without a good `file`.
        """
        with _work_folder(file.parent) as folder:
            try:
                self.fetch(backup, folder / "fetched")
                held = content_digest(folder / "fetched")
            except (NotFound, Corrupt, InvalidArgument):
                return False
            return held == content_digest(file)

    def fetch(self, backup: Backup, target: Path) -> CatalogFacts:
        """Make `target` by the content of a backup, verified by opening it.

        Raises NotFound, and Corrupt when it is not what was backed up.
        """
        content = self._store.get(self._path(backup))
        if crc32c(content) != backup.checksum:
            raise Corrupt(f"{self.where}/{backup.name}", "its checksum does not fit")
        with translated(target):
            _write_private(target, content)
        problems = check_database(target)
        if problems:
            raise Corrupt(f"{self.where}/{backup.name}", "; ".join(problems))
        return self._own(target)

    def find(self, name: str) -> Backup:
        """Raises NotFound."""
        for backup in self.list():
            if backup.name == name:
                return backup
        raise NotFound("backup", f"{self.where}/{name}")

    def _path(self, backup: Backup) -> str:
        return f"{self._cluster_id}/{backup.name}"

    def _own(self, file: Path) -> CatalogFacts:
        facts = read_facts(file)
        if facts.cluster_id != self._cluster_id:
            reason = f"is of cluster {facts.cluster_id}, not of {self._cluster_id}"
            raise InvalidArgument("backup", reason)
        return facts


def open_backup_store(uri: str, catalog_folder: Path) -> ObjectStore:
    """Where `backup_uri` says; "" is a folder beside the catalog.

    Raises InvalidArgument, StorageFailed.
    """
    check_backup_uri(uri)
    return open_object_store(uri or str(catalog_folder / BACKUPS_FOLDER), _URI_FIELD)


def check_backup_uri(uri: str) -> None:
    """Raises InvalidArgument for a folder that would depend on where a process was started."""
    if uri and "://" not in uri and not Path(uri).is_absolute():
        # It may be a URI with a slip in it, and what stands before an '@' a secret.
        _, at, rest = uri.rpartition("@")
        shown = f"***@{rest}" if at else uri
        reason = f"{shown!r} must be an absolute path, or a URI as in s3://bucket/prefix"
        raise InvalidArgument(_URI_FIELD, reason)


def clusters_in(store: ObjectStore) -> list[ClusterId]:
    """Those that have backups there."""
    found = []
    for name in store.list():
        with contextlib.suppress(InvalidArgument):
            cluster_id = ClusterId.parse(name)
            if Backups(store, cluster_id).list():
                found.append(cluster_id)
    return found


def _write_private(target: Path, content: bytes) -> None:
    """Make a file anew. It holds hashes of passwords and keys."""
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


@contextlib.contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """A folder for one copy. Those that killed processes left are removed."""
    with translated(parent):
        for left in parent.glob(f"{_WORK_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _WORK_AGE_S:
                    shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=parent) as folder:
            yield Path(folder)
