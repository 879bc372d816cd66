"""Reading rows: one by its key or by other columns."""

from functools import cache
from typing import Any

from sqlalchemy import Column, Table, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.sqlite.columns import IdColumn
from akidb_ray.catalog.sqlite.statements import Row, Statement, run
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.ids import EntityId


def key_of(table: Table) -> Column[Any]:
    """The one column of the table's primary key."""
    (key,) = table.primary_key
    return key


def id_type_of(table: Table) -> type[EntityId]:
    column_type = key_of(table).type
    assert isinstance(column_type, IdColumn)
    return column_type.id_type


async def fetch(connection: AsyncConnection, table: Table, entity_id: EntityId) -> Row:
    """Raises NotFound."""
    return await fetch_where(connection, table, entity_id, {key_of(table).name: entity_id})


async def fetch_where(
    connection: AsyncConnection, table: Table, wanted: object, values: dict[str, Any]
) -> Row:
    """The one row that has the values. Raises NotFound, which says `wanted`."""
    try:
        rows = await run(connection, _select(table, tuple(values)), values)
    except UnicodeEncodeError:
        # Half of a surrogate pair is in no text that SQLite holds.
        rows = []
    if not rows:
        raise NotFound(table.info["kind"], wanted)
    return rows[0]


@cache
def _select(table: Table, columns: tuple[str, ...]) -> Statement:
    conditions = [table.c[name] == bindparam(name) for name in columns]
    return Statement(select(table).where(*conditions))
