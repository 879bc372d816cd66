"""A copy of the catalog, as gateways hold it, so that no query waits for the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from akidb_ray.domain.collection import Collection, CollectionState
from akidb_ray.domain.errors import InvalidState, NotFound
from akidb_ray.domain.ids import CollectionId, DatabaseId, EntityId, StoreId, TenantId
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, Tenant

Id = TypeVar("Id", bound=EntityId)
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """Everything a gateway needs to know, as of one catalog version.

    `stores` maps a store to the name of the actor that serves it now.
    """

    version: int
    tenants: tuple[Tenant, ...] = ()
    databases: tuple[Database, ...] = ()
    collections: tuple[Collection, ...] = ()
    placements: Mapping[CollectionId, tuple[ShardPlacement, ...]] = field(default_factory=dict)
    stores: Mapping[StoreId, str] = field(default_factory=dict)
    root_key_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class CollectionPlace:
    """A collection with all that a request to it needs."""

    tenant: Tenant
    database: Database
    collection: Collection
    placements: tuple[ShardPlacement, ...]


class Directory:
    """Finds things of a snapshot by name or id. Immutable: a newer snapshot makes a new one."""

    def __init__(self, snapshot: CatalogSnapshot) -> None:
        self.version = snapshot.version
        self.root_key_hash = snapshot.root_key_hash
        self.stores = snapshot.stores
        self._placements = snapshot.placements
        self._tenants = {t.tenant_id: t for t in snapshot.tenants}
        self._databases = {d.database_id: d for d in snapshot.databases}
        self._collections = {c.collection_id: c for c in snapshot.collections}
        self._slugs = {t.slug: t for t in snapshot.tenants}
        self._database_names = {(d.tenant_id, d.name): d for d in snapshot.databases}
        self._collection_names = {(c.database_id, c.name): c for c in snapshot.collections}

    def tenant(self, ref: str) -> Tenant:
        """By slug or id. Raises NotFound."""
        found = self._slugs.get(ref) or _by_id(self._tenants, TenantId, ref)
        if found is None:
            raise NotFound("tenant", ref)
        return found

    def database(self, tenant: Tenant, ref: str) -> Database:
        """By name or id, within the tenant. Raises NotFound."""
        found = self._database_names.get((tenant.tenant_id, ref))
        found = found or _by_id(self._databases, DatabaseId, ref)
        if found is None or found.tenant_id != tenant.tenant_id:
            raise NotFound("database", ref)
        return found

    def collection(self, tenant: Tenant, database: Database, ref: str) -> CollectionPlace:
        """By name or id, within the database. Raises NotFound."""
        found = self._collection_names.get((database.database_id, ref))
        found = found or _by_id(self._collections, CollectionId, ref)
        if found is None or found.database_id != database.database_id:
            raise NotFound("collection", ref)
        return self._placed(tenant, database, found)

    @property
    def collection_count(self) -> int:
        return len(self._collections)

    def all_tenants(self) -> list[Tenant]:
        """By slug."""
        return sorted(self._tenants.values(), key=lambda tenant: tenant.slug)

    def databases_of(self, tenant: Tenant) -> list[Database]:
        """By name."""
        found = [d for d in self._databases.values() if d.tenant_id == tenant.tenant_id]
        return sorted(found, key=lambda database: database.name)

    def collections_of(self, tenant: Tenant, database: Database) -> list[CollectionPlace]:
        """By name."""
        found = [c for c in self._collections.values() if c.database_id == database.database_id]
        found.sort(key=lambda collection: collection.name)
        return [self._placed(tenant, database, collection) for collection in found]

    def unfinished_collections(self) -> list[CollectionPlace]:
        """Collections whose creation or deletion was interrupted."""
        unfinished = []
        for collection in self._collections.values():
            if collection.state is not CollectionState.READY:
                database = self._databases[collection.database_id]
                tenant = self._tenants[database.tenant_id]
                unfinished.append(self._placed(tenant, database, collection))
        return unfinished

    def _placed(
        self, tenant: Tenant, database: Database, collection: Collection
    ) -> CollectionPlace:
        placements = tuple(self._placements.get(collection.collection_id, ()))
        return CollectionPlace(tenant, database, collection, placements)


def check_ready(place: CollectionPlace) -> None:
    """Raise InvalidState unless documents may be read and written now."""
    state = place.collection.state
    if state is not CollectionState.READY:
        raise InvalidState("collection", state, "reading and writing documents")


def _by_id(things: Mapping[Id, Thing], kind: type[Id], ref: str) -> Thing | None:
    try:
        return things.get(kind(UUID(ref)))
    except ValueError:
        return None
