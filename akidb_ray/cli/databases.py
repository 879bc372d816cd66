"""`akidb database create|get|list|update|delete`"""

from typing import Annotated

import typer

from akidb_ray.cli.list_options import DEFAULT_LIMIT, All, By, Descending, Limit, Search
from akidb_ray.cli.session import Session, connected
from akidb_ray.domain.tenancy import DatabaseState

app = typer.Typer(help="Databases of a tenant.", no_args_is_help=True)


@app.command("create")
@connected("tenant")
def create_database(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name, unique in the tenant.")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Create a database."""
    from akidb_ray.cli.listing import create

    create(session, _databases_path(session), {"name": name, "description": description})


@app.command("get")
@connected("tenant")
def get_database(
    session: Session, database: Annotated[str, typer.Argument(help="Name or id.")]
) -> None:
    """Show a database."""
    from akidb_ray.cli.listing import show

    show(session, session.client.get(_path(session, database)))


@app.command("list")
@connected("tenant")
def list_databases(
    session: Session,
    search: Search = None,
    state: Annotated[DatabaseState | None, typer.Option(help="Only those in it.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    all_of_them: All = False,
    order: By = None,
    descending: Descending = False,
) -> None:
    """List the databases of a tenant."""
    from akidb_ray.cli.listing import show_list

    columns = ["name", "state", "database_id", "description"]
    query = {"q": search, "state": state, "order": order, "descending": descending or None}
    path = _databases_path(session)
    show_list(session, path, "databases", columns, query, None if all_of_them else limit)


@app.command("update")
@connected("tenant")
def update_database(
    session: Session,
    database: Annotated[str, typer.Argument(help="Name or id.")],
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    if_version: Annotated[
        int | None, typer.Option(help="Refuse unless it is at this version.")
    ] = None,
) -> None:
    """Change a database's name or description."""
    from akidb_ray.cli.listing import update

    given = {"name": name, "description": description}
    update(session, _path(session, database), given, if_version)


@app.command("delete")
@connected("tenant")
def delete_database(
    session: Session,
    database: Annotated[str, typer.Argument(help="Name or id.")],
    cascade: Annotated[bool, typer.Option(help="Delete the collections in it too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job, not its end.")] = False,
) -> None:
    """Delete a database. Only an empty one is deleted, unless --cascade is given."""
    from akidb_ray.cli.listing import confirm, remove

    confirm(session, f"Delete database {database!r} and everything in it?", yes)
    query = {"cascade": "true"} if cascade else None
    done = f"Deleted database {database!r}."
    remove(session, "DELETE", _path(session, database), done, no_wait, query)


def _databases_path(session: Session) -> str:
    from akidb_ray.cli.client import path_of

    return path_of("tenants", session.connection.tenant, "databases")


def _path(session: Session, database: str) -> str:
    from akidb_ray.cli.client import path_of

    return path_of("tenants", session.connection.tenant, "databases", database)
