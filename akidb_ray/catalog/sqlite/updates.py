"""What followers of the catalog are told: everything, or what changed after a version.

The same statements read both, in one read transaction. Rows are fetched by the connection's own
thread, and made into values and packed by another one, some hundred at a time: a whole of a hundred
thousand collections takes seconds, in which the event loop, the garbage collector and the memory
have little to do.
"""

# ruff: noqa: S608 (the names in the statements are those below, and of fields of our values)

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.sqlite.collections import SPEC_ENUMS, SPEC_FIELDS
from akidb_ray.catalog.sqlite.tenants import QUOTA_FIELDS
from akidb_ray.domain.collection import Collection, CollectionSpec, CollectionState
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.ids import (
    ClusterId,
    CollectionId,
    DatabaseId,
    EntityId,
    StoreId,
    TenantId,
)
from akidb_ray.domain.packed import PackedMapping, PackedSequence, pack
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, DatabaseState, Tenant, TenantQuota, TenantStatus

Row = tuple[Any, ...]
Id = TypeVar("Id", bound=EntityId)
Part = TypeVar("Part")
# Small enough that what is made of a part is gone before the garbage collector looks at it twice.
_PART_ROWS = 100

_TENANT = (
    "tenant_id, name, slug, status, created_at, updated_at, external_id, metadata, version, "
    + ", ".join(QUOTA_FIELDS)
)
_DATABASE = (
    "database_id, tenant_id, name, state, created_at, updated_at, description, schema_version,"
    " version"
)
_COLLECTION = (
    "collection_id, database_id, name, state, created_at, updated_at, description, version,"
    " (SELECT json_group_array(json_array(number, hex(store_id), epoch)) FROM shards"
    " WHERE shards.collection_id = collections.collection_id), " + ", ".join(SPEC_FIELDS)
)
_KINDS: dict[str, type[EntityId]] = {
    "tenant": TenantId,
    "database": DatabaseId,
    "collection": CollectionId,
}


async def read_update(
    connection: AsyncConnection, since: int, cluster_id: ClusterId, epoch: int
) -> CatalogUpdate:
    """What leads from version `since` to the one that this read transaction sees.

    Whole when `since` is 0, above that version, or older than the record of changes.
    """
    rows = await _Rows.on(connection)
    ((version, root_key_hash, recorded),) = await rows.all(
        "SELECT catalog_version, root_key_hash,"
        " (SELECT count(*) FROM changes WHERE catalog_version > ?) FROM catalog_meta",
        since,
    )
    # Each version after `since` must have its record: a gap, as a restored backup has one, hides
    # what happened in it.
    whole = since == 0 or since > version or recorded != version - since
    changed_after = None if whole else since
    values = _Values()
    collections, placements = await _collections(rows, changed_after, values)
    return CatalogUpdate(
        cluster_id=cluster_id,
        epoch=epoch,
        version=version,
        whole=whole,
        tenants=await _things(rows, _select(_TENANT, "tenant", changed_after), values.tenant),
        databases=await _things(
            rows, _select(_DATABASE, "database", changed_after), values.database
        ),
        collections=collections,
        placements=placements,
        stores={
            StoreId(UUID(bytes=store_id)): actor_name
            for store_id, actor_name in await rows.all(
                _select("store_id, actor_name", "store", changed_after)
            )
        },
        removed=frozenset() if whole else await _removed(rows, since),
        root_key_hash=root_key_hash,
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The driver below SQLAlchemy, in the connection's transaction: rows as plain tuples."""

    driver: Any

    @classmethod
    async def on(cls, connection: AsyncConnection) -> "_Rows":
        return cls((await connection.get_raw_connection()).driver_connection)

    async def all(self, sql: str, *parameters: Any) -> list[Row]:
        found: list[Row] = await self.driver.execute_fetchall(sql, parameters)
        return found

    async def parts(self, sql: str) -> AsyncIterator[list[Row]]:
        async with self.driver.execute(sql) as cursor:
            while rows := await cursor.fetchmany(_PART_ROWS):
                yield rows


def _select(columns: str, kind: str, changed_after: int | None) -> str:
    """All rows of a kind, or those that a version after `changed_after` recorded; by id."""
    changed = (
        ""
        if changed_after is None
        else (
            f" WHERE {kind}_id IN (SELECT entity_id FROM changes"
            f" WHERE kind = '{kind}' AND catalog_version > {changed_after:d})"
        )
    )
    return f"SELECT {columns} FROM {kind}s{changed} ORDER BY {kind}_id"


async def _things(rows: _Rows, sql: str, made_of: Callable[[Row], Part]) -> PackedSequence[Part]:
    def packed(part: list[Row]) -> bytes:
        return pack([made_of(row) for row in part])

    parts, count = [], 0
    async for part in rows.parts(sql):
        parts.append(await asyncio.to_thread(packed, part))
        count += len(part)
    return PackedSequence(parts, count)


async def _collections(
    rows: _Rows, changed_after: int | None, values: "_Values"
) -> tuple[PackedSequence[Collection], PackedMapping[CollectionId, tuple[ShardPlacement, ...]]]:
    def packed(part: list[Row]) -> tuple[bytes, bytes, int]:
        made = [(values.collection(row), values.placements(row)) for row in part]
        placed = [(each.collection_id, places) for each, places in made if places]
        return pack([each for each, _ in made]), pack(placed), len(placed)

    parts, placed_parts, count, placed_count = [], [], 0, 0
    async for part in rows.parts(_select(_COLLECTION, "collection", changed_after)):
        things, placed, placed_here = await asyncio.to_thread(packed, part)
        parts.append(things)
        placed_parts.append(placed)
        count += len(part)
        placed_count += placed_here
    pairs: PackedSequence[Any] = PackedSequence(placed_parts, placed_count)
    return PackedSequence(parts, count), PackedMapping(pairs)


async def _removed(rows: _Rows, since: int) -> frozenset[EntityId]:
    """What a version after `since` changed, and is not there any more."""
    removed: set[EntityId] = set()
    for kind, id_type in _KINDS.items():
        gone = await rows.all(
            "SELECT DISTINCT entity_id FROM changes WHERE catalog_version > ? AND kind = ?"
            f" AND entity_id NOT IN (SELECT {kind}_id FROM {kind}s)",
            since,
            kind,
        )
        removed.update(id_type(UUID(bytes=entity_id)) for (entity_id,) in gone)
    return frozenset(removed)


@dataclass(slots=True)
class _Values:
    """Makes values of rows. What many have in common is made once, and pickled once per part."""

    _ids: dict[bytes, EntityId] = field(default_factory=dict)
    _specs: dict[Row, CollectionSpec] = field(default_factory=dict)
    _places: dict[str, tuple[ShardPlacement, ...]] = field(default_factory=dict)

    def tenant(self, row: Row) -> Tenant:
        tenant_id, name, slug, status, created, updated, external_id, metadata, version = row[:9]
        return Tenant(
            tenant_id=TenantId(UUID(bytes=tenant_id)),
            name=name,
            slug=slug,
            status=TenantStatus(status),
            created_at=datetime.fromisoformat(created),
            updated_at=datetime.fromisoformat(updated),
            quota=TenantQuota(*row[9:]),
            external_id=external_id,
            metadata=json.loads(metadata),
            version=version,
        )

    def database(self, row: Row) -> Database:
        database_id, tenant_id, name, state, created, updated, description, schema, version = row
        return Database(
            database_id=DatabaseId(UUID(bytes=database_id)),
            tenant_id=self._parent(TenantId, tenant_id),
            name=name,
            state=DatabaseState(state),
            created_at=datetime.fromisoformat(created),
            updated_at=datetime.fromisoformat(updated),
            description=description,
            schema_version=schema,
            version=version,
        )

    def collection(self, row: Row) -> Collection:
        collection_id, database_id, name, state, created, updated, description, version = row[:8]
        return Collection(
            collection_id=CollectionId(UUID(bytes=collection_id)),
            database_id=self._parent(DatabaseId, database_id),
            name=name,
            spec=self._spec(row[9:]),
            state=CollectionState(state),
            created_at=datetime.fromisoformat(created),
            updated_at=datetime.fromisoformat(updated),
            description=description,
            version=version,
        )

    def placements(self, row: Row) -> tuple[ShardPlacement, ...]:
        """Of a collection's row, in the order of their numbers."""
        text = row[8]
        if text not in self._places:
            self._places[text] = tuple(
                [
                    ShardPlacement(number, StoreId(UUID(store_id)), epoch)
                    for number, store_id, epoch in sorted(json.loads(text))
                ]
            )
        return self._places[text]

    def _parent(self, id_type: type[Id], value: bytes) -> Id:
        made = self._ids.get(value)
        if not isinstance(made, id_type):
            made = self._ids[value] = id_type(UUID(bytes=value))
        return made

    def _spec(self, values: Row) -> CollectionSpec:
        if values not in self._specs:
            named = dict(zip(SPEC_FIELDS, values, strict=True))
            named |= {name: kind(named[name]) for name, kind in SPEC_ENUMS.items()}
            self._specs[values] = CollectionSpec(**named)
        return self._specs[values]
