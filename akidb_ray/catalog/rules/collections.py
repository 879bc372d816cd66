"""Collections: how they are made within the tenant's quotas, and what may change of one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from akidb_ray.catalog.edits import check_version, checked, one_of
from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.rules.references import find
from akidb_ray.catalog.rules.tenants import require_active
from akidb_ray.domain.collection import (
    COLLECTION_MOVES,
    Collection,
    CollectionSpec,
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
    SyncPolicy,
    TieringPolicy,
    check_spec,
)
from akidb_ray.domain.errors import InvalidArgument, InvalidState, NotFound, QuotaExceeded
from akidb_ray.domain.ids import CollectionId, DatabaseId
from akidb_ray.domain.placement import place_shards
from akidb_ray.domain.tenancy import (
    DatabaseState,
    Tenant,
    check_description,
    check_move,
    check_name,
    check_title,
)

FIELDS = {
    "name": check_name,
    "description": check_description,
    "state": one_of(CollectionState),
}
SPEC_FIELDS = tuple(CollectionSpec.__dataclass_fields__)
SPEC_ENUMS = {
    "metric": one_of(Metric),
    "index_kind": one_of(IndexKind),
    "hnsw_engine": one_of(HnswEngine),
    "language": one_of(Language),
    "tiering_policy": one_of(TieringPolicy),
    "sync_policy": one_of(SyncPolicy),
}
FIXED = (*SPEC_FIELDS, "collection_id", "database_id", "version", "created_at", "updated_at")
DEFAULT_MAX_DOC_COUNT = CollectionSpec(dimension=16).max_doc_count


async def create_collection(
    repos: Repositories, database_id: DatabaseId, name: str, spec: CollectionSpec, description: str
) -> CollectionId:
    """A collection in state `creating`, with a store for each of its shards.

    Raises NotFound, AlreadyExists, InvalidArgument, InvalidState, QuotaExceeded, and Unavailable
    without stores.
    """
    collection = Collection(
        collection_id=CollectionId.new(),
        database_id=database_id,
        name=check_name(name),
        spec=_checked_spec(spec),
        state=CollectionState.CREATING,
        created_at=repos.now,
        updated_at=repos.now,
        description=check_description(description),
    )
    database = await repos.databases.get(database_id)
    wanted = "creating a collection"
    tenant = await require_active(repos, database.tenant_id, wanted)
    if database.state is not DatabaseState.READY:
        raise InvalidState("database", database.state, wanted)
    await _check_room(repos, tenant)
    await repos.collections.add(replace(collection, spec=_within_quota(collection.spec, tenant)))
    shards = place_shards(spec.shard_count, await repos.placement.shard_counts())
    await repos.placement.place(collection.collection_id, shards)
    return collection.collection_id


async def update_collection(
    repos: Repositories,
    collection_id: CollectionId,
    changes: Mapping[str, Any],
    if_version: int | None,
) -> Collection:
    """Raises NotFound, InvalidArgument, InvalidState, AlreadyExists, PreconditionFailed."""
    values = checked(changes, FIELDS, FIXED)
    collection = await repos.collections.get(collection_id)
    check_version("collection", collection_id, collection.version, if_version)
    wanted = values.get("state", collection.state)
    if wanted is not collection.state:
        check_move("collection", COLLECTION_MOVES, collection.state, wanted)
    return await repos.collections.update(replace(collection, **values))


async def get_collection(
    repos: Repositories, database_id: DatabaseId, ref: str | CollectionId
) -> Collection:
    """By name or id, within the database. Raises NotFound."""

    async def by_name(name: str) -> Collection:
        return await repos.collections.get_by_name(database_id, name)

    collection = await find(ref, CollectionId, by_name, repos.collections.get)
    if collection.database_id != database_id:
        raise NotFound("collection", ref)
    return collection


def _checked_spec(spec: CollectionSpec) -> CollectionSpec:
    enums = {name: check(getattr(spec, name), name) for name, check in SPEC_ENUMS.items()}
    if spec.embedding_model is not None:
        check_title(spec.embedding_model, "embedding_model")
    return check_spec(replace(spec, **enums))


async def _check_room(repos: Repositories, tenant: Tenant) -> None:
    limit = tenant.quota.max_collections
    if limit is not None:
        used = await repos.tenants.count_collections(tenant.tenant_id)
        if used >= limit:
            raise QuotaExceeded("max_collections", limit, used)


def _within_quota(spec: CollectionSpec, tenant: Tenant) -> CollectionSpec:
    """A spec that has the default, taken as one that nobody chose, is lowered to what the tenant
    may have.
    """
    limit = tenant.quota.max_vectors_per_collection
    if limit is None or spec.max_doc_count <= limit:
        return spec
    if limit == 0:
        raise QuotaExceeded("max_vectors_per_collection", 0, 0)
    if spec.max_doc_count != DEFAULT_MAX_DOC_COUNT:
        raise InvalidArgument(
            "max_doc_count",
            f"must be at most {limit}, the tenant's max_vectors_per_collection; "
            f"is {spec.max_doc_count}",
        )
    return replace(spec, max_doc_count=limit)
