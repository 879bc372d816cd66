"""Statements that are compiled once and run below SQLAlchemy's cursors.

SQLAlchemy's asynchronous cursor crosses to the connection's thread four times for each statement,
and its result does much for each row. The catalog's statements are few: they are built with
SQLAlchemy, compiled once, and run by the driver in one crossing, in the transaction that SQLAlchemy
began and will end.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Delete, Insert, Select, Update
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

Row = Mapping[str, Any]
Values = Mapping[str, Any]

_DIALECT = sqlite_dialect(paramstyle="qmark")


class Statement:
    """Of SQL text, and of how values become what SQLite holds, and back.

    `bindparam`s are the names of the values to be given; other values are part of the statement.
    """

    def __init__(self, source: Select[Any] | Insert | Update | Delete) -> None:
        compiled = source.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._binds = [
            (name, compiled.params[name], _bind_processor(compiled.binds[name].type))
            for name in compiled.positiontup or ()
        ]
        returned = (
            source.selected_columns if isinstance(source, Select) else source.exported_columns
        )
        self._names = [column.name for column in returned]
        self._results = [
            (number, processor)
            for number, column in enumerate(returned)
            if (processor := _result_processor(column.type)) is not None
        ]

    def parameters(self, values: Values) -> list[Any]:
        """In the order of the text's question marks."""
        return [
            process(values.get(name, default)) if process else values.get(name, default)
            for name, default, process in self._binds
        ]

    def row(self, found: Sequence[Any]) -> Row:
        values = list(found)
        for number, process in self._results:
            values[number] = process(values[number])
        return dict(zip(self._names, values, strict=True))


async def run(connection: AsyncConnection, statement: Statement, values: Values) -> list[Row]:
    """The rows that it finds or returns. Raises sqlite3.Error."""
    driver = await _driver_of(connection)
    found = await driver.execute_fetchall(statement.sql, statement.parameters(values))
    return [statement.row(each) for each in found]


async def run_many(
    connection: AsyncConnection, statement: Statement, values: Sequence[Values]
) -> None:
    """Once for each of the values. Raises sqlite3.Error."""
    driver = await _driver_of(connection)
    await driver.executemany(statement.sql, [statement.parameters(each) for each in values])


async def _driver_of(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


def _bind_processor(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    return kind.dialect_impl(_DIALECT).bind_processor(_DIALECT)


def _result_processor(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    return kind.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
