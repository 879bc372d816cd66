"""Checks of the numbers in a request."""

import math
from typing import Any

from akidb_ray.domain.errors import InvalidArgument


def check_whole(field: str, value: Any, low: int, high: int) -> None:
    """Raises InvalidArgument unless `value` is a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgument(field, f"must be a whole number from {low} to {high}, is {value!r}")


def check_finite(field: str, value: Any) -> None:
    """Raises InvalidArgument unless `value` is a number, neither infinite nor NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidArgument(field, f"must be a finite number, is {value!r}")
