"""From the manifests of AkiDB 1.x to a catalog: all of them, or nothing.

The work is done on a copy of the catalog, or on a new one, in one transaction. The result is
checked, and then takes the place of the file at one instant, after a backup of that was made. So
whatever fails or crashes before leaves the file as it was, byte for byte.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.restoring import catalog_lock
from akidb_ray.catalog.sqlite.copying import copy_database
from akidb_ray.catalog.sqlite.schema import require_known_schema
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.catalog.v1.checking import check_migrated, tenant_ids
from akidb_ray.catalog.v1.log import MigrationLog
from akidb_ray.catalog.v1.reading import V1Data, read_v1
from akidb_ray.catalog.v1.report import (
    MigratedTenant,
    MigrationRefused,
    MigrationReport,
    Outcome,
    log_lines,
    outcome_of,
)
from akidb_ray.catalog.v1.swapping import (
    backup_path,
    check_no_stray_log,
    copy_with_owner,
    put_in_place,
    work_folder,
)
from akidb_ray.catalog.v1.writing import Progress, Written, write_tenants
from akidb_ray.domain.errors import InvalidArgument, StorageFailed, StorageFull

Clock = Callable[[], datetime]


def migrate(
    v1_data_dir: Path,
    database: Path,
    clock: Clock,
    *,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> MigrationReport:
    """Bring all tenants of a 1.x data folder into the catalog at `database`, made when missing.

    Tenants that are there already, with the same values, stay as they are. A dry run does it all to
    a copy elsewhere. Raises MigrationRefused, InvalidArgument when the folder holds no tenants,
    Unavailable while a server or another migration has the catalog, InvalidState when a newer
    release wrote it, Corrupt when it is none, StorageFull, StorageFailed.
    """
    file = database.resolve()
    if file.is_relative_to(v1_data_dir.resolve()):
        raise InvalidArgument(
            "v2_database", f"{file} lies in the 1.x data, which is never changed; choose another"
        )
    data = read_v1(v1_data_dir)
    if not data.tenants and not data.problems:
        raise InvalidArgument("v1_data_dir", f"{v1_data_dir} holds no manifest of a tenant")
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="akidb-migration-") as folder:
            report = _prepared(file, Path(folder) / file.name, data, clock, progress)
        return replace(report, dry_run=True, backup=None)
    with catalog_lock(file.parent, wait_s=0.0):
        log = MigrationLog(file.parent, clock)
        log.write([f"migration of {v1_data_dir.resolve()} into {file} begins"])
        with _failure_in(log), work_folder(file) as folder:
            work = folder / file.name
            report = _prepared(file, work, data, clock, progress)
            log.write(log_lines(report))
            if report.count(Outcome.MIGRATED):
                with _backed_up(file, report.backup, work):
                    put_in_place(work, file)
        return _ended(log, report)


def _prepared(
    file: Path, work: Path, data: V1Data, clock: Clock, progress: Progress
) -> MigrationReport:
    """Make at `work` what `file` is to become, and check it. Returns the report of doing so."""
    if data.problems:
        raise MigrationRefused(data.problems)
    check_no_stray_log(file)
    made = not file.exists()
    if made:
        asyncio.run(_make(work, clock))
    else:
        require_known_schema(file)
        copy_database(file, work)
    before = tenant_ids(work)
    written = asyncio.run(_write(work, data, clock, progress))
    check_migrated(work, before, written.new)
    return MigrationReport(
        database=file,
        dry_run=False,
        made=made,
        backup=backup_path(file, clock()) if written.new and not made else None,
        tenants=_outcomes(data, written),
        ignored=data.ignored,
    )


async def _make(work: Path, clock: Clock) -> None:
    catalog = await StoredCatalog.open(work, clock, create=True)
    await catalog.close()


async def _write(work: Path, data: V1Data, clock: Clock, progress: Progress) -> Written:
    store = await SqliteStore.open(work, clock, create=False)
    try:
        return await write_tenants(store, data.tenants, progress)
    finally:
        await store.close()


def _outcomes(data: V1Data, written: Written) -> tuple[MigratedTenant, ...]:
    """In the order of the 1.x data."""
    new = {each.tenant.tenant_id: each for each in written.new}
    outcomes = []
    for source in data.tenants:
        if (each := new.get(source.tenant_id)) is not None:
            outcomes.append(outcome_of(source, each.tenant, Outcome.MIGRATED, each.notes))
        else:
            tenant = written.present[source.tenant_id]
            outcomes.append(outcome_of(source, tenant, Outcome.PRESENT))
    return tuple(outcomes)


@contextlib.contextmanager
def _backed_up(file: Path, backup: Path | None, work: Path) -> Iterator[None]:
    """Back up the file, if there is one, before `work` takes its place.

    A backup of a file that then did not change is of no use, and goes again.
    """
    try:
        if backup is not None:
            copy_with_owner(file, backup)
        yield
    except BaseException:
        if backup is not None and work.exists():
            backup.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _failure_in(log: MigrationLog) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if isinstance(error, MigrationRefused):
            problems = error.problems
        else:
            problems = (str(error) or type(error).__name__,)
        # The log may be what failed, or the disk be full; the error itself is told anyway.
        with contextlib.suppress(StorageFull, StorageFailed):
            log.write([*(f"problem: {problem}" for problem in problems), "migration stopped"])
        raise


def _ended(log: MigrationLog, report: MigrationReport) -> MigrationReport:
    backup = "no backup" if report.backup is None else f"backup {report.backup.name}"
    problem = log.conclude(
        f"migration done: {report.count(Outcome.MIGRATED)} tenants migrated, "
        f"{report.count(Outcome.PRESENT)} there already, {backup}"
    )
    return replace(report, log_problem=problem)
