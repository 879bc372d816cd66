"""Jobs: the SQL behind them. A job outlives its tenant and its subject."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Text, bindparam, delete, literal_column, select

from akidb_ray.catalog.sqlite.pages import Listed
from akidb_ray.catalog.sqlite.repository import Mapped, SqliteRepository
from akidb_ray.catalog.sqlite.statements import Row, Statement, run
from akidb_ray.catalog.sqlite.tables import jobs
from akidb_ray.domain.ids import EntityId, JobId, TenantId
from akidb_ray.domain.jobs import Job, JobKind, JobState
from akidb_ray.domain.listing import Listing, Page

_DELETE_ENDED = Statement(
    delete(jobs)
    # In the index's own words, else SQLite doesn't use it.
    .where(literal_column("state <> 'running'"), jobs.c.updated_at < bindparam("before"))
    .returning(jobs.c.job_id)
)


@cache
def running_for_statement(count: int) -> Statement:
    """Of the jobs that work on one of so many subjects."""
    subjects = [bindparam(f"subject_{number}", type_=Text()) for number in range(count)]
    # The state in the index's own words, here too.
    running = select(jobs).where(literal_column("state = 'running'"))
    return Statement(running.where(jobs.c.subject_id.in_(subjects)).order_by(jobs.c.job_id))


def job_from(row: Row) -> Job:
    values = dict(row)
    enums = {"kind": JobKind(values["kind"]), "state": JobState(values["state"])}
    return Job(**values | enums)


def row_of(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in Job.__dataclass_fields__}


class SqliteJobs(SqliteRepository[Job, JobId]):
    """Carries out `repositories.JobRepository`."""

    mapped = Mapped(
        Listed(
            jobs,
            name=jobs.c.subject,
            state=jobs.c.state,
            states=tuple(JobState),
            parent=jobs.c.tenant_id,
        ),
        job_from,
        row_of,
    )

    async def list(self, tenant_id: TenantId | None, listing: Listing) -> Page[Job]:
        return await self._page(listing, tenant_id)

    async def running_for(self, subject_ids: Sequence[EntityId]) -> Sequence[Job]:
        if not subject_ids:
            return []
        values = {f"subject_{number}": str(each) for number, each in enumerate(subject_ids)}
        connection = self._transaction.connection
        rows = await run(connection, running_for_statement(len(subject_ids)), values)
        return [job_from(row) for row in rows]

    async def delete_ended(self, before: datetime) -> int:
        connection = self._transaction.connection
        return len(await run(connection, _DELETE_ENDED, {"before": before}))
