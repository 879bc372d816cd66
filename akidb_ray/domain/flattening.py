"""What conditions see of a payload: its values by path.

Arrays are opened: their elements stand at the path of the array, and what is inside of elements at
paths through `[]`. So `{"a": {"b": 1}, "tags": ["x", null], "stops": [{"n": 5}]}` becomes
`a: OBJECT`, `a.b: 1`, `tags: "x", None`, `stops: OBJECT`, `stops[].n: 5`.
"""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeGuard

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Scalar

MAX_DEPTH = 100


class Mark(Enum):
    """What is at a path that is neither a scalar nor null: an object, an array inside of an array,
    or an array without elements (which counts as no value).
    """

    OBJECT = "object"
    ARRAY = "array"
    EMPTY = "empty"


class Point(NamedTuple):
    """An object with the numbers `lon` (-180 to 180) and `lat` (-90 to 90), in degrees."""

    lat: float
    lon: float


Value = Scalar | Point | Mark | None
Flat = Mapping[str, list[Value]]


def flatten(payload: Mapping[str, Any]) -> dict[str, list[Value]]:
    """All values of a payload (decoded JSON) by path.

    Raises InvalidArgument when it is nested too deeply.
    """
    flat: dict[str, list[Value]] = {}
    _flatten_object(flat, payload, "", MAX_DEPTH)
    return flat


def _flatten_object(
    flat: dict[str, list[Value]], value: Mapping[str, Any], prefix: str, depth: int
) -> None:
    # Every document that is written comes through here: exact types are told apart fastest.
    for key, inner in value.items():
        kind = type(inner)
        path = prefix + key
        if kind is dict:
            _check_depth(depth)
            flat.setdefault(path, []).append(_object(inner))
            _flatten_object(flat, inner, f"{path}.", depth - 1)
        elif kind is list:
            _check_depth(depth)
            _flatten_list(flat, inner, path, depth - 1)
        else:
            flat.setdefault(path, []).append(inner)


def _flatten_list(flat: dict[str, list[Value]], value: list[Any], path: str, depth: int) -> None:
    found = flat.setdefault(path, [])
    if not value:
        found.append(Mark.EMPTY)
    for inner in value:
        kind = type(inner)
        if kind is dict:
            _check_depth(depth)
            found.append(_object(inner))
            _flatten_object(flat, inner, f"{path}[].", depth - 1)
        elif kind is list:
            _check_depth(depth)
            found.append(Mark.ARRAY)
            _flatten_list(flat, inner, f"{path}[]", depth - 1)
        else:
            found.append(inner)


def _object(value: Mapping[str, Any]) -> Value:
    lon, lat = value.get("lon"), value.get("lat")
    if _is_degrees(lon, 180) and _is_degrees(lat, 90):
        return Point(float(lat), float(lon))
    return Mark.OBJECT


def _is_degrees(value: Any, most: int) -> TypeGuard[float]:
    return type(value) in (int, float) and not math.isnan(value) and -most <= value <= most


def _check_depth(depth: int) -> None:
    if depth == 1:
        raise InvalidArgument("payload", f"is nested deeper than {MAX_DEPTH} levels")
