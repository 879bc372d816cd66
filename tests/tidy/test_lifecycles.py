"""docs/catalog.md shows the lifecycles as the transition tables have them.

In the page, a table stands below a comment with its name: `<!-- lifecycle: tenant -->`. A failure
prints the text that belongs there.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.domain.collection import COLLECTION_MOVES
from akidb_ray.domain.jobs import JOB_MOVES
from akidb_ray.domain.tenancy import DATABASE_MOVES, TENANT_MOVES

PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"
LIFECYCLE = re.compile(r"<!-- lifecycle: (?P<name>\w+) -->\n(?P<table>(?:\|.*\n)*)")

MOVES: dict[str, Mapping[Any, frozenset[Any]]] = {
    "tenant": TENANT_MOVES,
    "database": DATABASE_MOVES,
    "collection": COLLECTION_MOVES,
    "job": JOB_MOVES,
}


def table_of(moves: Mapping[Any, frozenset[Any]]) -> str:
    """As Markdown, in the order in which the states are defined."""
    lines = ["| from | to |", "|---|---|"]
    for current, wanted in moves.items():
        following = [f"`{each}`" for each in type(current) if each in wanted]
        lines.append(f"| `{current}` | {', '.join(following) or 'nothing: it stays so'} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", MOVES)
def test_the_page_shows_the_lifecycle_as_it_is(name: str) -> None:
    shown = {found["name"]: found["table"] for found in LIFECYCLE.finditer(PAGE.read_text("utf-8"))}
    assert shown.get(name) == table_of(MOVES[name]), f"\n{table_of(MOVES[name])}"


def test_no_other_lifecycle_is_shown() -> None:
    assert {found["name"] for found in LIFECYCLE.finditer(PAGE.read_text("utf-8"))} == set(MOVES)


def test_every_state_has_its_row() -> None:
    class Light(StrEnum):
        RED = "red"
        GREEN = "green"

    moves = {Light.RED: frozenset({Light.GREEN, Light.RED}), Light.GREEN: frozenset[Light]()}
    assert table_of(moves) == (
        "| from | to |\n|---|---|\n| `red` | `red`, `green` |\n| `green` | nothing: it stays so |\n"
    )
