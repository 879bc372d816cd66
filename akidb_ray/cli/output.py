"""What commands print: tables for people, JSON for programs.

Texts come from documents that somebody else wrote, so nothing of them reaches the terminal as
markup or as a control sequence.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from akidb_ray.cli.misuse import Misuse

if TYPE_CHECKING:
    from rich.console import Console

# Where no terminal says how wide it is, nobody is served by lines that break.
_WIDTH_IN_A_PIPE = 200
_HALF = re.compile("[\ud800-\udfff]")


def print_json(value: Any) -> None:
    sys.stdout.write(_halves_escaped(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def print_line(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table with a header. Numbers stand on the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        numbers = bool(cells) and all(isinstance(row[position], (int, float)) for row in cells)
        last = position == len(columns) - 1
        table.add_column(
            column,
            justify="right" if numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if last and not numbers else None,
        )
    for row in cells:
        table.add_row(*(Text(shown(cell)) for cell in row))
    _console().print(table)


def print_fields(values: Mapping[str, Any]) -> None:
    """One line per field, the values under each other."""
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        print_line(f"{name.ljust(width)}  {shown(value)}")


def shown(value: Any) -> str:
    """One line for a person."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (dict, list)):
        value = json.dumps(value, ensure_ascii=False)
    return printable(str(value))


def printable(text: str) -> str:
    """The text with each character that could move a cursor or change a colour made a space."""
    visible = _halves_escaped(text)
    return "".join(character if character.isprintable() else " " for character in visible)


def _halves_escaped(text: str) -> str:
    """JSON can name halves of surrogate pairs, but no encoding can write them out."""
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def parse_json_option(text: str, option: str) -> Any:
    """Raises Misuse that names the option."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Misuse(option, f"is not JSON: {error}") from None


def _console() -> "Console":
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE
    return Console(width=width, highlight=False)
