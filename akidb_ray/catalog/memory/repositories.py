"""The repositories of the catalog over one transaction in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from akidb_ray.catalog.memory.kinds import COLLECTION, DATABASE, JOB, TENANT, USER, Kind, comparable
from akidb_ray.catalog.memory.lists import page_of
from akidb_ray.catalog.memory.transaction import Transaction
from akidb_ray.catalog.repositories import Repositories
from akidb_ray.domain.collection import MAX_SHARD_COUNT, Collection, CollectionState
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument, NotFound
from akidb_ray.domain.ids import (
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
from akidb_ray.domain.tenancy import MAX_NAME_CHARACTERS, Database, DatabaseState, Tenant, User

Thing = TypeVar("Thing")
Id = TypeVar("Id", bound=EntityId)


@dataclass(frozen=True, slots=True)
class _Things(Generic[Thing, Id]):
    """What the repositories of all kinds do alike."""

    transaction: Transaction
    kind: Kind[Thing]

    async def add(self, thing: Thing) -> None:
        self.transaction.add(self.kind, thing)

    async def get(self, thing_id: Id) -> Thing:
        return self.transaction.get(self.kind, thing_id)

    async def update(self, thing: Thing) -> Thing:
        return self.transaction.update(self.kind, thing)

    async def delete(self, thing_id: Id) -> None:
        self.transaction.delete(self.kind, thing_id)


class Tenants(_Things[Tenant, TenantId]):
    async def get_by_slug(self, slug: str) -> Tenant:
        for tenant in self.transaction.state.tenants.values():
            if tenant.slug == slug:
                return tenant
        raise NotFound("tenant", slug)

    async def list(self, listing: Listing) -> Page[Tenant]:
        return page_of(TENANT, self.transaction.state.tenants.values(), listing)

    async def count_collections(self, tenant_id: TenantId) -> int:
        self.transaction.get(TENANT, tenant_id)
        databases = self.transaction.children(DATABASE, tenant_id)
        return sum(
            len(self.transaction.children(COLLECTION, database.database_id))
            for database in databases
        )


class Users(_Things[User, UserId]):
    async def get_by_email(self, tenant_id: TenantId, email: str) -> User:
        for user in self.transaction.children(USER, tenant_id):
            if comparable("email", user.email) == comparable("email", email):
                return user
        raise NotFound("user", email)

    async def list(self, tenant_id: TenantId, listing: Listing) -> Page[User]:
        self.transaction.get(TENANT, tenant_id)
        return page_of(USER, self.transaction.children(USER, tenant_id), listing)


class Databases(_Things[Database, DatabaseId]):
    async def get_by_name(self, tenant_id: TenantId, name: str) -> Database:
        for database in self.transaction.children(DATABASE, tenant_id):
            if database.name == name:
                return database
        raise NotFound("database", name)

    async def list(self, tenant_id: TenantId, listing: Listing) -> Page[Database]:
        self.transaction.get(TENANT, tenant_id)
        return page_of(DATABASE, self.transaction.children(DATABASE, tenant_id), listing)

    async def count_collections(self, database_id: DatabaseId) -> int:
        self.transaction.get(DATABASE, database_id)
        return len(self.transaction.children(COLLECTION, database_id))

    async def deleting(self) -> Sequence[Database]:
        every = self.transaction.state.databases.values()
        found = [one for one in every if one.state is DatabaseState.DELETING]
        return sorted(found, key=lambda one: one.database_id)


class Collections(_Things[Collection, CollectionId]):
    async def get_by_name(self, database_id: DatabaseId, name: str) -> Collection:
        for collection in self.transaction.children(COLLECTION, database_id):
            if collection.name == name:
                return collection
        raise NotFound("collection", name)

    async def list(self, database_id: DatabaseId, listing: Listing) -> Page[Collection]:
        self.transaction.get(DATABASE, database_id)
        return page_of(COLLECTION, self.transaction.children(COLLECTION, database_id), listing)

    async def deleting(self) -> Sequence[Collection]:
        every = self.transaction.state.collections.values()
        found = [one for one in every if one.state is CollectionState.DELETING]
        return sorted(found, key=lambda one: one.collection_id)


class Jobs(_Things[Job, JobId]):
    async def list(self, tenant_id: TenantId | None, listing: Listing) -> Page[Job]:
        jobs = self.transaction.state.jobs.values()
        own = [job for job in jobs if tenant_id in (None, job.tenant_id)]
        return page_of(JOB, own, listing)

    async def running_for(self, subject_ids: Sequence[EntityId]) -> Sequence[Job]:
        wanted = {str(subject_id) for subject_id in subject_ids}
        jobs = self.transaction.state.jobs.values()
        found = [job for job in jobs if not job.ended and job.subject_id in wanted]
        return sorted(found, key=lambda job: job.job_id)

    async def delete_ended(self, before: datetime) -> int:
        self.transaction.check_writing()
        jobs = self.transaction.state.jobs
        old = [job.job_id for job in jobs.values() if job.ended and job.updated_at < before]
        for job_id in old:
            del jobs[job_id]
        return len(old)


@dataclass(frozen=True, slots=True)
class Placement:
    transaction: Transaction

    async def place(self, collection_id: CollectionId, shards: Sequence[ShardPlacement]) -> None:
        self.transaction.check_writing()
        state = self.transaction.state
        self.transaction.get(COLLECTION, collection_id)
        numbers = [shard.number for shard in shards]
        if shards and (collection_id in state.placements or len(set(numbers)) < len(numbers)):
            raise AlreadyExists("shard", "number", numbers[0])
        for shard in shards:
            if shard.store_id not in state.stores:
                raise NotFound("store", shard.store_id)
            if not 0 <= shard.number < MAX_SHARD_COUNT:
                raise InvalidArgument("number", f"must be from 0 to {MAX_SHARD_COUNT - 1}")
            if shard.epoch < 1:
                raise InvalidArgument("epoch", "must be at least 1")
        if shards:
            placed = sorted(shards, key=lambda shard: shard.number)
            state.placements[collection_id] = tuple(placed)
            self.transaction.record(COLLECTION, collection_id)

    async def placements(self, collection_id: CollectionId) -> tuple[ShardPlacement, ...]:
        self.transaction.get(COLLECTION, collection_id)
        return self.transaction.state.placements.get(collection_id, ())

    async def register_store(self, store_id: StoreId, actor_name: str) -> None:
        self.transaction.check_writing()
        if len(actor_name) > MAX_NAME_CHARACTERS:
            raise InvalidArgument("actor_name", f"must be at most {MAX_NAME_CHARACTERS} characters")
        state = self.transaction.state
        if state.stores.get(store_id) != actor_name:
            state.stores[store_id] = actor_name
            state.changes.append(store_id)

    async def stores(self) -> Mapping[StoreId, str]:
        return dict(self.transaction.state.stores)

    async def shard_counts(self) -> Mapping[StoreId, int]:
        state = self.transaction.state
        counts = Counter(shard.store_id for placed in state.placements.values() for shard in placed)
        return {store_id: counts[store_id] for store_id, name in state.stores.items() if name}


def repositories_of(transaction: Transaction) -> Repositories:
    return Repositories(
        tenants=Tenants(transaction, TENANT),
        users=Users(transaction, USER),
        databases=Databases(transaction, DATABASE),
        collections=Collections(transaction, COLLECTION),
        placement=Placement(transaction),
        jobs=Jobs(transaction, JOB),
        now=transaction.now,
    )
