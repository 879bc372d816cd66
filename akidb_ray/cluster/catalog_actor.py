"""The one actor that owns the catalog's file, and the work that goes on beside its calls.

It opens its own store only: under the folder's lock, so that one process has it at a time, and in a
term of its own, so that one which lost it without noticing writes nothing any more. That happens in
the background, also after each restart, when nobody has called yet. Meanwhile calls are answered,
if only by what they would have to wait for.
"""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from akidb_ray.catalog.backup_loop import BackupLoop
from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.cluster.background import Background
from akidb_ray.cluster.host_handles import RayShardHosts
from akidb_ray.domain.errors import InvalidState, Unavailable
from akidb_ray.domain.health import CatalogHealth
from akidb_ray.domain.ids import ClusterId
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.job_runner import BEGINS_JOB, BRINGS_STORE, JobRunner
from akidb_ray.settings import Settings
from akidb_ray.storage.data_folder import catalog_file, has_store_folders
from akidb_ray.storage.filesystem import FileLock
from akidb_ray.storage.os_filesystem import OsFileSystem

_PATIENCE_S = 5.0
_LOOK_S = 1.0
_LOOKS_PER_WAKE = 10


@dataclass(frozen=True, slots=True)
class _Work:
    """What goes on beside the calls of an open catalog."""

    copy: CatalogCopy
    runner: JobRunner
    backups: BackupLoop


class CatalogActor:
    """A shell around `StoredCatalog`, to be made where an event loop runs."""

    def __init__(self, data_dir: str, settings: Settings, patience_s: float = _PATIENCE_S) -> None:
        """So long, `patience_s`, a call waits for the opening before it is answered Unavailable."""
        self._data_dir = Path(data_dir)
        self._settings = settings
        self._patience_s = patience_s
        self._doing = "starting"
        self._stopped = False
        self._lock: FileLock | None = None
        self._work: _Work | None = None
        self._background = Background()
        self._opening = asyncio.create_task(self._open())

    async def perform(self, method: str, *arguments: Any) -> Any:
        """Call a method of the catalog, each change of which is whole on disk or absent.

        Raises what that raises, what keeps the catalog from being opened, and Unavailable while it
        is being opened.
        """
        catalog = await self._opened(self._patience_s)
        answer = await getattr(catalog, method)(*arguments)
        if self._work is not None:
            if method in BEGINS_JOB:
                self._work.runner.wake()
            if method in BRINGS_STORE:
                self._work.runner.try_again()
        return answer

    async def data_dir(self) -> str:
        return str(self._data_dir)

    async def cluster_id(self) -> ClusterId:
        """Waits for the opening, however long it takes, and raises what is in its way."""
        return (await self._opened(None)).cluster_id

    async def health(self) -> CatalogHealth:
        """Does not wait for the opening: raises Unavailable meanwhile, and what is in its way."""
        catalog = await self._opened(0.0)
        if self._work is None:
            raise Unavailable(f"the catalog is {self._doing}; try again soon")
        newest = await self._work.copy.catch_up()
        return CatalogHealth(newest.version, catalog.epoch, self._work.backups.status)

    async def stop(self) -> None:
        """End what goes on beside, then the catalog, and free its folder."""
        self._stopped = True
        await asyncio.wait([self._opening])
        await self._background.stop()
        if not _failed(self._opening):
            await self._opening.result().close()
        self._release()

    async def _opened(self, patience_s: float | None) -> StoredCatalog:
        """An opening that failed is tried again by the next call."""
        if self._stopped:
            raise Unavailable("the catalog is stopping")
        if _failed(self._opening):
            self._opening = asyncio.create_task(self._open())
        # Many may wait, and each may go away: the opening goes on.
        done, _ = await asyncio.wait([self._opening], timeout=patience_s)
        if not done:
            raise Unavailable(f"the catalog is {self._doing}; try again soon")
        return self._opening.result()

    async def _open(self) -> StoredCatalog:
        file = catalog_file(self._data_dir)
        fs = OsFileSystem(file.parent)
        self._doing = "waiting for its former process to end"
        wait_s = self._settings.shard.lock_wait_s
        self._lock = await asyncio.to_thread(fs.lock, PurePosixPath("LOCK"), wait_s)
        self._doing = "being opened, and brought to this release's schema where it is older"
        try:
            is_new = await asyncio.to_thread(_is_new, self._data_dir)
            catalog = await StoredCatalog.open(file, _now, create=is_new)
            try:
                await catalog.adopt_unfinished()
                self._begin_work(catalog, file)
            except BaseException:
                await catalog.close()
                raise
        except BaseException:
            self._release()
            raise
        return catalog

    def _begin_work(self, catalog: StoredCatalog, file: Path) -> None:
        copy = CatalogCopy(catalog)
        hosts = RayShardHosts(lambda: copy.directory, self._settings)
        backups = BackupLoop(file, catalog.cluster_id, self._settings.catalog, _now)
        self._work = work = _Work(copy, JobRunner(catalog, hosts), backups)
        self._background.start("the catalog's copy", lambda: _keep_told(work))
        self._background.start("the jobs", work.runner.run)
        self._background.start("the backups", backups.run)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


async def _keep_told(work: _Work) -> None:
    """Tell the others of each change, whoever made it, also when its caller gave up before its end.

    A watch would not do: it does not return for users and jobs, of which no copy is kept. Nor do
    jobs raise the version, so the runner looks for new ones now and then all the same.
    """
    told = 0
    for look in itertools.count():
        version = (await work.copy.catch_up()).version
        if version != told or look % _LOOKS_PER_WAKE == 0:
            work.runner.wake()
        if version != told:
            work.backups.notify(version)
            told = version
        await asyncio.sleep(_LOOK_S)


def _is_new(data_dir: Path) -> bool:
    """Whether there is no catalog yet. Raises InvalidState when there are stores nevertheless: an
    empty catalog beside full stores would hide all data.
    """
    file = catalog_file(data_dir)
    is_missing = not OsFileSystem(file.parent).exists(PurePosixPath(file.name))
    if is_missing and has_store_folders(data_dir):
        raise InvalidState(
            f"the catalog file {file}",
            "missing beside stores",
            "starting; bring it back with `akidb catalog restore` or, where there is no backup, "
            "with `akidb catalog recover`",
        )
    return is_missing


def _now() -> datetime:
    return datetime.now(UTC)


def _failed(opening: "asyncio.Task[StoredCatalog]") -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
