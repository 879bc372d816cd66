"""What JSON can say: payloads hold nothing else."""

import math
from collections.abc import Mapping

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.flattening import MAX_DEPTH


def check_json(value: object, field: str) -> None:
    """Raise InvalidArgument that names the path, from `field` on, of what is no JSON.

    Whole numbers may have more than 64 bits, as long as a float has room for them.
    """
    try:
        _check(value, field)
    except RecursionError:
        raise InvalidArgument(field, f"is nested deeper than {MAX_DEPTH} levels") from None


def _check(value: object, path: str) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float | int):
        _check_number(value, path)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidArgument(path, f"has the key {key!r}, which is no text")
            _check_text(key, path)
            _check(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            _check(inner, f"{path}[{position}]")
    else:
        raise InvalidArgument(path, f"is of the type {type(value).__name__}, not JSON")


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(path, "is not valid Unicode") from None


def _check_number(number: float, path: str) -> None:
    try:
        finite = math.isfinite(number)
    except OverflowError:
        # A whole number of more than 308 digits.
        finite = False
    if not finite:
        raise InvalidArgument(path, "must be a finite number")
