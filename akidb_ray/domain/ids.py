"""Typed identifiers.

Entities have UUIDv7 keys (RFC 9562): they sort by time of creation, so B-trees stay compact.
A `TenantId` never equals a `DatabaseId`, even with the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import xxhash
from uuid6 import uuid7

from akidb_ray.domain.errors import InvalidArgument

SLOT_COUNT = 4096
MAX_DOCUMENT_ID_BYTES = 512


@dataclass(frozen=True, slots=True, order=True)
class EntityId:
    """Base of typed ids: compare and hash by type and value, print as dashed hex."""

    value: UUID

    def __hash__(self) -> int:
        # Ids are looked up all the time, and what is made for a dataclass takes twice as long.
        return hash(self.value.int)

    def __reduce__(self) -> tuple[Any, ...]:
        # A third of what pickling the UUID takes, see domain/pickling.py.
        return _of_bytes, (type(self), self.value.bytes)

    @classmethod
    def new(cls) -> Self:
        return cls(UUID(int=uuid7().int))

    @classmethod
    def parse(cls, text: str, field: str = "id") -> Self:
        """Raises InvalidArgument naming `field` when `text` is not a UUID."""
        try:
            return cls(UUID(text))
        except (ValueError, AttributeError, TypeError):
            raise InvalidArgument(field, f"{text!r} is not a UUID") from None

    @property
    def bytes(self) -> bytes:
        return self.value.bytes

    def __str__(self) -> str:
        return str(self.value)


def _of_bytes(kind: type[EntityId], value: bytes) -> EntityId:
    return kind(UUID(bytes=value))


class TenantId(EntityId):
    """Key of a tenant."""


class UserId(EntityId):
    """Key of a user."""


class DatabaseId(EntityId):
    """Key of a database."""


class CollectionId(EntityId):
    """Key of a collection."""


class JobId(EntityId):
    """Key of a job."""


class StoreId(EntityId):
    """Identity of a data folder; outlives processes and Ray's node ids."""


class ClusterId(EntityId):
    """Identity of one AkiDB cluster; a store of another cluster is never opened."""


def document_hash(document_id: str) -> int:
    """xxh3_64 of the id's UTF-8: decides the slot, and finds the row in a sealed segment."""
    return xxhash.xxh3_64_intdigest(document_id.encode())


def slot_of(document_id: str) -> int:
    """The slot, 0 to 4095, that owns this document id."""
    return document_hash(document_id) % SLOT_COUNT


def slots_of(document_ids: Sequence[str]) -> list[int]:
    """`slot_of` of many, without two calls for each."""
    digest = xxhash.xxh3_64_intdigest
    return [digest(document_id.encode()) % SLOT_COUNT for document_id in document_ids]


def check_document_id(document_id: object, field: str = "id") -> str:
    """Return the id when it is a string of 1 to 512 bytes of UTF-8, else raise InvalidArgument."""
    if not isinstance(document_id, str):
        raise InvalidArgument(field, "must be a string")
    try:
        length = len(document_id.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(field, "is not valid Unicode") from None
    if not 1 <= length <= MAX_DOCUMENT_ID_BYTES:
        raise InvalidArgument(field, f"must be 1 to {MAX_DOCUMENT_ID_BYTES} bytes, is {length}")
    return document_id
