"""What `list`, `create` and `delete` have in common, whatever it is that they list."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from akidb_ray.cli.client import Client
from akidb_ray.cli.output import print_fields, print_json, print_line, print_table
from akidb_ray.cli.session import Session

_PAGE = 200


def list_all(client: Client, path: str, kind: str) -> list[dict[str, Any]]:
    """All items of a paged list, whose key in the answer is `kind`."""
    items: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": _PAGE}
    while True:
        answer = client.get(path, query)
        items += answer[kind]
        if not (cursor := answer.get("next_cursor")):
            return items
        query["cursor"] = cursor


def show_list(session: Session, path: str, kind: str, columns: Sequence[str]) -> None:
    """Print a whole list, as a table with these members as columns."""
    items = list_all(session.client, path, kind)
    if session.as_json:
        print_json({kind: items})
    elif items:
        print_table(columns, [[item.get(column) for column in columns] for item in items])
    else:
        print_line(f"There are no {kind}.")


def create(session: Session, path: str, given: Mapping[str, Any]) -> None:
    """Create from the options that were given; the server knows the defaults of the others."""
    body = {name: value for name, value in given.items() if value is not None}
    made = session.client.post(path, body)
    if session.as_json:
        print_json(made)
    else:
        print_fields({name: value for name, value in made.items() if value not in (None, "", {})})


def delete(session: Session, path: str, what: str, yes: bool, done: str = "Deleted") -> None:
    """Delete, after a question when somebody sits there to answer it."""
    if not yes and not session.as_json and sys.stdin.isatty():
        typer.confirm(f"Delete {what} and everything in it?", abort=True)
    answer = session.client.delete(path)
    if session.as_json:
        print_json(answer or {"deleted": True})
    else:
        print_line(f"{done} {what}.")
