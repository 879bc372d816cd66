"""What every command shares: the options of the connection, `--json`, and a client made from them.

`@connected("tenant", "database")` gives a command these options and, as first argument, a Session.
"""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from akidb_ray.cli.connection import FILE_VARIABLE, Connection, resolve_connection
from akidb_ray.cli.misuse import Misuse

if TYPE_CHECKING:
    from akidb_ray.cli.client import Client, CollectionClient

_PANEL = "Connection"

_OPTIONS: dict[str, Any] = {
    "url": Annotated[
        str | None,
        typer.Option(
            help="Address of the server [AKIDB_URL; http://127.0.0.1:8100].",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "api_key": Annotated[
        str | None,
        typer.Option(
            help="API key or root key [AKIDB_API_KEY]. Others on this machine can see a flag.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "profile_file": Annotated[
        Path | None,
        typer.Option(
            help=f"TOML file with these settings [{FILE_VARIABLE}; ~/.config/akidb/client.toml].",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
}

_SCOPES: dict[str, Any] = {
    name: Annotated[
        str | None,
        typer.Option(f"--{name}", help=help_text, show_default=False, rich_help_panel=_PANEL),
    ]
    for name, help_text in {
        "tenant": "Tenant, by slug or id [AKIDB_TENANT; default].",
        "database": "Database, by name or id [AKIDB_DATABASE; default].",
        "collection": "Collection, by name or id [AKIDB_COLLECTION].",
    }.items()
}

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


@dataclass(frozen=True, slots=True)
class Session:
    """One run of a command: the server that it talks to, and how it prints."""

    client: "Client"
    connection: Connection
    as_json: bool

    def collection(self) -> "CollectionClient":
        """The collection that the command is about. Raises Misuse when none is named."""
        from akidb_ray.cli.client import CollectionClient

        at = self.connection
        if at.collection is None:
            raise Misuse("collection", "name it with --collection, or in AKIDB_COLLECTION")
        return CollectionClient(self.client, at.tenant, at.database, at.collection)


def connected(*scopes: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the connection's options, and these of tenant, database and collection."""
    shared = {**{name: _SCOPES[name] for name in scopes}, **_OPTIONS}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in shared.items()
    ]
    parameters.append(
        inspect.Parameter(
            "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_JSON
        )
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = list(signature.parameters.values())[1:]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            flags = {name: given.pop(name) for name in shared}
            with_json = given.pop("as_json")
            _run_in_session(command, flags, with_json, given)

        # typer reads the options of a command from these two.
        merged = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + parameters
        run.__signature__ = signature.replace(parameters=merged)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in merged}
        return run

    return decorate


def _run_in_session(
    command: Callable[..., None],
    flags: Mapping[str, Any],
    as_json: bool,
    given: Mapping[str, Any],
) -> None:
    from akidb_ray.cli.client import Client

    connection = resolve_connection(flags, os.environ, Path.home(), flags["profile_file"])
    with Client(connection.url, connection.api_key) as client:
        command(Session(client, connection, as_json), **given)
