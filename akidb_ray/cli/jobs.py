"""`akidb job get|list|cancel`"""

from typing import Annotated

import typer

from akidb_ray.cli.list_options import DEFAULT_LIMIT, All, Descending, Limit
from akidb_ray.cli.session import Session, connected
from akidb_ray.domain.jobs import JobState

app = typer.Typer(help="Jobs: long work of the server.", no_args_is_help=True)


@app.command("get")
@connected()
def get_job(session: Session, job: Annotated[str, typer.Argument(help="Id.")]) -> None:
    """Show a job: its state and how far it is."""
    from akidb_ray.cli.client import path_of
    from akidb_ray.cli.listing import show

    show(session, session.client.get(path_of("jobs", job)))


@app.command("list")
@connected()
def list_jobs(
    session: Session,
    of_tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="Only those of a tenant, by slug or id.", show_default=False),
    ] = None,
    state: Annotated[JobState | None, typer.Option(help="Only those in it.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    all_of_them: All = False,
    descending: Descending = False,
) -> None:
    """List the jobs of all tenants, or of one."""
    from akidb_ray.cli.listing import show_list

    columns = ["job_id", "kind", "subject", "state", "done", "total", "error"]
    query = {"tenant": of_tenant, "state": state, "descending": descending or None}
    show_list(session, "/v2/jobs", "jobs", columns, query, None if all_of_them else limit)


@app.command("cancel")
@connected()
def cancel_job(session: Session, job: Annotated[str, typer.Argument(help="Id.")]) -> None:
    """Ask a job to stop at its next step. Only purges can."""
    from akidb_ray.cli.client import path_of
    from akidb_ray.cli.listing import show

    show(session, session.client.request("POST", f"{path_of('jobs', job)}/cancel"))
