"""What a shard host knows of the catalog: the collections with shards on its own store.

A host makes a shard's files only while its collection is recorded in the catalog, and deletes them
only for a deletion that is recorded there, so that a stray caller, or one that was replaced long
ago, leaves nothing behind and deletes nothing.
"""

from dataclasses import dataclass

from akidb_ray.domain.collection import CollectionState
from akidb_ray.domain.directory import CatalogPosition, CatalogUpdate
from akidb_ray.domain.errors import InvalidState
from akidb_ray.domain.ids import ClusterId, CollectionId, DatabaseId, EntityId, StoreId, TenantId
from akidb_ray.domain.placement import ShardKey, ShardPlacement


@dataclass(frozen=True, slots=True)
class HeldCollection:
    """A collection and those of its shards that are on this store."""

    database_id: DatabaseId
    state: CollectionState
    placements: tuple[ShardPlacement, ...]


class StoreCopy:
    """Carries out `service.following.Copy` for one store of a cluster, and takes no other
    cluster's updates.
    """

    def __init__(self, store_id: StoreId, cluster_id: ClusterId) -> None:
        self.position = CatalogPosition(cluster_id)
        self.collections: dict[CollectionId, HeldCollection] = {}
        self.store_id = store_id
        self._tenants: dict[DatabaseId, TenantId] = {}

    def apply(self, update: CatalogUpdate) -> None:
        """Go on to the update's version. Raises InvalidState, see `CatalogPosition.after`."""
        position = self.position.after(update)
        if update.whole:
            self.collections, self._tenants = {}, {}
        for gone in update.removed:
            self._drop(gone)
        for database in update.databases:
            self._tenants[database.database_id] = database.tenant_id
        for collection in update.collections:
            placed = update.placements.get(collection.collection_id, ())
            own = tuple([each for each in placed if each.store_id == self.store_id])
            if own:
                held = HeldCollection(collection.database_id, collection.state, own)
                self.collections[collection.collection_id] = held
            else:
                self.collections.pop(collection.collection_id, None)
        self.position = position

    def is_deleting(self, shard: ShardKey) -> bool:
        """Whether it is recorded that this shard's files are to be deleted from this store."""
        return self._state(shard) is CollectionState.DELETING

    def is_wanted(self, shard: ShardKey) -> bool:
        """Whether it is recorded that this shard's files are to be on this store. May be asked from
        any thread.
        """
        return self._state(shard) in (CollectionState.CREATING, CollectionState.READY)

    def refusal(self, shard: ShardKey, wanted: str) -> InvalidState:
        """Why the shard's files must stay as they are."""
        state = self._state(shard)
        known = "not recorded on this store" if state is None else f"recorded as {state}"
        return InvalidState(
            f"shard {shard.number} of collection {shard.collection_id}", known, wanted
        )

    def _state(self, shard: ShardKey) -> CollectionState | None:
        """Of the collection whose shard it is, if that shard is on this store."""
        held = self.collections.get(shard.collection_id)
        if held is None or all(placed.number != shard.number for placed in held.placements):
            return None
        return held.state

    def _drop(self, gone: EntityId) -> None:
        """Forget a thing with all that is in it."""
        if isinstance(gone, CollectionId):
            self.collections.pop(gone, None)
        elif isinstance(gone, DatabaseId):
            self._tenants.pop(gone, None)
            inside = [key for key, held in self.collections.items() if held.database_id == gone]
            for collection_id in inside:
                del self.collections[collection_id]
        elif isinstance(gone, TenantId):
            for database_id in [key for key, owner in self._tenants.items() if owner == gone]:
                self._drop(database_id)
