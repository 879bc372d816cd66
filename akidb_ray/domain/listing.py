"""Lists: what of a list is asked for, and the part of it that comes back."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_PAGE_ROWS = 1000
DEFAULT_PAGE_ROWS = 100


class Order(StrEnum):
    """By what a list is sorted; equal ones by id. `name` is the slug of a tenant, and the email of
    a user.
    """

    CREATED = "created"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Listing:
    """What of a list is asked for: up to `limit` things after `cursor`, or after `offset` things.

    `state` keeps those in that state or status. `text` keeps those whose name or description holds
    all its words, each perhaps as the beginning of a longer one, whatever case and accents. Users
    and jobs have no text to be searched.
    """

    limit: int = DEFAULT_PAGE_ROWS
    cursor: str | None = None
    offset: int = 0
    order: Order = Order.CREATED
    descending: bool = False
    state: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_cursor` asks, with the same order, for the things after these; None: there are none."""

    items: tuple[T, ...]
    next_cursor: str | None = None
