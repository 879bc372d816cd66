"""Which server, as whom, and what in it: flag, environment, file or default, in that order."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from akidb_ray.cli.misuse import Misuse

FILE_VARIABLE = "AKIDB_CLIENT_FILE"


@dataclass(frozen=True, slots=True)
class Connection:
    """How the command reaches its data. The values here are the defaults."""

    url: str = "http://127.0.0.1:8100"
    api_key: str | None = None
    tenant: str = "default"
    database: str = "default"
    collection: str | None = None


def resolve_connection(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    home: Path,
    profile_file: Path | None = None,
) -> Connection:
    """The connection in force. `flags` are by field, with None for one that was not given.

    Raises Misuse for a file that was named and is not there, or that has an unknown key.
    """
    known = [field.name for field in fields(Connection)]
    variables = {name: environment.get(f"AKIDB_{name.upper()}") for name in known}
    connection = Connection()
    for source in (_read_file(profile_file, environment, home, known), variables, flags):
        # An empty variable is one that a shell script meant to unset.
        given = {name: value for name, value in source.items() if name in known and value}
        connection = replace(connection, **given)
    return connection


def _read_file(
    profile_file: Path | None, environment: Mapping[str, str], home: Path, known: list[str]
) -> dict[str, str]:
    named = profile_file or (Path(path) if (path := environment.get(FILE_VARIABLE)) else None)
    file = named or home / ".config" / "akidb" / "client.toml"
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if named is None:
            return {}
        raise Misuse("profile_file", f"{file} does not exist") from None
    except (OSError, ValueError) as error:
        raise Misuse("profile_file", f"{file}: {error}") from None
    for name, value in values.items():
        if name not in known:
            raise Misuse(
                "profile_file", f"{file}: {name!r} is not known; known are {', '.join(known)}"
            )
        if not isinstance(value, str):
            raise Misuse("profile_file", f"{file}: {name} must be a string")
    return values
