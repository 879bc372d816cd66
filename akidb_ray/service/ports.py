"""What the use cases need from the outside. `cluster` carries these out with Ray."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from akidb_ray.domain.collection import Collection, CollectionSpec
from akidb_ray.domain.directory import CatalogUpdate, CollectionPlace
from akidb_ray.domain.errors import AkiDBError
from akidb_ray.domain.health import CatalogHealth
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, StoreId, TenantId
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.query import ShardRead, ShardStatus
from akidb_ray.domain.tenancy import Database, Tenant, TenantQuota
from akidb_ray.domain.write import ShardWrite, WriteOutcome
from akidb_ray.embedding.embedder import Embedded, TextKind

Answer = TypeVar("Answer")


class Catalog(Protocol):
    """The single source of truth about tenants, databases, collections and placement.

    Every change raises the catalog version. A change that is given `if_version` is carried out only
    on that version, else PreconditionFailed. Methods raise NotFound, AlreadyExists, InvalidState,
    InvalidArgument, QuotaExceeded, and Unavailable when the catalog can't be reached.
    """

    async def create_tenant(
        self,
        name: str,
        slug: str | None = None,
        external_id: str | None = None,
        quota: TenantQuota | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Tenant: ...

    async def update_tenant(
        self, tenant_id: TenantId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Tenant:
        """`changes` may hold name, slug, external_id, status, metadata and the quota's fields."""

    async def list_tenants(self, listing: Listing) -> Page[Tenant]: ...

    async def purge_tenant(self, tenant_id: TenantId) -> Job:
        """Begin to remove a decommissioned tenant with all that is in it, or find it begun."""

    async def create_database(
        self, tenant_id: TenantId, name: str, description: str = ""
    ) -> Database: ...

    async def update_database(
        self, database_id: DatabaseId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Database:
        """`changes` may hold name and description."""

    async def list_databases(self, tenant_id: TenantId, listing: Listing) -> Page[Database]: ...

    async def delete_database(self, database_id: DatabaseId, cascade: bool = False) -> Job:
        """Begin to delete it, or find that begun. Raises InvalidState while it holds collections,
        unless `cascade` has them deleted too.
        """

    async def create_collection(
        self, database_id: DatabaseId, name: str, spec: CollectionSpec, description: str = ""
    ) -> CollectionId:
        """Record it in state `creating`, its shards placed on stores, in one transaction."""

    async def update_collection(
        self, collection_id: CollectionId, changes: Mapping[str, Any], if_version: int | None = None
    ) -> Collection:
        """`changes` may hold name, description and state (by COLLECTION_MOVES)."""

    async def list_collections(
        self, database_id: DatabaseId, listing: Listing
    ) -> Page[Collection]: ...

    async def delete_collection(self, collection_id: CollectionId) -> Job:
        """Begin to delete it, or find that begun."""

    async def get_job(self, job_id: JobId) -> Job: ...

    async def list_jobs(self, tenant_id: TenantId | None, listing: Listing) -> Page[Job]:
        """Of one tenant, or of all."""

    async def cancel_job(self, job_id: JobId) -> Job:
        """Ask it to stop at its next step. Raises InvalidState if it has ended, or cannot stop."""

    async def watch(self, since: int, timeout_s: float) -> CatalogUpdate | None:
        """What happened after version `since`, as soon as something did; None when the time is
        over.
        """


class CatalogProcess(Protocol):
    """What carries the catalog out, apart from what is in the catalog."""

    async def health(self) -> CatalogHealth:
        """Asked with a short deadline. Raises DeadlineExceeded, Unavailable, and what keeps the
        catalog from being opened.
        """


class ShardHosts(Protocol):
    """The one way to the shards. Calls carry batches; each item is answered by a value or an error.

    A call to a host that can't be reached answers Unavailable for each of its items.
    """

    async def ask(
        self, store_id: StoreId, items: Sequence[ShardRead[Answer]]
    ) -> list[Answer | AkiDBError]:
        """Whatever is read. A caller that goes away meanwhile harms nobody else."""

    async def write(
        self, store_id: StoreId, items: Sequence[ShardWrite]
    ) -> list[WriteOutcome | AkiDBError]:
        """Nothing is carried out twice that would answer otherwise the second time."""

    async def alive(self, store_id: StoreId) -> bool:
        """Whether the store's host answers, asked with a short deadline."""

    async def create_shard(self, store_id: StoreId, place: CollectionPlace, number: int) -> None:
        """Make the shard's folder, or find it made."""

    async def drop_shard(self, store_id: StoreId, place: CollectionPlace, number: int) -> None:
        """Delete the shard's folder, or find it gone."""

    async def status(
        self, store_id: StoreId, place: CollectionPlace, number: int
    ) -> ShardStatus: ...


class Embedders(Protocol):
    """Turns texts into unit vectors with a named model."""

    async def embed(self, model: str, texts: Sequence[str], kind: TextKind) -> Embedded:
        """One row per text. Raises InvalidArgument for an unknown model, Unavailable."""

    def dimension(self, model: str) -> int:
        """Width of the model's vectors. Raises InvalidArgument for an unknown model."""
