"""Collections: made in steps that a crash may interrupt and anyone may finish; deleted by a job.

Making one: record it as `creating` with its placement, make its shards' folders, mark it `ready`.
Deleting one begins with the record of a job, which the catalog's process carries out: files go only
for a recorded deletion, and rows go after files.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from akidb_ray.access.authorization import Action, Authorizer, Principal, Resource
from akidb_ray.domain.collection import Collection, CollectionSpec, CollectionState, check_spec
from akidb_ray.domain.directory import CollectionPlace, Directory, check_ready
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.query import ShardStatus
from akidb_ray.domain.tenancy import Database, Tenant
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.ports import Catalog, Embedders, ShardHosts
from akidb_ray.service.tenants import check_active


@dataclass(frozen=True, slots=True)
class CollectionRef:
    """How a request names a collection: each part by name (the tenant by slug) or id."""

    tenant: str
    database: str
    collection: str


@dataclass(frozen=True, slots=True)
class Collections:
    catalog: Catalog
    copy: CatalogCopy
    authorizer: Authorizer
    hosts: ShardHosts
    embedders: Embedders

    async def create(
        self,
        principal: Principal,
        ref: CollectionRef,
        spec: CollectionSpec,
        description: str = "",
    ) -> CollectionPlace:
        """Make the collection `ref.collection`. A `dimension` of 0 means: that of the model."""
        tenant, database = await self.copy.find(lambda d: _parents(d, ref))
        resource = Resource("collection", ref.collection, tenant.tenant_id)
        self.authorizer.authorize(principal, Action.WRITE_COLLECTION, resource)
        check_active(tenant)
        spec = check_spec(self._with_dimension(spec))
        # A client that goes away must not leave it half made.
        return await asyncio.shield(self._create(database, ref, spec, description))

    async def _create(
        self, database: Database, ref: CollectionRef, spec: CollectionSpec, description: str
    ) -> CollectionPlace:
        try:
            await self.catalog.create_collection(
                database.database_id, ref.collection, spec, description
            )
        except AlreadyExists:
            place = await self._place(ref)
            half_made = place.collection.state is CollectionState.CREATING
            if not half_made or not _carries_out(place.collection.spec, spec):
                raise
        else:
            await self.copy.catch_up()
        return await self.finish(await self._place(ref))

    def _with_dimension(self, spec: CollectionSpec) -> CollectionSpec:
        if spec.embedding_model is None:
            return spec
        dimension = self.embedders.dimension(spec.embedding_model)
        if spec.dimension not in (0, dimension):
            raise InvalidArgument(
                "dimension",
                f"must be {dimension}, the width of {spec.embedding_model}, or left out",
            )
        return replace(spec, dimension=dimension)

    async def list(
        self, principal: Principal, tenant_ref: str, database_ref: str, listing: Listing
    ) -> Page[Collection]:
        ref = CollectionRef(tenant_ref, database_ref, "")
        tenant, database = await self.copy.find(lambda d: _parents(d, ref))
        resource = Resource("collections", database.name, tenant.tenant_id)
        self.authorizer.authorize(principal, Action.READ_COLLECTION, resource)
        return await self.catalog.list_collections(database.database_id, listing)

    async def get(self, principal: Principal, ref: CollectionRef) -> CollectionPlace:
        place, _ = await self.authorized(principal, ref, Action.READ_COLLECTION)
        return place

    async def status(self, place: CollectionPlace) -> tuple[ShardStatus, ...]:
        """How each shard stands, in order of their numbers."""
        return tuple(
            await asyncio.gather(
                *(self.hosts.status(p.store_id, place, p.number) for p in place.placements)
            )
        )

    async def update(
        self,
        principal: Principal,
        ref: CollectionRef,
        changes: Mapping[str, Any],
        if_version: int | None,
    ) -> Collection:
        """Change name or description. The other settings are fixed when a collection is made."""
        place, _ = await self.authorized(principal, ref, Action.WRITE_COLLECTION)
        check_active(place.tenant)
        if "state" in changes:
            raise InvalidArgument("state", "is changed by creating and deleting only")
        updated = await self.catalog.update_collection(
            place.collection.collection_id, changes, if_version
        )
        await self.copy.catch_up()
        return updated

    async def delete(self, principal: Principal, ref: CollectionRef) -> Job:
        """Begin to delete the collection with all its documents, or find that begun."""
        place, _ = await self.authorized(principal, ref, Action.WRITE_COLLECTION)
        check_active(place.tenant)
        job = await self.catalog.delete_collection(place.collection.collection_id)
        await self.copy.catch_up()
        return job

    async def authorized(
        self, principal: Principal, ref: CollectionRef, action: Action
    ) -> tuple[CollectionPlace, RowFilter]:
        """Find a collection and decide what of it the principal may reach."""
        place = await self._place(ref)
        resource = Resource("collection", place.collection.name, place.tenant.tenant_id)
        return place, self.authorizer.authorize(principal, action, resource)

    async def ready(
        self, principal: Principal, ref: CollectionRef, action: Action
    ) -> tuple[CollectionPlace, RowFilter]:
        """As `authorized`; raises InvalidState unless documents may be read and written now."""
        place, visible = await self.authorized(principal, ref, action)
        if place.collection.state is not CollectionState.READY:
            # Another gateway may have finished it since our copy was made.
            await self.copy.catch_up()
            place, visible = await self.authorized(principal, ref, action)
        check_active(place.tenant)
        check_ready(place)
        return place, visible

    async def finish(self, place: CollectionPlace) -> CollectionPlace:
        """Bring an interrupted creation to its end; a collection in another state stays as it is.

        A step that was taken already does no harm when it is taken again.
        """
        if place.collection.state is not CollectionState.CREATING:
            return place
        for placement in place.placements:
            await self.hosts.create_shard(placement.store_id, place, placement.number)
        ready = {"state": CollectionState.READY}
        collection = await self.catalog.update_collection(place.collection.collection_id, ready)
        await self.copy.catch_up()
        return replace(place, collection=collection)

    async def _place(self, ref: CollectionRef) -> CollectionPlace:
        def look_up(directory: Directory) -> CollectionPlace:
            tenant, database = _parents(directory, ref)
            return directory.collection(tenant, database, ref.collection)

        return await self.copy.find(look_up)


def _parents(directory: Directory, ref: CollectionRef) -> tuple[Tenant, Database]:
    tenant = directory.tenant(ref.tenant)
    return tenant, directory.database(tenant, ref.database)


def _carries_out(made: CollectionSpec, asked: CollectionSpec) -> bool:
    """Whether a request with these settings made it; the tenant's quota may have lowered one."""
    lowered = min(made.max_doc_count, asked.max_doc_count)
    return replace(asked, max_doc_count=lowered) == made
