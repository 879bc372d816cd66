"""What the repositories of all kinds of things have in common: a table, whose rows they are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy import Table, literal_column, select

from akidb_ray.catalog.edits import check_version
from akidb_ray.catalog.sqlite.pages import Listed, fetch_page
from akidb_ray.catalog.sqlite.rows import fetch, fetch_where, key_of
from akidb_ray.catalog.sqlite.statements import Row, Statement, run
from akidb_ray.catalog.sqlite.transaction import Transaction
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import EntityId
from akidb_ray.domain.listing import Listing, Page

Thing = TypeVar("Thing")
ThingId = TypeVar("ThingId", bound=EntityId)


@dataclass(frozen=True, slots=True)
class Mapped(Generic[Thing]):
    """How things become rows and back, and how these are listed."""

    listed: Listed
    thing_of: Callable[[Row], Thing]
    row_of: Callable[[Thing], dict[str, Any]]

    @property
    def table(self) -> Table:
        return self.listed.table


class SqliteRepository(Generic[Thing, ThingId]):
    """Carries out `repositories.Repository` on the rows of one table."""

    mapped: Mapped[Thing]

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, thing: Thing) -> None:
        values = self.mapped.row_of(thing)
        if values["version"] != 1:
            raise InvalidArgument("version", f"of a new thing must be 1, is {values['version']}")
        await self._transaction.insert(self.mapped.table, values)

    async def get(self, thing_id: ThingId) -> Thing:
        row = await fetch(self._transaction.connection, self.mapped.table, thing_id)
        return self.mapped.thing_of(row)

    async def update(self, thing: Thing) -> Thing:
        table = self.mapped.table
        values = self.mapped.row_of(thing)
        thing_id = values[key_of(table).name]
        row = await fetch(self._transaction.connection, table, thing_id)
        _check_unmoved(self.mapped, row, values)
        kept = ("version", "updated_at")
        new = {
            name: value
            for name, value in values.items()
            if name not in kept and not _same(row[name], value)
        }
        if not new:
            return self.mapped.thing_of(row)
        version = row["version"] + 1
        await self._transaction.edit(table, thing_id, new, version)
        now = {"version": version, "updated_at": self._transaction.now}
        return self.mapped.thing_of({**row, **new, **now})

    async def delete(self, thing_id: ThingId) -> None:
        await self._transaction.delete(self.mapped.table, thing_id)

    async def _deleting(self) -> list[Thing]:
        rows = await run(self._transaction.connection, deleting_statement(self.mapped.table), {})
        return [self.mapped.thing_of(row) for row in rows]

    async def _find(self, wanted: object, values: dict[str, Any]) -> Thing:
        table = self.mapped.table
        row = await fetch_where(self._transaction.connection, table, wanted, values)
        return self.mapped.thing_of(row)

    async def _page(self, listing: Listing, parent: EntityId | None = None) -> Page[Thing]:
        connection = self._transaction.connection
        rows, cursor = await fetch_page(connection, self.mapped.listed, listing, parent)
        return Page(tuple([self.mapped.thing_of(row) for row in rows]), cursor)


@cache
def deleting_statement(table: Table) -> Statement:
    # Written out: only then SQLite takes the index of just these rows.
    deleting = select(table).where(table.c.state == literal_column("'deleting'"))
    return Statement(deleting.order_by(key_of(table)))


def _check_unmoved(mapped: Mapped[Any], row: Row, values: Mapping[str, Any]) -> None:
    """Raise PreconditionFailed unless `values` have the row's version, InvalidArgument where they
    change what never changes.
    """
    kind = mapped.table.info["kind"]
    thing_id = row[key_of(mapped.table).name]
    check_version(kind, thing_id, row["version"], values["version"])
    parent = mapped.listed.parent
    for column in (mapped.table.c.created_at, parent):
        if column is not None and row[column.name] != values[column.name]:
            raise InvalidArgument(column.name, "cannot change after creation")


def _same(one: Any, other: Any) -> bool:
    """Equal also as JSON, where true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        texts = [json.dumps(dict(each), sort_keys=True) for each in (one, other)]
        return texts[0] == texts[1]
    return bool(one == other)
