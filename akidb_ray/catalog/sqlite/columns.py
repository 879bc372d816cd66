"""How values look in SQLite: ids as 16 bytes, times as ISO-8601 UTC text, JSON as text."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from akidb_ray.domain.ids import EntityId


class IdColumn(TypeDecorator[EntityId]):
    """A typed id as a 16-byte BLOB. Writing an id of another type is a defect: TypeError."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, id_type: type[EntityId]) -> None:
        super().__init__()
        self.id_type = id_type
        # All rows of a page have one parent.
        self._id_of = lru_cache(maxsize=4096)(lambda value: id_type(UUID(bytes=value)))

    def process_bind_param(self, value: EntityId | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        if type(value) is not self.id_type:
            raise TypeError(f"{value!r} is not a {self.id_type.__name__}")
        return value.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> EntityId | None:
        return None if value is None else self._id_of(value)


def instant_text(value: datetime) -> str:
    """Of fixed width, so it sorts as text."""
    utc = value.astimezone(UTC).isoformat(timespec="microseconds")
    return utc.removesuffix("+00:00") + "Z"


class InstantColumn(TypeDecorator[datetime]):
    """An aware datetime as `2026-01-31T12:00:00.000000Z`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return instant_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class JsonColumn(TypeDecorator[Mapping[str, Any]]):
    """A JSON object as text, escaped to ASCII so that any string of JSON can be stored."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(dict(value), allow_nan=False, default=str)

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        if value == "{}":
            return {}
        return None if value is None else json.loads(value)
