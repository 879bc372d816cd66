"""Jobs: the SQL behind them. A job outlives its tenant and its subject."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, literal_column

from akidb_ray.catalog.sqlite.pages import Listed
from akidb_ray.catalog.sqlite.repository import Mapped, SqliteRepository
from akidb_ray.catalog.sqlite.statements import Row, Statement, run
from akidb_ray.catalog.sqlite.tables import jobs
from akidb_ray.domain.ids import JobId, TenantId
from akidb_ray.domain.jobs import Job, JobKind, JobState
from akidb_ray.domain.listing import Listing, Page

_DELETE_ENDED = Statement(
    delete(jobs)
    # In the index's own words, else SQLite doesn't use it.
    .where(literal_column("state <> 'running'"), jobs.c.updated_at < bindparam("before"))
    .returning(jobs.c.job_id)
)


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

    async def delete_ended(self, before: datetime) -> int:
        connection = self._transaction.connection
        return len(await run(connection, _DELETE_ENDED, {"before": before}))
