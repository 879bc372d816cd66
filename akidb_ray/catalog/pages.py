"""A part of a list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_cursor` asks for the items after these; None says that there are no more."""

    items: tuple[T, ...]
    next_cursor: str | None = None
