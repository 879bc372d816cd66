"""Collections: the SQL behind them, and what may change of one."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.changes import Change
from akidb_ray.catalog.edits import checked, one_of
from akidb_ray.catalog.pages import Page
from akidb_ray.catalog.placement import add_shards
from akidb_ray.catalog.rows import Row, fetch, fetch_by_ref, fetch_page
from akidb_ray.catalog.tables import collections, databases
from akidb_ray.catalog.tenants import require_active
from akidb_ray.domain.collection import (
    COLLECTION_MOVES,
    Collection,
    CollectionSpec,
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
    SyncPolicy,
    TieringPolicy,
    check_spec,
)
from akidb_ray.domain.errors import InvalidState
from akidb_ray.domain.ids import CollectionId, DatabaseId
from akidb_ray.domain.tenancy import (
    DatabaseState,
    check_description,
    check_move,
    check_name,
    check_title,
)

FIELDS = {
    "name": check_name,
    "description": check_description,
    "state": one_of(CollectionState),
}
SPEC_FIELDS = tuple(field.name for field in fields(CollectionSpec))
SPEC_ENUMS: dict[str, type[StrEnum]] = {
    "metric": Metric,
    "index_kind": IndexKind,
    "hnsw_engine": HnswEngine,
    "language": Language,
    "tiering_policy": TieringPolicy,
    "sync_policy": SyncPolicy,
}
FIXED = (*SPEC_FIELDS, "collection_id", "database_id", "created_at", "updated_at")


def collection_from(row: Row) -> Collection:
    enums = {name: kind(row[name]) for name, kind in SPEC_ENUMS.items()}
    spec = {name: row[name] for name in SPEC_FIELDS} | enums
    return Collection(
        collection_id=row["collection_id"],
        database_id=row["database_id"],
        name=row["name"],
        spec=CollectionSpec(**spec),
        state=CollectionState(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        description=row["description"],
        version=row["version"],
    )


async def create_collection(
    change: Change, database_id: DatabaseId, name: str, spec: CollectionSpec, description: str
) -> CollectionId:
    """A collection in state `creating`, with a store for each of its shards.

    Raises NotFound, AlreadyExists, InvalidArgument, InvalidState, and Unavailable without stores.
    """
    for field, kind in SPEC_ENUMS.items():
        one_of(kind)(getattr(spec, field), field)
    check_spec(spec)
    if spec.embedding_model is not None:
        check_title(spec.embedding_model, "embedding_model")
    collection_id = CollectionId.new()
    values = {
        "collection_id": collection_id,
        "database_id": database_id,
        "name": check_name(name),
        "description": check_description(description),
        "state": CollectionState.CREATING,
        **asdict(spec),
    }
    database = await fetch(change.connection, databases, database_id)
    wanted = "creating a collection"
    await require_active(change.connection, database["tenant_id"], wanted)
    if database["state"] != DatabaseState.READY:
        raise InvalidState("database", database["state"], wanted)
    await change.insert(collections, values)
    await add_shards(change.connection, collection_id, spec.shard_count)
    return collection_id


async def update_collection(
    change: Change, collection_id: CollectionId, changes: Mapping[str, Any], if_version: int | None
) -> Collection:
    """Raises NotFound, InvalidArgument, InvalidState, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS, FIXED)
    row = await fetch(change.connection, collections, collection_id)
    current = CollectionState(row["state"])
    wanted = values.get("state", current)
    if wanted is not current:
        check_move("collection", COLLECTION_MOVES, current, wanted)
    await change.edit(collections, row, values, if_version)
    return collection_from(await fetch(change.connection, collections, collection_id))


async def remove_collection(change: Change, collection_id: CollectionId) -> None:
    """Raises NotFound, and InvalidState unless the collection is in state `deleting`."""
    row = await fetch(change.connection, collections, collection_id)
    if row["state"] != CollectionState.DELETING:
        raise InvalidState("collection", row["state"], "being removed")
    await change.delete(collections, collection_id)


async def get_collection(
    connection: AsyncConnection, database_id: DatabaseId, ref: str | CollectionId
) -> Collection:
    """By name or id, within the database. Raises NotFound."""
    own = collections.c.database_id == database_id
    row = await fetch_by_ref(connection, collections, collections.c.name, ref, own)
    return collection_from(row)


async def list_collections(
    connection: AsyncConnection, database_id: DatabaseId, limit: int, cursor: str | None
) -> Page[Collection]:
    """Raises NotFound for an unknown database."""
    await fetch(connection, databases, database_id)
    own = collections.c.database_id == database_id
    rows, next_cursor = await fetch_page(connection, collections, limit, cursor, own)
    return Page(tuple(map(collection_from, rows)), next_cursor)
