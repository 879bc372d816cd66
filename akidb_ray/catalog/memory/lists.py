"""Lists over dicts: which things a page holds, and in what order."""

from collections.abc import Iterable
from typing import Any, TypeVar

from akidb_ray.catalog.cursors import Place, check_listing, cursor_after, place_of
from akidb_ray.catalog.memory.kinds import Kind, comparable
from akidb_ray.catalog.words import words_of
from akidb_ray.domain.listing import Listing, Order, Page

Thing = TypeVar("Thing")


def page_of(kind: Kind[Thing], things: Iterable[Thing], listing: Listing) -> Page[Thing]:
    """Of all `things` of one parent those that are asked for. Raises InvalidArgument."""
    check_listing(listing, kind.states, searched=bool(kind.texts))
    begin = place_of(listing)

    def rank(thing: Thing) -> tuple[str, str]:
        return _rank(kind, listing.order, _place(kind, listing.order, thing))

    wanted = [each for each in things if _matches(kind, each, listing)]
    wanted.sort(key=rank, reverse=listing.descending)
    if begin is not None:
        passed = _rank(kind, listing.order, begin)
        wanted = [
            each
            for each in wanted
            if (rank(each) < passed if listing.descending else rank(each) > passed)
        ]
    end = listing.offset + listing.limit
    page = tuple(wanted[listing.offset : end])
    if end >= len(wanted):
        return Page(page)
    return Page(page, cursor_after(listing, _place(kind, listing.order, page[-1])))


def _matches(kind: Kind[Thing], thing: Thing, listing: Listing) -> bool:
    if listing.state is not None and getattr(thing, kind.state) != listing.state:
        return False
    held = [word for field in kind.texts for word in words_of(getattr(thing, field))]
    asked = words_of(listing.text or "")
    return all(any(word.startswith(begin) for word in held) for begin in asked)


def _place(kind: Kind[Any], order: Order, thing: Any) -> Place:
    if order is Order.NAME:
        key = getattr(thing, kind.name)
    else:
        key = thing.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return Place(key, getattr(thing, kind.key).value)


def _rank(kind: Kind[Any], order: Order, place: Place) -> tuple[str, str]:
    """What lists are sorted by. Ids of one length and times of one form sort as their texts do."""
    key = comparable(kind.name, place.key) if order is Order.NAME else place.key
    return key, place.thing_id.hex
