"""The `akidb` command. A command imports what is heavy when it runs, so that help comes at once."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

import akidb_ray
from akidb_ray.cli import catalog, collections, databases, inspect, jobs, migrate, tenants
from akidb_ray.cli.ingest import ingest
from akidb_ray.cli.misuse import Misuse
from akidb_ray.cli.output import print_json, print_line, printable
from akidb_ray.cli.search import search
from akidb_ray.cli.status import status
from akidb_ray.domain.errors import AkiDBError

app = typer.Typer(
    help="A multi-tenant vector database that runs inside a Ray cluster.",
    no_args_is_help=True,
    add_completion=False,
    # Errors are one line, in `main`.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(status)
app.command()(ingest)
app.command()(search)
app.add_typer(tenants.app, name="tenant")
app.add_typer(databases.app, name="database")
app.add_typer(collections.app, name="collection")
app.add_typer(jobs.app, name="job")
app.add_typer(inspect.app, name="inspect")
app.add_typer(catalog.app, name="catalog")
app.add_typer(migrate.app, name="migrate")


@app.command()
def serve(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with all data; made when it is not there.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port for gRPC; 0: none.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join, instead of starting one.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with settings; see configs/default.toml.")
    ] = None,
    insecure_no_auth: Annotated[
        bool,
        typer.Option("--insecure-no-auth", help="Let everybody in, on this machine only."),
    ] = False,
) -> None:
    """Run the database in the foreground, until Ctrl-C or SIGTERM."""
    from akidb_ray.cli.serve import serve as run

    run(
        data_dir=data_dir,
        host=host,
        port=port,
        grpc_port=grpc_port,
        address=address,
        insecure_no_auth=insecure_no_auth,
        config=config,
    )


@app.command()
def stop(
    address: Annotated[str, typer.Option(help="Ray cluster that serves it, such as auto.")],
) -> None:
    """End a database that runs on a Ray cluster of yours: its application, catalog and hosts."""
    from akidb_ray.cli.stop import stop as run

    run(address)


@app.command()
def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the version of this command."""
    if as_json:
        print_json({"version": akidb_ray.__version__})
    else:
        print_line(akidb_ray.__version__)


def main() -> None:
    """Run the command and leave the process: 0 done, 1 an error in one line, 2 wrong usage."""
    try:
        app(prog_name="akidb")
    except BrokenPipeError:
        # Who read our output has seen enough. Python would complain once more as it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        sys.stderr.write(f"akidb: {printable(_explain(error))}\n")
        sys.exit(2 if isinstance(error, Misuse) else 1)


def _explain(error: Exception) -> str:
    from akidb_ray.cli.client import ApiError

    if isinstance(error, (AkiDBError, ApiError)):
        return error.detail
    # A defect of ours: no traceback for the user, and yet a place for who mends it.
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"internal error, please report it: {type(error).__name__}: {error} "
        f"({Path(where.filename).name}:{where.lineno})"
    )


if __name__ == "__main__":
    main()
