"""When the catalog is backed up: soon after each change, and at intervals.

Of what changed, the first change decides when: writes that go on and on keep no backup waiting. A
target that fails is tried again, after longer and longer times, and nothing else waits for it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.backups import (
    Backup,
    Backups,
    Series,
    check_backup_uri,
    open_backup_store,
)
from akidb_ray.catalog.sqlite.facts import read_facts
from akidb_ray.domain.errors import AkiDBError, Internal, InvalidArgument
from akidb_ray.domain.health import BackupStatus
from akidb_ray.domain.ids import ClusterId
from akidb_ray.settings import CatalogSettings

# A backup that takes long comes less often: at most a twentieth of the time goes to backups.
REST_PER_DURATION = 20.0
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
_SERIES = (Series.CHANGE, Series.SCHEDULE)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """What decides when the next backup is due. Times are seconds of one clock.

    `changed_at` is when the first change came that no backup of the series `change` holds, None
    without any; `schedule_behind` says the same of the series `schedule`.
    """

    delay_s: float
    interval_s: float
    scheduled_at: float
    changed_at: float | None = None
    schedule_behind: bool = False
    ended_at: float = 0.0
    duration_s: float = 0.0
    failures: int = 0


def due_at(timing: Timing, series: Series) -> float | None:
    """When a backup of the series is due, None while nothing changed."""
    if series is Series.CHANGE:
        if timing.changed_at is None:
            return None
        rested_at = timing.ended_at + REST_PER_DURATION * timing.duration_s
        wanted_at = max(timing.changed_at + timing.delay_s, rested_at)
    else:
        if not timing.schedule_behind:
            return None
        wanted_at = timing.scheduled_at + timing.interval_s
    if timing.failures == 0:
        return wanted_at
    retry_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(timing.failures - 1, 20))
    return max(wanted_at, timing.ended_at + retry_s)


class BackupLoop:
    """Backs up one catalog file, which may be written to meanwhile."""

    def __init__(
        self,
        file: Path,
        cluster_id: ClusterId,
        settings: CatalogSettings,
        clock: Callable[[], datetime],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives the times that backups are named after, `seconds` decides when they are
        due. Nothing is read or asked of the target yet. Raises InvalidArgument.
        """
        check_backup_uri(settings.backup_uri)
        if settings.backups_kept < 1:
            raise InvalidArgument("catalog.backups_kept", "must be at least 1")
        self._file = file
        self._cluster_id = cluster_id
        self._settings = settings
        self._clock = clock
        self._seconds = seconds
        self._backups: Backups | None = None
        self._newest: dict[Series, Backup] = {}
        self._version = 0
        self._changed = asyncio.Event()
        # Something may have changed that the process before this one backed up no more.
        now = seconds()
        delay_s, interval_s = settings.backup_delay_s, settings.backup_interval_s
        self._timing = Timing(delay_s, interval_s, now, changed_at=now, schedule_behind=True)
        self._error: AkiDBError | None = None

    @property
    def status(self) -> BackupStatus:
        newest = max(self._newest.values(), key=lambda backup: backup.age_order, default=None)
        return BackupStatus(
            where="" if self._backups is None else self._backups.where,
            version=None if newest is None else newest.version,
            taken_at=None if newest is None else newest.taken_at,
            behind=self._timing.changed_at is not None,
            error=None if self._error is None else self._error.detail,
        )

    def notify(self, version: int) -> None:
        """Say that the catalog has this version now. To be called in the loop that runs `run`."""
        if version > self._version:
            self._version = version
            if self._timing.changed_at is None:
                self._timing = replace(self._timing, changed_at=self._seconds())
            self._timing = replace(self._timing, schedule_behind=True)
            self._changed.set()

    async def run(self) -> None:
        """Back up whenever it is due, until cancelled."""
        while True:
            times = [(due_at(self._timing, series), series) for series in _SERIES]
            due = min(((at, series) for at, series in times if at is not None), default=None)
            if due is not None and due[0] <= self._seconds():
                await self._attempt(due[1])
            else:
                await self._wait(None if due is None else due[0] - self._seconds())

    async def _wait(self, seconds: float | None) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _attempt(self, series: Series) -> None:
        started_at = self._seconds()
        error: AkiDBError | None = None
        try:
            backup = await asyncio.to_thread(self._take, series)
        except AkiDBError as failed:
            error = failed
        except Exception as defect:
            _log.exception("backing up the catalog failed by a defect")
            error = Internal(f"{type(defect).__name__} in backing up the catalog")
        else:
            self._newest[series] = backup
            self._settle(series, backup, started_at)
        self._note(error)
        ended_at = self._seconds()
        failures = 0 if error is None else self._timing.failures + 1
        duration_s = ended_at - started_at
        self._timing = replace(
            self._timing, ended_at=ended_at, duration_s=duration_s, failures=failures
        )

    def _settle(self, series: Series, backup: Backup, started_at: float) -> None:
        behind = backup.version < self._version
        if series is Series.CHANGE:
            changed_at = started_at if behind else None
            self._timing = replace(self._timing, changed_at=changed_at)
        else:
            self._timing = replace(self._timing, scheduled_at=started_at, schedule_behind=behind)

    def _take(self, series: Series) -> Backup:
        """In a thread: take one, unless the newest there is as new as the file."""
        version = read_facts(self._file).version
        if self._backups is None:
            store = open_backup_store(self._settings.backup_uri, self._file.parent)
            backups = Backups(store, self._cluster_id)
            for backup in reversed(backups.list()):
                self._newest[backup.series] = backup
            self._backups = backups
        newest = self._newest.get(series)
        if newest is not None and newest.version == version:
            return newest
        kept = self._settings.backups_kept
        return self._backups.take(self._file, series, self._clock(), kept)

    def _note(self, error: AkiDBError | None) -> None:
        """Log the first failure of a kind, and the end of failing."""
        if error is not None and type(error) is not type(self._error):
            _log.warning("the catalog can't be backed up, and it is tried again: %s", error)
        if error is None and self._error is not None:
            _log.info("the catalog is backed up again")
        self._error = error
