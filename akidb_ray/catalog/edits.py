"""What a caller may change of a thing: names of fields, and the check that each value passes."""

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from akidb_ray.domain.errors import InvalidArgument, PreconditionFailed
from akidb_ray.domain.flattening import MAX_DEPTH

Check = Callable[[Any, str], Any]


def checked(
    changes: Mapping[str, Any], fields: Mapping[str, Check], fixed: Collection[str] = ()
) -> dict[str, Any]:
    """The checked values. `fixed` fields exist but never change.

    Raises InvalidArgument that names the first field which is unknown, fixed, or wrong.
    """
    values = {}
    for name, value in changes.items():
        if name in fixed:
            raise InvalidArgument(name, "cannot change after creation")
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise InvalidArgument(name, f"is not a field that can change; these can: {known}")
        values[name] = fields[name](value, name)
    return values


def optional(check: Check) -> Check:
    """None passes; everything else must pass `check`."""
    return lambda value, field: None if value is None else check(value, field)


def one_of(kind: type[StrEnum]) -> Check:
    """A member of the enum, or the string that it stands for."""

    def check(value: Any, field: str) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            raise InvalidArgument(field, f"must be one of {', '.join(kind)}") from None

    return check


def check_instant(value: Any, field: str) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidArgument(field, "must be a time with its offset from UTC")
    return value


def check_hash(value: Any, field: str) -> bytes:
    if not isinstance(value, bytes) or not value:
        raise InvalidArgument(field, "must be the bytes of a hash")
    return value


def check_json_object(value: Any, field: str) -> dict[str, Any]:
    """A JSON object, as it will be read back. Deep ones are refused: whoever pickles or prints them
    later comes to the end of the stack.
    """
    if not isinstance(value, Mapping):
        raise InvalidArgument(field, "must be an object")
    try:
        text = json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(field, "holds something that JSON can't say") from None
    loaded: dict[str, Any] = json.loads(text)
    _check_depth(loaded, field)
    return loaded


def _check_depth(value: Any, field: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for part in inner for each in part if isinstance(each, dict | list)]
        if not level:
            return
    raise InvalidArgument(field, f"is nested deeper than {MAX_DEPTH} levels")


def check_version(kind: str, thing_id: object, version: int, if_version: int | None) -> None:
    """Raise PreconditionFailed unless `version`, which a thing has, is the one that was asked for.

    None asks for none.
    """
    if if_version is not None and version != if_version:
        raise PreconditionFailed(
            f"{kind} {thing_id} has version {version}, not {if_version}; read it again",
            kind=kind,
            version=version,
        )
