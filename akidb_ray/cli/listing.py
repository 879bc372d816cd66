"""What the commands have in common, whatever kind of thing they list, make, change or delete."""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from akidb_ray.cli.client import Client
from akidb_ray.cli.misuse import Misuse
from akidb_ray.cli.output import print_fields, print_json, print_line, print_table
from akidb_ray.cli.session import Session
from akidb_ray.cli.waiting import wait_for_job

_PAGE = 200
_FIRST_WAIT_S = 1


def items_of(
    client: Client, path: str, kind: str, query: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The items of a paged list, whose key in the answer is `kind`, page by page as needed."""
    asked = {name: value for name, value in query.items() if value is not None}
    while True:
        answer = client.get(path, asked)
        yield from answer[kind]
        if not (cursor := answer.get("next_cursor")):
            return
        asked["cursor"] = cursor


def show_list(
    session: Session,
    path: str,
    kind: str,
    columns: Sequence[str],
    query: Mapping[str, Any],
    limit: int | None,
) -> None:
    """Print a list as a table with these members as columns, up to `limit` rows if there is one.

    Where more are left, the table is followed by a line that says so, and JSON has `more`.
    """
    # One more than is shown tells whether there are more.
    page = _PAGE if limit is None else min(_PAGE, limit + 1)
    found = items_of(session.client, path, kind, {"limit": page, **query})
    items = list(itertools.islice(found, limit))
    more = next(found, None) is not None
    if session.as_json:
        print_json({kind: items, "more": more})
        return
    if not items:
        print_line(f"There are no {kind}." if not query.get("q") else f"No {kind} found.")
        return
    print_table(columns, [[item.get(column) for column in columns] for item in items])
    if more:
        print_line(f"There are more {kind}: --all shows all, --limit how many.")


def show(session: Session, thing: Mapping[str, Any]) -> None:
    """Print one thing, without what says nothing."""
    if session.as_json:
        print_json(thing)
    else:
        print_fields({name: value for name, value in thing.items() if value not in (None, "", {})})


def create(session: Session, path: str, given: Mapping[str, Any]) -> None:
    """Create from the options that were given; the server knows the defaults of the others."""
    show(session, session.client.post(path, _given(given)))


def update(session: Session, path: str, given: Mapping[str, Any], if_version: int | None) -> None:
    """Change what was given. Raises Misuse when nothing was."""
    changes = _given(given)
    if not changes:
        raise Misuse("update", "name what to change by an option; --help lists them")
    if if_version is not None:
        changes["if_version"] = if_version
    show(session, session.client.request("PATCH", path, body=changes))


def confirm(session: Session, question: str, yes: bool) -> None:
    """Ask before destruction, when somebody sits there to answer."""
    if not yes and not session.as_json and sys.stdin.isatty():
        typer.confirm(question, abort=True)


def remove(
    session: Session,
    method: str,
    path: str,
    done: str,
    no_wait: bool,
    query: Mapping[str, Any] | None = None,
) -> None:
    """Begin a deletion and wait for its end, then say it is `done`; with `no_wait` print the job.

    Raises ApiError when the job ends otherwise.
    """
    wait_s = 0 if no_wait else _FIRST_WAIT_S
    asked = {"wait_s": wait_s, **(query or {})}
    job = session.client.request(method, path, query=asked)
    if job is not None and no_wait:
        show(session, job)
        return
    if job is not None:
        wait_for_job(session.client, job, shown=not session.as_json)
    if session.as_json:
        print_json({"deleted": True})
    else:
        print_line(done)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
