"""What pydantic has against a value, as one of our errors."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from akidb_ray.domain.errors import InvalidArgument


def complaint_of(error: ValidationError) -> InvalidArgument:
    """What it found first, with the field's path as a person writes it."""
    complaints = error.errors(include_url=False, include_context=False, include_input=False)
    first = complaints[0]
    path = first["loc"]
    row = next((part for part in path if isinstance(part, int)), None)
    reason = str(first["msg"])
    if first["type"] == "extra_forbidden":
        reason = "is not known here"
    elif first["type"] == "missing":
        # A name that is misspelt is both missing and not known.
        others: list[Any] = [each for each in complaints if each["type"] == "extra_forbidden"]
        beside = [_written(each["loc"]) for each in others if each["loc"][:-1] == path[:-1]]
        unknown = "".join(f"; {name} is not known here" for name in beside)
        reason = f"is required{unknown}"
    return InvalidArgument(_written(path) or "body", reason, row)


def _written(path: Sequence[str | int]) -> str:
    """As a person writes it: `documents[1].id`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text
