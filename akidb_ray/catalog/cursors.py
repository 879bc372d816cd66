"""What a list may be asked for, and its cursors: where the next page begins.

A cursor says by what the list was sorted and what its last thing was, so that a page begins after
that thing even when it is gone meanwhile. Callers must not look into it.
"""

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.listing import MAX_PAGE_ROWS, Listing, Order

MAX_OFFSET = 2**31


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list: what the last thing is sorted by, as text, and its id."""

    key: str
    thing_id: UUID


def check_listing(listing: Listing, states: Collection[str], *, searched: bool = True) -> None:
    """Raise InvalidArgument, naming the field, for what no list of these things can answer.

    `states` are those that the things can be in; `searched` says whether they have a text.
    """
    if not 1 <= listing.limit <= MAX_PAGE_ROWS:
        raise InvalidArgument("limit", f"must be from 1 to {MAX_PAGE_ROWS}, is {listing.limit}")
    if not 0 <= listing.offset <= MAX_OFFSET:
        raise InvalidArgument("offset", f"must be from 0 to {MAX_OFFSET}, is {listing.offset}")
    if listing.offset and listing.cursor is not None:
        raise InvalidArgument("offset", "can't be used together with a cursor")
    if listing.order not in tuple(Order):
        raise InvalidArgument("order", f"must be one of {', '.join(Order)}")
    if listing.state is not None and listing.state not in tuple(states):
        raise InvalidArgument("state", f"must be one of {', '.join(states)}")
    if listing.text is not None and not searched:
        raise InvalidArgument("text", "can't be used here: these things have no text")


def cursor_after(listing: Listing, place: Place) -> str:
    """What asks for the things after `place`."""
    fields = [listing.order, listing.descending, place.key, place.thing_id.hex]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def place_of(listing: Listing) -> Place | None:
    """Where its cursor says that the page begins; None without a cursor.

    Raises InvalidArgument when no list, or one of another order, made the cursor.
    """
    if listing.cursor is None:
        return None
    try:
        padded = f"{listing.cursor}{'=' * (-len(listing.cursor) % 4)}"
        text = base64.b64decode(padded, altchars=b"-_", validate=True)
        order, descending, key, thing_id = json.loads(text)
        place = Place(key, UUID(hex=thing_id))
        key.encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidArgument("cursor", "was not made by a list") from None
    if (order, descending) != (listing.order, listing.descending):
        raise InvalidArgument("cursor", "was made by a list of another order; start anew")
    return place
