"""When the catalog is backed up: soon after each change, and at intervals.

Of what changed, the first change decides when: writes that go on and on keep no backup waiting. A
target that fails is tried again, after longer and longer times, and nothing else waits for it.

Backups at the target that this catalog can't have made are of a course that it left, when an older
data folder was put back. They are told of, moved out of the way of its own, and never removed.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.backups import (
    Backup,
    Backups,
    Series,
    check_backup_uri,
    of_another_course,
    open_backup_store,
)
from akidb_ray.catalog.sqlite.facts import CatalogFacts, read_facts
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
        self._untidy: AkiDBError | None = None
        self._began: CatalogFacts | None = None
        self._left = ""
        self._to_set_aside: list[Backup] = []

    @property
    def status(self) -> BackupStatus:
        newest = max(self._newest.values(), key=lambda backup: backup.age_order, default=None)
        return BackupStatus(
            where="" if self._backups is None else self._backups.where,
            version=None if newest is None else newest.version,
            taken_at=None if newest is None else newest.taken_at,
            behind=self._timing.changed_at is not None,
            error="; ".join(self._problems()) or None,
        )

    def _problems(self) -> Iterator[str]:
        if self._error is not None:
            yield self._error.detail
        if self._untidy is not None:
            yield f"older backups can't be removed: {self._untidy.detail}"
        if self._left:
            yield self._left

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
        except Exception as failed:
            error = _ours(failed)
        else:
            self._newest[series] = backup
            self._settle(series, backup, started_at)
            await self._tidy(series)
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
        facts = read_facts(self._file)
        # A target that is away for long must not be compared with what came about meanwhile.
        self._began = self._began or facts
        if self._backups is None:
            self._backups = self._look(self._began, facts.version)
        newest = self._newest.get(series)
        if newest is not None and newest.version == facts.version:
            return newest
        return self._backups.add(self._file, series, self._clock())

    def _look(self, began: CatalogFacts, version: int) -> Backups:
        """What the target has: which are this catalog's newest, and which are not its own.

        The catalog is at `version` now.
        """
        store = open_backup_store(self._settings.backup_uri, self._file.parent)
        backups = Backups(store, self._cluster_id)
        found = backups.list()
        newest = {b.series: b for b in reversed(found) if b.series in _SERIES}
        # One of the same version may be of another course. What it holds says whether.
        same = {s: b for s, b in newest.items() if b.version == version}
        held = {s: b for s, b in same.items() if backups.holds(b, self._file)}
        others = of_another_course(found, began.version, began.epoch, known_course=bool(held))
        own = {s: b for s, b in newest.items() if s not in same and b not in others}
        left = next((b for b in found if b in others or b.series is Series.LEFT), None)
        if left is not None:
            self._left = (
                f"{backups.where} holds backups of another course of this catalog, up to"
                f" {left.name}, and this one was at version {began.version} in term {began.epoch};"
                " they are kept as `left-...`: restore one, or remove them, see docs/backup.md"
            )
            _log.error("%s", self._left)
        self._newest = own | held
        self._to_set_aside = others
        return backups

    async def _tidy(self, series: Series) -> None:
        """What fails here costs no backup, and is tried again with the next one."""
        error: AkiDBError | None = None
        try:
            await asyncio.to_thread(self._make_room, series)
        except Exception as failed:
            error = _ours(failed)
        if error is not None and type(error) is not type(self._untidy):
            _log.warning("older backups of the catalog can't be removed: %s", error)
        self._untidy = error

    def _make_room(self, series: Series) -> None:
        """In a thread: remove older ones of the series, after those of another course are safe."""
        assert self._backups is not None
        self._backups.set_aside(self._to_set_aside)
        self._to_set_aside = []
        self._backups.prune(series, self._settings.backups_kept)

    def _note(self, error: AkiDBError | None) -> None:
        """Log the first failure of a kind, and the end of failing."""
        if error is not None and type(error) is not type(self._error):
            _log.warning("the catalog can't be backed up, and it is tried again: %s", error)
        if error is None and self._error is not None:
            _log.info("the catalog is backed up again")
        self._error = error


def _ours(error: Exception) -> AkiDBError:
    if isinstance(error, AkiDBError):
        return error
    _log.error("backing up the catalog failed by a defect", exc_info=error)
    return Internal(f"{type(error).__name__} in backing up the catalog")
