"""One change of the catalog: rows written together with the record that they were.

Each row that changes raises the catalog's version by one and leaves a row in `changes`, in the same
transaction. Secrets never get there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.rows import key_of
from akidb_ray.catalog.tables import catalog_meta, changes
from akidb_ray.catalog.translation import refusals
from akidb_ray.domain.errors import PreconditionFailed
from akidb_ray.domain.ids import EntityId

Action = Literal["created", "updated", "deleted"]

SECRETS = frozenset({"password_hash"})


@dataclass(frozen=True, slots=True)
class Change:
    """A write transaction under way; `now` is its time."""

    connection: AsyncConnection
    now: datetime

    async def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        """Add a row in its version 1. Raises AlreadyExists, NotFound, InvalidArgument."""
        row = {**values, "version": 1, "created_at": self.now, "updated_at": self.now}
        with refusals(table, row):
            await self.connection.execute(insert(table).values(row))
        await self.record(table.info["kind"], values[key_of(table).name], "created", values)

    async def edit(
        self,
        table: Table,
        row: Mapping[str, Any],
        values: Mapping[str, Any],
        if_version: int | None,
    ) -> None:
        """Give `row`, as it was read in this transaction, the new values.

        Values that it has already change nothing, and then nothing is recorded. Raises
        PreconditionFailed unless the row has `if_version`, AlreadyExists, InvalidArgument.
        """
        kind, key = table.info["kind"], key_of(table)
        if if_version is not None and row["version"] != if_version:
            raise PreconditionFailed(
                f"{kind} {row[key.name]} has version {row['version']}, not {if_version}; "
                "read it again",
                kind=kind,
                version=row["version"],
            )
        new = {name: value for name, value in values.items() if row[name] != value}
        if not new:
            return
        kept = {"version": row["version"] + 1, "updated_at": self.now}
        statement = update(table).where(key == row[key.name]).values({**new, **kept})
        with refusals(table, new):
            await self.connection.execute(statement)
        await self.record(kind, row[key.name], "updated", new)

    async def delete(self, table: Table, entity_id: EntityId) -> None:
        await self.connection.execute(delete(table).where(key_of(table) == entity_id))
        await self.record(table.info["kind"], entity_id, "deleted", {})

    async def record(
        self, kind: str, entity_id: EntityId, action: Action, values: Mapping[str, Any]
    ) -> None:
        """Raise the catalog's version and say what happened in it."""
        raised = update(catalog_meta).values(catalog_version=catalog_meta.c.catalog_version + 1)
        version = await self.connection.scalar(raised.returning(catalog_meta.c.catalog_version))
        row = {
            "catalog_version": version,
            "changed_at": self.now,
            "kind": kind,
            "entity_id": entity_id.bytes,
            "action": action,
            "body": {name: value for name, value in values.items() if name not in SECRETS},
        }
        await self.connection.execute(insert(changes).values(row))


async def catalog_version(connection: AsyncConnection) -> int:
    """The version that this transaction sees."""
    version: int | None = await connection.scalar(select(catalog_meta.c.catalog_version))
    assert version is not None
    return version
