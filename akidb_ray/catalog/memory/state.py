"""One state of the catalog in memory, and the record of the changes that led to it."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

from akidb_ray.domain.collection import Collection
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.ids import (
    ClusterId,
    CollectionId,
    DatabaseId,
    EntityId,
    JobId,
    StoreId,
    TenantId,
    UserId,
)
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, Tenant, User

Id = TypeVar("Id", bound=EntityId)
Thing = TypeVar("Thing")


@dataclass(slots=True)
class State:
    """A committed one is never written to: a transaction works on a copy.

    `changes` are the things that the versions up to `version` changed, one by each, without those
    of the first `forgotten` versions.
    """

    tenants: dict[TenantId, Tenant] = field(default_factory=dict)
    users: dict[UserId, User] = field(default_factory=dict)
    databases: dict[DatabaseId, Database] = field(default_factory=dict)
    collections: dict[CollectionId, Collection] = field(default_factory=dict)
    placements: dict[CollectionId, tuple[ShardPlacement, ...]] = field(default_factory=dict)
    stores: dict[StoreId, str] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    root_key_hash: bytes | None = None
    changes: list[EntityId] = field(default_factory=list)
    forgotten: int = 0

    @property
    def version(self) -> int:
        return self.forgotten + len(self.changes)

    def copy(self) -> Self:
        """Another state of the same things, which are values."""
        return replace(
            self,
            tenants=self.tenants.copy(),
            users=self.users.copy(),
            databases=self.databases.copy(),
            collections=self.collections.copy(),
            placements=self.placements.copy(),
            stores=self.stores.copy(),
            jobs=self.jobs.copy(),
            changes=self.changes.copy(),
        )

    def forget_changes(self, keep: int) -> None:
        """Drop the record of all but the last `keep` changes."""
        surplus = max(0, len(self.changes) - keep)
        del self.changes[:surplus]
        self.forgotten += surplus

    def update_since(self, since: int, cluster_id: ClusterId, epoch: int) -> CatalogUpdate:
        """What leads from version `since` to this state; whole where that is not recorded."""
        whole = since == 0 or not self.forgotten <= since <= self.version
        changed = None if whole else frozenset(self.changes[since - self.forgotten :])
        collections = _among(self.collections, changed)
        ids = [each.collection_id for each in collections]
        return CatalogUpdate(
            cluster_id=cluster_id,
            epoch=epoch,
            version=self.version,
            whole=whole,
            tenants=_among(self.tenants, changed),
            databases=_among(self.databases, changed),
            collections=collections,
            placements={each: self.placements[each] for each in ids if each in self.placements},
            stores={
                store_id: actor_name
                for store_id, actor_name in self.stores.items()
                if changed is None or store_id in changed
            },
            removed=frozenset(each for each in changed or () if self._lacks(each)),
            root_key_hash=self.root_key_hash,
        )

    def _lacks(self, entity_id: EntityId) -> bool:
        return (
            (isinstance(entity_id, TenantId) and entity_id not in self.tenants)
            or (isinstance(entity_id, DatabaseId) and entity_id not in self.databases)
            or (isinstance(entity_id, CollectionId) and entity_id not in self.collections)
        )


def _among(things: Mapping[Id, Thing], changed: Container[EntityId] | None) -> tuple[Thing, ...]:
    """In the order of their ids: those that changed, or all for None."""
    found = [each for each in things if changed is None or each in changed]
    return tuple([things[each] for each in sorted(found)])
