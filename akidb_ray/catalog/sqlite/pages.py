"""Reading a page of rows: sorted, filtered by state and words, from a cursor or an offset on."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, Table, Text, bindparam, column, select, tuple_
from sqlalchemy import table as named_table
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.cursors import Place, check_listing, cursor_after, place_of
from akidb_ray.catalog.sqlite.columns import instant_text
from akidb_ray.catalog.sqlite.rows import id_type_of, key_of
from akidb_ray.catalog.sqlite.statements import Row, Statement, run
from akidb_ray.catalog.words import written_words_of
from akidb_ray.domain.ids import EntityId
from akidb_ray.domain.listing import Listing, Order


@dataclass(frozen=True, slots=True)
class Listed:
    """How the rows of a table are listed: within the same value of `parent`, if there is one, by
    their `name`, by their `state`, which is one of `states`, and by the words in `searched`.
    """

    table: Table
    name: Column[Any]
    state: Column[Any]
    states: tuple[str, ...]
    parent: Column[Any] | None = None
    searched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a listing decides the statement; all else are values given to it."""

    order: Order
    descending: bool
    within: bool
    after: bool
    in_state: bool
    with_words: bool


async def fetch_page(
    connection: AsyncConnection, listed: Listed, listing: Listing, parent: EntityId | None = None
) -> tuple[list[Row], str | None]:
    """The rows of `parent`, or of all, that are asked for, and the cursor of the next page; None
    after the last. Raises InvalidArgument.
    """
    check_listing(listing, listed.states, searched=bool(listed.searched))
    statement, values = page_statement(listed, listing, parent)
    rows = await run(connection, statement, values)
    if len(rows) <= listing.limit:
        return rows, None
    last = rows[listing.limit - 1]
    value = last[_sorted_by(listed, listing.order).name]
    text = instant_text(value) if isinstance(value, datetime) else value
    place = Place(text, last[key_of(listed.table).name].value)
    return rows[: listing.limit], cursor_after(listing, place)


def page_statement(
    listed: Listed, listing: Listing, parent: EntityId | None
) -> tuple[Statement, dict[str, Any]]:
    """For one row more than asked for: it says whether there is another page."""
    place = place_of(listing)
    words = written_words_of(listing.text or "")
    asked = Asked(
        order=listing.order,
        descending=listing.descending,
        within=parent is not None,
        after=place is not None,
        in_state=listing.state is not None,
        with_words=bool(words),
    )
    values = {
        "limit": listing.limit + 1,
        "offset": listing.offset,
        "state": listing.state,
        "parent": parent,
    }
    if words:
        values["words"] = _match(listed, words, parent)
    if place is not None:
        thing_id = id_type_of(listed.table)(place.thing_id)
        values |= {"last_value": place.key, "last_key": thing_id}
    return _statement(listed, asked), values


@cache
def _statement(listed: Listed, asked: Asked) -> Statement:
    query = select(listed.table)
    sorted_by, key = _sorted_by(listed, asked.order), key_of(listed.table)
    if asked.within and listed.parent is not None:
        query = query.where(listed.parent == bindparam("parent"))
    if asked.in_state:
        query = query.where(listed.state == bindparam("state"))
    if asked.with_words:
        query = query.where(key.in_(_matching(listed.table)))
    if asked.after:
        here = tuple_(sorted_by, key)
        there = tuple_(bindparam("last_value", type_=Text()), bindparam("last_key", type_=key.type))
        query = query.where(here < there if asked.descending else here > there)
    columns = [each.desc() if asked.descending else each for each in (sorted_by, key)]
    page = query.order_by(*columns).limit(bindparam("limit")).offset(bindparam("offset"))
    return Statement(page)


def _matching(table: Table) -> Select[Any]:
    """The keys of the rows that hold the words. By their numbers, because FTS5 is slow to tell the
    columns of very many matches.
    """
    index = f"{table.name}_fts"
    found = named_table(index, column("rowid"), column(index))
    numbered = named_table(f"{index}_rows", column("number"), column(key_of(table).name))
    joined = found.join(numbered, numbered.c.number == found.c.rowid)
    keys: Select[Any] = select(numbered.c[key_of(table).name]).select_from(joined)
    return keys.where(found.c[index].match(bindparam("words")))


def _sorted_by(listed: Listed, order: Order) -> Column[Any]:
    return listed.name if order is Order.NAME else listed.table.c.created_at


def _match(listed: Listed, words: list[str], parent: EntityId | None) -> str:
    """In FTS5's query language."""
    # Quoted, a word can't be an operator of that language; it holds no quotes itself. What the
    # tokenizer takes for several words is found where these follow each other.
    texts = " ".join(f'"{word}"*' for word in words)
    match = f"{{{' '.join(listed.searched)}}} : ({texts})"
    return match if parent is None else f'parent : "{parent.value.hex}" AND {match}'
