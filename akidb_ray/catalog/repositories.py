"""The ports of the catalog: one repository per kind of thing, and the transactions around them.

Carried out by `catalog.sqlite`, which is the product's, and by `catalog.memory`, which forgets
everything at the end of its process; one contract suite holds both to these promises. Rules that
more than one row decides (lifecycles, quotas, free slugs) are in `catalog.rules`, above both.

In every method: a thing that is named but does not exist is NotFound, also the parent of a new one;
a value that another thing has already is AlreadyExists, naming its field; a value outside of what
its field can hold is InvalidArgument, naming the field. The transaction is then to be given up.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

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
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, Tenant, User

Thing = TypeVar("Thing")
Id_contra = TypeVar("Id_contra", contravariant=True)


class Repository(Protocol[Thing, Id_contra]):
    """Things of one kind. Reads see the writes of their own transaction."""

    async def add(self, thing: Thing) -> None:
        """Keep a new one, whose version is 1."""

    async def get(self, thing_id: Id_contra) -> Thing: ...

    async def update(self, thing: Thing) -> Thing:
        """Replace the one of the same id, which must still have the version that `thing` was read
        with; else PreconditionFailed, a conflict. Returns it in its next version, of the
        transaction's time. One that is equal to what is kept already changes nothing, and returns
        that. Its id, parent and `created_at` can't change: InvalidArgument.
        """

    async def delete(self, thing_id: Id_contra) -> None:
        """Remove it with all that is in it."""


class TenantRepository(Repository[Tenant, TenantId], Protocol):
    async def get_by_slug(self, slug: str) -> Tenant: ...

    async def list(self, listing: Listing) -> Page[Tenant]: ...

    async def count_collections(self, tenant_id: TenantId) -> int:
        """How many collections its databases hold, in any state."""


class UserRepository(Repository[User, UserId], Protocol):
    async def get_by_email(self, tenant_id: TenantId, email: str) -> User:
        """Whatever the case of its ASCII letters."""

    async def list(self, tenant_id: TenantId, listing: Listing) -> Page[User]: ...


class DatabaseRepository(Repository[Database, DatabaseId], Protocol):
    async def get_by_name(self, tenant_id: TenantId, name: str) -> Database: ...

    async def list(self, tenant_id: TenantId, listing: Listing) -> Page[Database]: ...

    async def count_collections(self, database_id: DatabaseId) -> int:
        """How many it holds, in any state."""

    async def deleting(self) -> Sequence[Database]:
        """Those of all tenants that are in state `deleting`, in order of their ids."""


class CollectionRepository(Repository[Collection, CollectionId], Protocol):
    async def get_by_name(self, database_id: DatabaseId, name: str) -> Collection: ...

    async def list(self, database_id: DatabaseId, listing: Listing) -> Page[Collection]: ...

    async def deleting(self) -> Sequence[Collection]:
        """Those of all databases that are in state `deleting`, in order of their ids."""


class PlacementRepository(Protocol):
    """Stores, and the shards that are placed on them."""

    async def place(self, collection_id: CollectionId, shards: Sequence[ShardPlacement]) -> None:
        """Record where the shards of a collection are that has none yet. The change belongs to the
        collection: followers get it again.
        """

    async def placements(self, collection_id: CollectionId) -> tuple[ShardPlacement, ...]:
        """In the order of the shards' numbers."""

    async def register_store(self, store_id: StoreId, actor_name: str) -> None:
        """Say which actor serves it now; "" for none. What is known already changes nothing."""

    async def stores(self) -> Mapping[StoreId, str]:
        """All that ever registered, and the actor of each; "" for those that nobody serves."""

    async def shard_counts(self) -> Mapping[StoreId, int]:
        """How many shards lie on each store that somebody serves."""


class JobRepository(Repository[Job, JobId], Protocol):
    async def list(self, tenant_id: TenantId | None, listing: Listing) -> Page[Job]:
        """Of one tenant, or of all; a tenant that is gone may have jobs still."""

    async def running_for(self, subject_ids: Sequence[EntityId]) -> Sequence[Job]:
        """The running ones that work on any of these things, in order of their own ids."""

    async def delete_ended(self, before: datetime) -> int:
        """Forget those that ended before. Returns how many."""


@dataclass(frozen=True, slots=True)
class Repositories:
    """All repositories, in one transaction that began at `now`."""

    tenants: TenantRepository
    users: UserRepository
    databases: DatabaseRepository
    collections: CollectionRepository
    placement: PlacementRepository
    jobs: JobRepository
    now: datetime


class CatalogStore(Protocol):
    """Where the catalog is kept. Methods raise StorageFull, StorageFailed, Corrupt, Unavailable."""

    cluster_id: ClusterId
    epoch: int
    """The term of this opening: each raises it, and a write of a former one is refused."""

    def reading(self) -> AbstractAsyncContextManager[Repositories]:
        """One committed state, whatever is written meanwhile. Writing here is a defect."""

    def writing(self) -> AbstractAsyncContextManager[Repositories]:
        """A transaction, one at a time, durable when the context ends; an exception undoes all of
        it. Raises InvalidState when a later opening has taken the catalog over.
        """

    async def version(self) -> int:
        """That of the last commit that changed something. Each change raises it by one."""

    async def update_since(self, since: int) -> CatalogUpdate:
        """What leads from version `since` to the newest; whole where `since` is too old, or 0."""

    async def forget_changes(self, keep: int) -> None:
        """Drop the record of all but the last `keep` changes: older followers reload the whole."""

    async def root_key_hash(self) -> bytes | None: ...

    async def set_root_key_hash(self, root_key_hash: bytes) -> None: ...

    async def close(self) -> None: ...
