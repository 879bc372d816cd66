"""`akidb database create|list|delete`"""

from typing import Annotated

import typer

from akidb_ray.cli.session import Session, connected

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


@app.command("list")
@connected("tenant")
def list_databases(session: Session) -> None:
    """List the databases of a tenant."""
    from akidb_ray.cli.listing import show_list

    columns = ["name", "description", "database_id"]
    show_list(session, _databases_path(session), "databases", columns)


@app.command("delete")
@connected("tenant")
def delete_database(
    session: Session,
    database: Annotated[str, typer.Argument(help="Name or id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a database."""
    from akidb_ray.cli.client import path_of
    from akidb_ray.cli.listing import delete

    path = path_of("tenants", session.connection.tenant, "databases", database)
    delete(session, path, f"database {database!r}", yes)


def _databases_path(session: Session) -> str:
    from akidb_ray.cli.client import path_of

    return path_of("tenants", session.connection.tenant, "databases")
