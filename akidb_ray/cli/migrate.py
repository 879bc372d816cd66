"""`akidb migrate`: the tenants of AkiDB 1.x into a catalog, and back; the server must not run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from akidb_ray.cli.misuse import Misuse
from akidb_ray.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from akidb_ray.catalog.v1.report import MigrationRefused, MigrationReport
    from akidb_ray.catalog.v1.rollback import RollbackReport
    from akidb_ray.catalog.v1.writing import Progress

# A longer name would squeeze the other columns.
_SHOWN_CHARACTERS = 80

app = typer.Typer(help="Bring tenants over from AkiDB 1.x.", no_args_is_help=True)

V2Database = Annotated[
    Path,
    typer.Option("--v2-database", help="Catalog file: <data>/catalog/catalog.sqlite of a server."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("v1-to-v2")
def v1_to_v2(
    v1_data_dir: Annotated[
        Path, typer.Option("--v1-data-dir", help="Data folder of AkiDB 1.x; never written to.")
    ],
    v2_database: V2Database,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do it all on a copy, and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring all tenants of AkiDB 1.x into a catalog: all of them, or none. Safe to run twice."""
    from akidb_ray.catalog.v1.migration import migrate
    from akidb_ray.catalog.v1.report import MigrationRefused

    _check_stores(v2_database)
    try:
        with _progress(as_json) as progress:
            report = migrate(
                v1_data_dir,
                v2_database,
                lambda: datetime.now(UTC),
                dry_run=dry_run,
                progress=progress,
            )
    except MigrationRefused as refused:
        _print_refusal(refused, as_json)
        raise
    if as_json:
        print_json(_migration_json(report))
    else:
        _print_migration(report)


@app.command()
def rollback(
    v2_database: V2Database,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also when that loses changes; the present file is kept."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Undo the newest migration: restore the backup, or remove the file that it made."""
    from akidb_ray.catalog.v1.rollback import rollback as undo

    report = undo(v2_database, lambda: datetime.now(UTC), force=force)
    if as_json:
        print_json(_rollback_json(report))
    else:
        _print_rollback(report)


def _check_stores(v2_database: Path) -> None:
    """Raises Misuse when the catalog of a server with data would be made anew."""
    from akidb_ray.storage.data_folder import stores_in

    data_dir = v2_database.resolve().parent.parent
    if not v2_database.exists() and stores_in(data_dir):
        raise Misuse(
            "--v2-database",
            f"{v2_database} is missing, though {data_dir} holds stores; restore the catalog first",
        )


@contextmanager
def _progress(as_json: bool) -> "Iterator[Progress]":
    """A bar on stderr, where it disturbs no output; nothing without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    shown = console.is_terminal and not as_json
    columns = (TextColumn("Migrating"), BarColumn(), MofNCompleteColumn(), TextColumn("tenants"))
    with Progress(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_migration(report: "MigrationReport") -> None:
    from akidb_ray.catalog.v1.report import Outcome

    columns = ("slug", "status", "outcome", "name")
    print_table(
        columns,
        [[t.slug, t.status, t.outcome, t.name[:_SHOWN_CHARACTERS]] for t in report.tenants],
    )
    print_line("")
    # In lines that no terminal cuts.
    for tenant in report.tenants:
        for note in tenant.notes:
            print_line(f"{tenant.slug}: {note}")
    for path in report.ignored:
        print_line(f"No manifest, passed over: {path}")
    new, present = report.count(Outcome.MIGRATED), report.count(Outcome.PRESENT)
    if report.dry_run:
        print_line(f"Dry run: {new} tenants would be migrated, {present} are there already.")
        return
    print_line(f"{new} tenants migrated into {report.database}, {present} were there already.")
    if report.backup is not None:
        print_line(f"The catalog as it was before: {report.backup}")
    _print_log_problem(report.log_problem)


def _migration_json(report: "MigrationReport") -> dict[str, Any]:
    from akidb_ray.catalog.v1.report import Outcome

    return {
        "database": str(report.database),
        "dry_run": report.dry_run,
        "database_made": report.made,
        "backup": None if report.backup is None else str(report.backup),
        "migrated": report.count(Outcome.MIGRATED),
        "already_migrated": report.count(Outcome.PRESENT),
        "tenants": [
            {**asdict(tenant), "tenant_id": str(tenant.tenant_id)} for tenant in report.tenants
        ],
        "ignored": report.ignored,
        "log_problem": report.log_problem,
    }


def _print_refusal(refused: "MigrationRefused", as_json: bool) -> None:
    if as_json:
        print_json({"migrated": 0, "problems": refused.problems})
    else:
        for problem in refused.problems:
            print_line(problem)


def _print_rollback(report: "RollbackReport") -> None:
    if report.backup is None:
        print_line(f"Removed {report.database}, which a migration had made.")
    else:
        print_line(f"Restored {report.database} from {report.backup}.")
    print_line(f"{report.tenants} tenants of AkiDB 1.x are gone with it.")
    if report.aside is not None:
        print_line(f"Lost: {', '.join(report.lost)}. The former file: {report.aside}")
    _print_log_problem(report.log_problem)


def _rollback_json(report: "RollbackReport") -> dict[str, Any]:
    return {
        "database": str(report.database),
        "restored_from": None if report.backup is None else str(report.backup),
        "kept_aside": None if report.aside is None else str(report.aside),
        "tenants_removed": report.tenants,
        "lost": report.lost,
        "log_problem": report.log_problem,
    }


def _print_log_problem(problem: str) -> None:
    if problem:
        print_line(f"The end could not be written into the log: {problem}")
