"""A copy of the catalog, as gateways hold it, so that no query waits for the catalog."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from akidb_ray.domain.collection import Collection, CollectionState
from akidb_ray.domain.errors import Corrupt, InvalidState, NotFound
from akidb_ray.domain.ids import ClusterId, CollectionId, DatabaseId, EntityId, StoreId, TenantId
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, Tenant

Id = TypeVar("Id", bound=EntityId)
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class CatalogUpdate:
    """What leads a copy of the catalog to `version`: all that exists then if `whole`, else what
    came, changed or went after the version that the copy had.

    `epoch` is the term of the catalog's process: a copy takes nothing of an older one, of a lower
    version, or of another cluster. `placements` come with their collections. `stores` maps a store
    to the name of the actor that serves it now, "" when nobody does; it holds the changed ones
    only. What went is in `removed`; all that was in it went with it. `root_key_hash` is the
    present one, changed or not. Things are in no order. Those of a whole may be packed.
    """

    cluster_id: ClusterId
    epoch: int
    version: int
    whole: bool
    tenants: Sequence[Tenant] = ()
    databases: Sequence[Database] = ()
    collections: Sequence[Collection] = ()
    placements: Mapping[CollectionId, tuple[ShardPlacement, ...]] = field(default_factory=dict)
    stores: Mapping[StoreId, str] = field(default_factory=dict)
    removed: frozenset[EntityId] = frozenset()
    root_key_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class CatalogPosition:
    """How far a copy has followed the catalog. One without a `cluster_id` takes any cluster's."""

    cluster_id: ClusterId | None = None
    epoch: int = 0
    version: int = 0

    def has(self, update: CatalogUpdate) -> bool:
        """Whether an update of the same term brings nothing that is newer."""
        same = (self.cluster_id, self.epoch) == (update.cluster_id, update.epoch)
        return same and update.version <= self.version

    def after(self, update: CatalogUpdate) -> "CatalogPosition":
        """Raises InvalidState for an update that must not be taken.

        One of another cluster describes other data. One of a former term comes from a process that
        was replaced. A lower version comes from a catalog that has lost changes: what it does not
        name may exist all the same. Restoring a backup makes the version higher for that reason.
        """
        here = f"at version {self.version} of term {self.epoch}"
        update_is = f"taking version {update.version} of term {update.epoch}"
        if self.cluster_id not in (None, update.cluster_id):
            here, update_is = f"of cluster {self.cluster_id}", f"taking cluster {update.cluster_id}"
        elif update.version < self.version and update.epoch >= self.epoch:
            update_is += ", for the catalog lost changes; use `akidb catalog restore`"
        elif update.epoch >= self.epoch:
            return CatalogPosition(update.cluster_id, update.epoch, update.version)
        raise InvalidState("a copy of the catalog", here, update_is)


@dataclass(frozen=True, slots=True)
class CollectionPlace:
    """A collection with all that a request to it needs."""

    tenant: Tenant
    database: Database
    collection: Collection
    placements: tuple[ShardPlacement, ...]


class Directory:
    """Finds things by name or id. `apply` brings it up to date in place, in one go.

    `stores` maps each store that somebody serves now to the name of its actor.
    """

    def __init__(self, whole: CatalogUpdate | None = None) -> None:
        self.position = CatalogPosition()
        self._empty()
        if whole is not None:
            self.apply(whole)

    def _empty(self) -> None:
        self.root_key_hash: bytes | None = None
        self.stores: dict[StoreId, str] = {}
        self._tenants: dict[TenantId, Tenant] = {}
        self._slugs: dict[str, Tenant] = {}
        self._databases: dict[DatabaseId, Database] = {}
        self._databases_in: dict[TenantId, dict[str, Database]] = {}
        self._collections: dict[CollectionId, Collection] = {}
        self._collections_in: dict[DatabaseId, dict[str, Collection]] = {}
        self._placements: dict[CollectionId, tuple[ShardPlacement, ...]] = {}

    @property
    def version(self) -> int:
        """The version of the catalog that this is a copy of; 0 before the first update."""
        return self.position.version

    def apply(self, update: CatalogUpdate) -> None:
        """Go on to the update's version. What is refused changes nothing.

        Raises InvalidState as `CatalogPosition.after` does, and Corrupt when the update does not
        fit what is here: then only a whole one helps.
        """
        position = self.position.after(update)
        if update.whole:
            fresh = Directory()
            fresh._add(update)
            vars(self).update(vars(fresh))
        else:
            self._check_parents(update)
            for gone in update.removed:
                self._drop(gone)
            # All old names go before the first new one comes: two things may have swapped theirs.
            self._unname(update)
            self._add(update)
        self.position = position

    def _check_parents(self, update: CatalogUpdate) -> None:
        tenants = {tenant.tenant_id for tenant in update.tenants}
        databases = {database.database_id for database in update.databases}
        for database in update.databases:
            if database.tenant_id not in tenants and database.tenant_id not in self._tenants:
                raise _misfit(database.database_id, database.tenant_id)
        for collection in update.collections:
            parent = collection.database_id
            if parent not in databases and parent not in self._databases:
                raise _misfit(collection.collection_id, parent)

    def _drop(self, gone: EntityId) -> None:
        """Forget a thing with all that is in it. What is not here was dropped with its parent."""
        if isinstance(gone, TenantId) and gone in self._tenants:
            for database in list(self._databases_in.pop(gone).values()):
                self._drop(database.database_id)
            del self._slugs[self._tenants.pop(gone).slug]
        elif isinstance(gone, DatabaseId) and gone in self._databases:
            for collection in list(self._collections_in.pop(gone).values()):
                self._drop(collection.collection_id)
            database = self._databases.pop(gone)
            self._databases_in.get(database.tenant_id, {}).pop(database.name, None)
        elif isinstance(gone, CollectionId) and gone in self._collections:
            collection = self._collections.pop(gone)
            self._collections_in.get(collection.database_id, {}).pop(collection.name, None)
            self._placements.pop(gone, None)

    def _unname(self, update: CatalogUpdate) -> None:
        for tenant in update.tenants:
            if old := self._tenants.get(tenant.tenant_id):
                del self._slugs[old.slug]
        for database in update.databases:
            if old_database := self._databases.get(database.database_id):
                del self._databases_in[old_database.tenant_id][old_database.name]
        for collection in update.collections:
            if former := self._collections.get(collection.collection_id):
                del self._collections_in[former.database_id][former.name]

    def _add(self, update: CatalogUpdate) -> None:
        """Put things in, or in the place of those with the same ids."""
        for tenant in update.tenants:
            self._tenants[tenant.tenant_id] = tenant
            self._slugs[tenant.slug] = tenant
            self._databases_in.setdefault(tenant.tenant_id, {})
        for database in update.databases:
            siblings = self._databases_in.get(database.tenant_id)
            if siblings is None:
                raise _misfit(database.database_id, database.tenant_id)
            siblings[database.name] = database
            self._databases[database.database_id] = database
            self._collections_in.setdefault(database.database_id, {})
        for collection in update.collections:
            self._add_collection(collection, update.placements)
        for store_id, actor_name in update.stores.items():
            if actor_name:
                self.stores[store_id] = actor_name
            else:
                self.stores.pop(store_id, None)
        self.root_key_hash = update.root_key_hash

    def _add_collection(
        self,
        collection: Collection,
        placements: Mapping[CollectionId, tuple[ShardPlacement, ...]],
    ) -> None:
        siblings = self._collections_in.get(collection.database_id)
        if siblings is None:
            raise _misfit(collection.collection_id, collection.database_id)
        siblings[collection.name] = collection
        self._collections[collection.collection_id] = collection
        self._placements[collection.collection_id] = placements.get(collection.collection_id, ())

    def tenant(self, ref: str) -> Tenant:
        """By slug or id. Raises NotFound."""
        found = self._slugs.get(ref) or _by_id(self._tenants, TenantId, ref)
        if found is None:
            raise NotFound("tenant", ref)
        return found

    def database(self, tenant: Tenant, ref: str) -> Database:
        """By name or id, within the tenant. Raises NotFound."""
        found = self._databases_in.get(tenant.tenant_id, {}).get(ref)
        found = found or _by_id(self._databases, DatabaseId, ref)
        if found is None or found.tenant_id != tenant.tenant_id:
            raise NotFound("database", ref)
        return found

    def collection(self, tenant: Tenant, database: Database, ref: str) -> CollectionPlace:
        """By name or id, within the database. Raises NotFound."""
        found = self._collections_in.get(database.database_id, {}).get(ref)
        found = found or _by_id(self._collections, CollectionId, ref)
        if found is None or found.database_id != database.database_id:
            raise NotFound("collection", ref)
        return self._placed(tenant, database, found)

    @property
    def tenant_count(self) -> int:
        return len(self._tenants)

    @property
    def collection_count(self) -> int:
        return len(self._collections)

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
        placements = self._placements.get(collection.collection_id, ())
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


def _misfit(thing: EntityId, parent: EntityId) -> Corrupt:
    return Corrupt("catalog update", f"{thing} is in {parent}, which is not known here")
