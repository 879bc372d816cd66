"""Reading rows: one by id, one by name or id, or a page of them."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.columns import IdColumn
from akidb_ray.domain.errors import InvalidArgument, NotFound
from akidb_ray.domain.ids import EntityId

MAX_PAGE_ROWS = 1000

Row = Mapping[Any, Any]


def key_of(table: Table) -> Column[Any]:
    """The one column of the table's primary key."""
    (key,) = table.primary_key
    return key


async def fetch(connection: AsyncConnection, table: Table, entity_id: EntityId) -> Row:
    """Raises NotFound."""
    row = await _first(connection, table, key_of(table) == entity_id)
    if row is None:
        raise NotFound(table.info["kind"], entity_id)
    return row


async def fetch_by_ref(
    connection: AsyncConnection,
    table: Table,
    name: Column[Any],
    ref: str | EntityId,
    *within: ColumnElement[bool],
) -> Row:
    """By the value of column `name`, else by id, among the rows `within`. Raises NotFound."""
    text = str(ref)
    row = await _first(connection, table, name == text, *within)
    entity_id = _parse(table, text)
    if row is None and entity_id is not None:
        row = await _first(connection, table, key_of(table) == entity_id, *within)
    if row is None:
        raise NotFound(table.info["kind"], ref)
    return row


async def fetch_page(
    connection: AsyncConnection,
    table: Table,
    limit: int,
    cursor: str | None,
    *within: ColumnElement[bool],
) -> tuple[list[Row], str | None]:
    """Up to `limit` rows in the order of their ids, which is that of creation, after `cursor`.

    The second value is the cursor of the next page, None after the last. Raises InvalidArgument.
    """
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise InvalidArgument("limit", f"must be from 1 to {MAX_PAGE_ROWS}")
    key = key_of(table)
    # One row more than asked for says whether there is another page.
    query = select(table).where(*within).order_by(key).limit(limit + 1)
    if cursor is not None:
        query = query.where(key > _from_cursor(table, cursor))
    rows: list[Row] = list((await connection.execute(query)).mappings())
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], _cursor(rows[limit - 1][key.name])


async def _first(
    connection: AsyncConnection, table: Table, *conditions: ColumnElement[bool]
) -> Row | None:
    return (await connection.execute(select(table).where(*conditions))).mappings().first()


def _id_type(table: Table) -> type[EntityId]:
    column_type = key_of(table).type
    assert isinstance(column_type, IdColumn)
    return column_type.id_type


def _parse(table: Table, text: str) -> EntityId | None:
    try:
        return _id_type(table).parse(text)
    except InvalidArgument:
        return None


def _cursor(entity_id: EntityId) -> str:
    return base64.urlsafe_b64encode(entity_id.bytes).decode().rstrip("=")


def _from_cursor(table: Table, cursor: str) -> EntityId:
    try:
        value = base64.b64decode(f"{cursor}==", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        value = b""
    if len(value) != 16:
        raise InvalidArgument("cursor", "was not made by a list")
    return _id_type(table).parse(value.hex(), "cursor")
