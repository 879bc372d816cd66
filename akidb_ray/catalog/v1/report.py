"""What a migration tells: what became of each tenant, or all that keeps it from being done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from akidb_ray.catalog.v1.manifests import BadManifest, V1Tenant
from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.tenancy import Tenant


class Outcome(StrEnum):
    MIGRATED = "migrated"
    PRESENT = "already migrated"


@dataclass(frozen=True, slots=True)
class MigratedTenant:
    """What became of one manifest. `notes` say what a person should know of it."""

    file: str
    tenant_id: TenantId
    slug: str
    name: str
    status: str
    outcome: Outcome
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did; in a dry run, what it would do.

    `made` says that the database file was missing. `backup` is None then, and when all tenants were
    there already. `ignored` are paths in the 1.x data that are no manifests. `log_problem` says why
    the end of the migration is not in the log; "" when it is, or when there is no log.
    """

    database: Path
    dry_run: bool
    made: bool
    backup: Path | None
    tenants: tuple[MigratedTenant, ...]
    ignored: tuple[str, ...]
    log_problem: str = ""

    def count(self, outcome: Outcome) -> int:
        return sum(tenant.outcome is outcome for tenant in self.tenants)


class MigrationRefused(InvalidArgument):
    """The 1.x data, or what the catalog has already, forbids it; nothing was written.

    `problems` are all the reasons, each with its file.
    """

    def __init__(self, problems: Sequence[BadManifest]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        details = tuple(problem.detail for problem in problems)
        AkiDBError.__init__(
            self,
            f"nothing was migrated: {first.detail}{more}",
            **{**first.fields, "problems": details},
        )

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self.fields["problems"])


def outcome_of(
    source: V1Tenant, tenant: Tenant, outcome: Outcome, notes: tuple[str, ...] = ()
) -> MigratedTenant:
    return MigratedTenant(
        file=source.file,
        tenant_id=tenant.tenant_id,
        slug=tenant.slug,
        name=tenant.name,
        status=tenant.status,
        outcome=outcome,
        notes=notes,
    )


def log_lines(report: MigrationReport) -> Iterator[str]:
    """One per tenant and per thing that a person should know, as they are before the commit."""
    for tenant in report.tenants:
        what = "migrate" if tenant.outcome is Outcome.MIGRATED else "already there"
        yield (
            f"tenant {tenant.tenant_id} from {tenant.file}: {what}, slug {tenant.slug}, "
            f"status {tenant.status}, name {tenant.name!r}"
        )
        for note in tenant.notes:
            yield f"note on {tenant.tenant_id}: {note}"
    for path in report.ignored:
        yield f"no manifest, passed over: {path}"
