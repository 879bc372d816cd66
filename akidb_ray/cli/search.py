"""`akidb search "words"`"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from akidb_ray.cli.misuse import Misuse
from akidb_ray.cli.output import parse_json_option, print_json, print_line, print_table, shown
from akidb_ray.cli.session import Session, connected

_SHOWN_FIELDS = 3
_FIELD_CHARACTERS = 28
_ID_CHARACTERS = 48


@connected("tenant", "database", "collection")
def search(
    session: Session,
    words: Annotated[
        str | None, typer.Argument(help="What to look for; or give --vector.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="How many results.")] = 10,
    filter: Annotated[
        str | None,
        typer.Option(help="""JSON: '{"must": [{"key": "year", "range": {"gte": 1990}}]}'."""),
    ] = None,
    vector: Annotated[str | None, typer.Option(help="JSON list of numbers.")] = None,
    ef: Annotated[int | None, typer.Option(help="Breadth of the graph search.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every document.")] = False,
) -> None:
    """Find the documents nearest to some words, or to a vector."""
    if (words is None) == (vector is None):
        raise Misuse("search", "give words or --vector, and not both")
    query: dict[str, Any] = {"limit": limit}
    if words is not None:
        query["text"] = words
    if vector is not None:
        query["vector"] = parse_json_option(vector, "--vector")
    if filter is not None:
        query["filter"] = parse_json_option(filter, "--filter")
    params = {"ef": ef, "exact": exact or None}
    if given := {name: value for name, value in params.items() if value is not None}:
        query["params"] = given
    answer = session.collection().search(query)
    if session.as_json:
        print_json(answer)
    elif not answer["results"]:
        print_line("Nothing found.")
    else:
        print_results(answer["results"])


def print_results(results: Sequence[Mapping[str, Any]]) -> None:
    """A table of results: rank, score, id, the first payload fields and the text's first line."""
    names = shown_fields(results)
    has_text = any(result.get("text") for result in results)
    rows = []
    for rank, result in enumerate(results, 1):
        payload = result.get("payload") or {}
        row = [rank, f"{result['score']:.3f}", _cut(result["id"], _ID_CHARACTERS)]
        row += [_cut(payload.get(name), _FIELD_CHARACTERS) for name in names]
        rows.append([*row, first_line(result.get("text"))] if has_text else row)
    print_table(["#", "score", "id", *names, *(["text"] if has_text else [])], rows)


def shown_fields(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the first payload fields that hold something short."""
    names: dict[str, None] = {}
    for result in results:
        for name, value in (result.get("payload") or {}).items():
            if not isinstance(value, dict) and len(shown(value)) <= 2 * _FIELD_CHARACTERS:
                names.setdefault(name)
    return list(names)[:_SHOWN_FIELDS]


def first_line(text: str | None) -> str:
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")


def _cut(value: Any, characters: int) -> str:
    line = shown(value)
    return line if len(line) <= characters else f"{line[: characters - 1]}…"
