"""Values as JSON objects, the way clients see them."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import Response

from akidb_ray.domain.collection import Collection
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.jobs import Job
from akidb_ray.domain.query import ShardStatus
from akidb_ray.domain.tenancy import Database, Tenant


class Stopwatch:
    """Runs from the moment when it is made."""

    def __init__(self) -> None:
        self._started_at = time.perf_counter()

    @property
    def took_ms(self) -> float:
        return round((time.perf_counter() - self._started_at) * 1000, 3)


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    raw = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z)
    return Response(raw, status, headers, media_type="application/json")


def tenant_json(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant_id": str(tenant.tenant_id),
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status,
        "external_id": tenant.external_id,
        "quotas": {
            "memory_quota_bytes": tenant.quota.memory_quota_bytes,
            "storage_quota_bytes": tenant.quota.storage_quota_bytes,
            "qps_quota": tenant.quota.qps_quota,
            "max_collections": tenant.quota.max_collections,
            "max_vectors_per_collection": tenant.quota.max_vectors_per_collection,
        },
        # Whatever JSON can say; orjson refuses numbers above 64 bits and halves of surrogate pairs.
        "metadata": orjson.Fragment(json.dumps(dict(tenant.metadata))),
        "version": tenant.version,
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
    }


def database_json(database: Database) -> dict[str, Any]:
    return {
        "database_id": str(database.database_id),
        "tenant_id": str(database.tenant_id),
        "name": database.name,
        "description": database.description,
        "state": database.state,
        "schema_version": database.schema_version,
        "version": database.version,
        "created_at": database.created_at,
        "updated_at": database.updated_at,
    }


def collection_json(collection: Collection) -> dict[str, Any]:
    spec = collection.spec
    return {
        "collection_id": str(collection.collection_id),
        "database_id": str(collection.database_id),
        "name": collection.name,
        "description": collection.description,
        "state": collection.state,
        "dimension": spec.dimension,
        "metric": spec.metric,
        "shard_count": spec.shard_count,
        "index_kind": spec.index_kind,
        "hnsw_m": spec.hnsw_m,
        "hnsw_ef_construction": spec.hnsw_ef_construction,
        "hnsw_engine": spec.hnsw_engine,
        "language": spec.language,
        "embedding_model": spec.embedding_model,
        "replica_factor": spec.replica_factor,
        "tiering_policy": spec.tiering_policy,
        "sync_policy": spec.sync_policy,
        "wal_retention_seconds": spec.wal_retention_seconds,
        "max_doc_count": spec.max_doc_count,
        "version": collection.version,
        "created_at": collection.created_at,
        "updated_at": collection.updated_at,
    }


def job_json(job: Job) -> dict[str, Any]:
    return {
        "job_id": str(job.job_id),
        "kind": job.kind,
        "state": job.state,
        "tenant_id": str(job.tenant_id),
        "subject_id": job.subject_id,
        "subject": job.subject,
        "total": job.total,
        "done": job.done,
        "error": job.error,
        "cancel_requested": job.cancel_requested,
        "version": job.version,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
    }


def status_json(place: CollectionPlace, shards: Sequence[ShardStatus]) -> dict[str, Any]:
    return {
        "documents": sum(shard.documents for shard in shards),
        "unindexed": sum(shard.unindexed for shard in shards),
        "indexing": any(shard.indexing for shard in shards),
        "memory_bytes": sum(shard.memory_bytes for shard in shards),
        "shards": [
            {
                "number": placement.number,
                "store_id": str(placement.store_id),
                "documents": shard.documents,
                "unindexed": shard.unindexed,
                "indexing": shard.indexing,
                "memory_bytes": shard.memory_bytes,
                "mapped_bytes": shard.mapped_bytes,
                "segments": shard.segments,
                "sequence": shard.sequence,
                "wal_bytes": shard.wal_bytes,
            }
            for placement, shard in zip(place.placements, shards, strict=True)
        ],
    }
