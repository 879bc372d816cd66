"""Collections: the SQL behind them."""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

from akidb_ray.catalog.sqlite.pages import Listed
from akidb_ray.catalog.sqlite.repository import Mapped, SqliteRepository
from akidb_ray.catalog.sqlite.rows import fetch
from akidb_ray.catalog.sqlite.statements import Row
from akidb_ray.catalog.sqlite.tables import collections, databases
from akidb_ray.domain.collection import (
    Collection,
    CollectionSpec,
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
    SyncPolicy,
    TieringPolicy,
)
from akidb_ray.domain.ids import CollectionId, DatabaseId
from akidb_ray.domain.listing import Listing, Page

SPEC_FIELDS = tuple(CollectionSpec.__dataclass_fields__)
SPEC_ENUMS: dict[str, type[StrEnum]] = {
    "metric": Metric,
    "index_kind": IndexKind,
    "hnsw_engine": HnswEngine,
    "language": Language,
    "tiering_policy": TieringPolicy,
    "sync_policy": SyncPolicy,
}


def collection_from(row: Row) -> Collection:
    return Collection(
        collection_id=row["collection_id"],
        database_id=row["database_id"],
        name=row["name"],
        spec=_spec_from(tuple([row[name] for name in SPEC_FIELDS])),
        state=CollectionState(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        description=row["description"],
        version=row["version"],
    )


@lru_cache(maxsize=4096)
def _spec_from(values: tuple[Any, ...]) -> CollectionSpec:
    """Most collections have the same."""
    spec = dict(zip(SPEC_FIELDS, values, strict=True))
    return CollectionSpec(**spec | {name: kind(spec[name]) for name, kind in SPEC_ENUMS.items()})


def row_of(collection: Collection) -> dict[str, Any]:
    return {
        "collection_id": collection.collection_id,
        "database_id": collection.database_id,
        "name": collection.name,
        "description": collection.description,
        "state": collection.state,
        **{name: getattr(collection.spec, name) for name in SPEC_FIELDS},
        "version": collection.version,
        "created_at": collection.created_at,
        "updated_at": collection.updated_at,
    }


class SqliteCollections(SqliteRepository[Collection, CollectionId]):
    """Carries out `repositories.CollectionRepository`."""

    mapped = Mapped(
        Listed(
            collections,
            name=collections.c.name,
            state=collections.c.state,
            states=tuple(CollectionState),
            parent=collections.c.database_id,
            searched=("name", "description"),
        ),
        collection_from,
        row_of,
    )

    async def get_by_name(self, database_id: DatabaseId, name: str) -> Collection:
        return await self._find(name, {"database_id": database_id, "name": name})

    async def list(self, database_id: DatabaseId, listing: Listing) -> Page[Collection]:
        await fetch(self._transaction.connection, databases, database_id)
        return await self._page(listing, database_id)

    async def deleting(self) -> Sequence[Collection]:
        return await self._deleting()
