"""The options that every `list` command has."""

from typing import Annotated

import typer

from akidb_ray.domain.listing import Order

Search = Annotated[
    str | None,
    typer.Option(help="Words in name or description, or beginnings of words.", show_default=False),
]
Limit = Annotated[int, typer.Option(min=1, help="How many to show at most.")]
All = Annotated[bool, typer.Option("--all", help="Show all, however many there are.")]
By = Annotated[
    Order | None,
    typer.Option(help="What to sort by; by creation when left out.", show_default=False),
]
Descending = Annotated[
    bool, typer.Option("--descending", help="The newest, or the last of the alphabet, first.")
]

DEFAULT_LIMIT = 100
