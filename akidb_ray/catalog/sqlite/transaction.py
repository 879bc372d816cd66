"""One transaction on the catalog's file: rows written together with the record that they were.

Each row that changes raises the catalog's version by one and leaves a row in `changes`, in the same
transaction. Secrets never get there, nor do jobs: nobody who follows the catalog has copies of
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import Table, bindparam, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.sqlite.rows import key_of
from akidb_ray.catalog.sqlite.statements import Statement, run, run_many
from akidb_ray.catalog.sqlite.tables import catalog_meta, changes, jobs
from akidb_ray.catalog.sqlite.translation import refusals
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.ids import EntityId

Action = Literal["created", "updated", "deleted"]

# What callers put into `metadata` is for nobody else.
SECRETS = frozenset({"password_hash", "metadata"})
UNRECORDED = frozenset({jobs})


@dataclass(slots=True)
class Transaction:
    """Under way since `now`; `version` is the catalog's, with the changes made so far."""

    connection: AsyncConnection
    now: datetime
    version: int
    _recorded: list[dict[str, Any]] = field(default_factory=list)

    async def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        """Add a row. Raises AlreadyExists, NotFound, InvalidArgument."""
        with refusals(table, values):
            await run(self.connection, _insert(table), values)
        self._record_row(table, values[key_of(table).name], "created", values)

    async def edit(
        self, table: Table, entity_id: EntityId, values: Mapping[str, Any], version: int
    ) -> None:
        """Give a row new values and its next `version`. Raises AlreadyExists, InvalidArgument."""
        new = {**values, "version": version, "updated_at": self.now}
        statement = _update(table, tuple(new))
        with refusals(table, values):
            named = {f"new_{name}": value for name, value in new.items()}
            await run(self.connection, statement, {"entity_id": entity_id, **named})
        self._record_row(table, entity_id, "updated", values)

    async def delete(self, table: Table, entity_id: EntityId) -> None:
        """With all rows that belong to it. Raises NotFound."""
        if not await run(self.connection, _delete(table), {"entity_id": entity_id}):
            raise NotFound(table.info["kind"], entity_id)
        self._record_row(table, entity_id, "deleted", {})

    def record(
        self, kind: str, entity_id: EntityId, action: Action, values: Mapping[str, Any]
    ) -> None:
        """Raise the catalog's version; `finish` writes what happened in it."""
        self.version += 1
        self._recorded.append(
            {
                "catalog_version": self.version,
                "changed_at": self.now,
                "kind": kind,
                "entity_id": entity_id.bytes,
                "action": action,
                "body": {name: value for name, value in values.items() if name not in SECRETS},
            }
        )

    async def finish(self) -> None:
        """Write the record of all changes, as the last thing before the commit."""
        if self._recorded:
            await run_many(self.connection, _insert(changes), self._recorded)
            await run(self.connection, _RAISE_VERSION, {"version": self.version})

    def _record_row(
        self, table: Table, entity_id: EntityId, action: Action, values: Mapping[str, Any]
    ) -> None:
        if table not in UNRECORDED:
            self.record(table.info["kind"], entity_id, action, values)


@cache
def _insert(table: Table) -> Statement:
    return Statement(insert(table))


@cache
def _update(table: Table, columns: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return Statement(update(table).where(key_of(table) == bindparam("entity_id")).values(values))


@cache
def _delete(table: Table) -> Statement:
    key = key_of(table)
    return Statement(delete(table).where(key == bindparam("entity_id")).returning(key))


_RAISE_VERSION = Statement(update(catalog_meta).values(catalog_version=bindparam("version")))
