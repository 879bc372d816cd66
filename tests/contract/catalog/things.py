"""Things for the catalog to keep, and how each kind of them is reached."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from akidb_ray.catalog.repositories import CatalogStore, Repositories
from akidb_ray.domain.collection import Collection, CollectionSpec, CollectionState
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, TenantId, UserId
from akidb_ray.domain.jobs import Job, JobKind, JobState
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.tenancy import (
    Database,
    DatabaseState,
    Tenant,
    TenantStatus,
    User,
    UserStatus,
)

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SPEC = CollectionSpec(dimension=16)


def times(number: int) -> dict[str, datetime]:
    """The larger the number, the later."""
    moment = START + timedelta(seconds=number)
    return {"created_at": moment, "updated_at": moment}


def a_tenant(number: int = 0, **fields: Any) -> Tenant:
    given = {
        "tenant_id": TenantId.new(),
        "name": f"Tenant {number}",
        "slug": f"tenant-{number}",
        "status": TenantStatus.ACTIVE,
        **times(number),
    }
    return Tenant(**given | fields)


def a_user(tenant_id: TenantId, number: int = 0, **fields: Any) -> User:
    given = {
        "user_id": UserId.new(),
        "tenant_id": tenant_id,
        "email": f"user{number}@example.com",
        "status": UserStatus.ACTIVE,
        **times(number),
    }
    return User(**given | fields)


def a_database(tenant_id: TenantId, number: int = 0, **fields: Any) -> Database:
    given = {
        "database_id": DatabaseId.new(),
        "tenant_id": tenant_id,
        "name": f"database-{number}",
        "state": DatabaseState.READY,
        **times(number),
    }
    return Database(**given | fields)


def a_collection(database_id: DatabaseId, number: int = 0, **fields: Any) -> Collection:
    given = {
        "collection_id": CollectionId.new(),
        "database_id": database_id,
        "name": f"collection-{number}",
        "spec": SPEC,
        "state": CollectionState.READY,
        **times(number),
    }
    return Collection(**given | fields)


def a_job(tenant_id: TenantId, number: int = 0, **fields: Any) -> Job:
    given = {
        "job_id": JobId.new(),
        "kind": JobKind.DELETE_DATABASE,
        "state": JobState.RUNNING,
        "tenant_id": tenant_id,
        "subject_id": str(DatabaseId.new()),
        "subject": f"database-{number}",
        **times(number),
    }
    return Job(**given | fields)


@dataclass(frozen=True)
class Kind:
    """`name` is the field that lists by name sort by, `state` the one that they filter by.

    `make` takes the id of the parent, which a tenant does without, and a number; `other_state` is
    one that `make` does not choose.
    """

    word: str
    key: str
    name: str
    state: str
    other_state: Any
    make: Callable[..., Any]
    repository: Callable[[Repositories], Any]
    parent: str | None = None
    parent_type: Any = None

    async def list(self, repos: Repositories, parent_id: Any, listing: Listing) -> Page[Any]:
        repository = self.repository(repos)
        if self is TENANTS:
            page: Page[Any] = await repository.list(listing)
        else:
            page = await repository.list(parent_id, listing)
        return page

    def id_of(self, thing: Any) -> Any:
        return getattr(thing, self.key)


TENANTS = Kind(
    word="tenant",
    key="tenant_id",
    name="slug",
    state="status",
    other_state=TenantStatus.SUSPENDED,
    make=lambda _, number=0, **fields: a_tenant(number, **fields),
    repository=lambda repos: repos.tenants,
)
USERS = Kind(
    word="user",
    key="user_id",
    name="email",
    state="status",
    other_state=UserStatus.LOCKED,
    make=a_user,
    repository=lambda repos: repos.users,
    parent="tenant_id",
    parent_type=TenantId,
)
DATABASES = Kind(
    word="database",
    key="database_id",
    name="name",
    state="state",
    other_state=DatabaseState.DELETING,
    make=a_database,
    repository=lambda repos: repos.databases,
    parent="tenant_id",
    parent_type=TenantId,
)
COLLECTIONS = Kind(
    word="collection",
    key="collection_id",
    name="name",
    state="state",
    other_state=CollectionState.DELETING,
    make=a_collection,
    repository=lambda repos: repos.collections,
    parent="database_id",
    parent_type=DatabaseId,
)
JOBS = Kind(
    word="job",
    key="job_id",
    name="subject",
    state="state",
    other_state=JobState.FAILED,
    make=a_job,
    repository=lambda repos: repos.jobs,
)
KINDS = (TENANTS, USERS, DATABASES, COLLECTIONS, JOBS)


async def keep(store: CatalogStore, kind: Kind, *things: Any) -> None:
    """Add them in a transaction of their own."""
    async with store.writing() as repos:
        for thing in things:
            await kind.repository(repos).add(thing)


async def kept(store: CatalogStore, kind: Kind, thing_id: Any) -> Any:
    async with store.reading() as repos:
        return await kind.repository(repos).get(thing_id)


async def changed(store: CatalogStore, change: Callable[[Repositories], Awaitable[Any]]) -> Any:
    """What the change returns, in a transaction of its own."""
    async with store.writing() as repos:
        return await change(repos)
