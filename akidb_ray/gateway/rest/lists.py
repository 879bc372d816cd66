"""Queries of lists and deletions, and how a page of a list is answered."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Response
from pydantic import BaseModel, Field

from akidb_ray.catalog.words import words_of
from akidb_ray.domain.collection import CollectionState
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.jobs import JobState
from akidb_ray.domain.listing import DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS, Listing, Order, Page
from akidb_ray.domain.tenancy import DatabaseState, TenantStatus
from akidb_ray.gateway.rest.answers import json_response

T = TypeVar("T")
_MAX_OFFSET = 2**31 - 1
_MAX_QUERY_CHARACTERS = 1024
_DEFAULT_WAIT_S = 5
_MAX_WAIT_S = 60


class ListQuery(BaseModel):
    limit: int = Field(DEFAULT_PAGE_ROWS, ge=1, le=MAX_PAGE_ROWS, description="How many at most.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    offset: int = Field(
        0, ge=0, le=_MAX_OFFSET, description="How many to skip; a cursor does it faster."
    )
    descending: bool = Field(False, description="The newest, or the last of the alphabet, first.")


class SearchedList(ListQuery):
    order: Order = Field(Order.CREATED, description="By time of creation, or by name.")
    q: str | None = Field(
        None,
        max_length=_MAX_QUERY_CHARACTERS,
        description="Words that names and descriptions must hold, or beginnings of such words.",
        examples=["films"],
    )


class TenantList(SearchedList):
    """`name` is the order of slugs."""

    status: TenantStatus | None = None


class DatabaseList(SearchedList):
    state: DatabaseState | None = None


class CollectionList(SearchedList):
    state: CollectionState | None = None


class JobList(ListQuery):
    state: JobState | None = None
    tenant: str | None = Field(
        None, description="Slug or id; of a tenant that is gone, the id. Left out: all."
    )


class Deletion(BaseModel):
    wait_s: float = Field(
        _DEFAULT_WAIT_S,
        ge=0,
        le=_MAX_WAIT_S,
        description="How many seconds to wait for the end before the job is the answer.",
    )


class DatabaseDeletion(Deletion):
    cascade: bool = Field(False, description="Delete the collections in it too.")


def listing_of(query: ListQuery, state: str | None) -> Listing:
    """Raises InvalidArgument when words are asked for, but none is there."""
    text = query.q if isinstance(query, SearchedList) else None
    if text is not None and not words_of(text):
        raise InvalidArgument("q", "holds no word; leave it out to list all")
    return Listing(
        limit=query.limit,
        cursor=query.cursor,
        offset=query.offset,
        descending=query.descending,
        state=state,
        order=query.order if isinstance(query, SearchedList) else Order.CREATED,
        text=text,
    )


def page_response(kind: str, page: Page[T], render: Callable[[T], dict[str, Any]]) -> Response:
    """The things of a page under the name of their kind, and where the next page begins."""
    return json_response(
        {kind: [render(item) for item in page.items], "next_cursor": page.next_cursor}
    )
