"""Finding a thing by what a caller has of it: its id, its name, or the text of its id."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from akidb_ray.domain.errors import InvalidArgument, NotFound
from akidb_ray.domain.ids import EntityId
from akidb_ray.domain.listing import MAX_PAGE_ROWS, Listing, Page

Thing = TypeVar("Thing")
Id = TypeVar("Id", bound=EntityId)


async def find(
    ref: str | Id,
    id_type: type[Id],
    by_name: Callable[[str], Awaitable[Thing]],
    by_id: Callable[[Id], Awaitable[Thing]],
) -> Thing:
    """By name, else by id, where `ref` is a text. Raises NotFound."""
    if isinstance(ref, EntityId):
        return await by_id(ref)
    try:
        return await by_name(ref)
    except NotFound:
        try:
            thing_id = id_type.parse(ref)
        except InvalidArgument:
            thing_id = None
        if thing_id is None:
            raise
    return await by_id(thing_id)


async def every(
    page_of: Callable[[Listing], Awaitable[Page[Thing]]], listing: Listing | None = None
) -> AsyncIterator[Thing]:
    """All things of a list, page by page."""
    asked = replace(listing or Listing(), limit=MAX_PAGE_ROWS)
    while True:
        page = await page_of(asked)
        for thing in page.items:
            yield thing
        if page.next_cursor is None:
            return
        asked = replace(asked, cursor=page.next_cursor)
