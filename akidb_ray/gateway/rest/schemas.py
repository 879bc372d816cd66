"""Shapes of answers about tenants, databases, collections and jobs, as OpenAPI shows them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from akidb_ray.domain.collection import (
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
    SyncPolicy,
    TieringPolicy,
)
from akidb_ray.domain.jobs import JobKind, JobState
from akidb_ray.domain.tenancy import DatabaseState, TenantStatus

_ID = "0198c0de-7a11-7000-8000-000000000001"


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemAnswer(BaseModel):
    """A problem document (RFC 9457). `code` is for programs, `detail` for people. The fields
    without which a problem may come say more of some codes.
    """

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(examples=["urn:akidb:error:invalid_argument"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["invalid_argument"])
    request_id: str
    field: str = Field("", description="Path of the value that is wrong.")
    reason: str = Field("", description="What is wrong with it.")
    row: int = Field(0, description="Its number in a batch, from 0.")
    kind: str = Field("", description="Of the thing that it is about, such as `collection`.")
    quota: str = Field("", description="The quota that has no room.")
    limit: int = Field(0, description="What the quota or the server allows.")


class Kept(Answer):
    """`version` is raised by each change; it is the `ETag` too."""

    version: int = Field(examples=[1])
    created_at: datetime
    updated_at: datetime


class QuotasAnswer(Answer):
    """null: no limit."""

    memory_quota_bytes: int
    storage_quota_bytes: int
    qps_quota: int
    max_collections: int | None
    max_vectors_per_collection: int | None


class TenantAnswer(Kept):
    tenant_id: str = Field(examples=[_ID])
    slug: str = Field(examples=["acme"])
    name: str = Field(examples=["Acme"])
    status: TenantStatus
    external_id: str | None
    quotas: QuotasAnswer
    metadata: dict[str, Any]


class DatabaseAnswer(Kept):
    database_id: str = Field(examples=[_ID])
    tenant_id: str
    name: str = Field(examples=["main"])
    description: str
    state: DatabaseState
    schema_version: int


class ShardStatusAnswer(Answer):
    number: int
    store_id: str
    documents: int
    unindexed: int
    indexing: bool
    memory_bytes: int
    mapped_bytes: int
    segments: int
    sequence: int
    wal_bytes: int


class StatusAnswer(Answer):
    """`unindexed` documents are in no graph; they are compared one by one, and found all the
    same.
    """

    documents: int
    unindexed: int
    indexing: bool
    memory_bytes: int
    shards: list[ShardStatusAnswer]


class CollectionAnswer(Kept):
    collection_id: str = Field(examples=[_ID])
    database_id: str
    name: str = Field(examples=["films"])
    description: str
    state: CollectionState
    dimension: int = Field(examples=[384])
    metric: Metric
    shard_count: int
    index_kind: IndexKind
    hnsw_m: int
    hnsw_ef_construction: int
    hnsw_engine: HnswEngine
    language: Language
    embedding_model: str | None
    replica_factor: int
    tiering_policy: TieringPolicy
    sync_policy: SyncPolicy
    wal_retention_seconds: int
    max_doc_count: int


class CollectionStatusAnswer(CollectionAnswer):
    """`status` is there while the collection is ready."""

    status: StatusAnswer | None = None


class JobAnswer(Kept):
    """`done` of `total` steps; a step of a deletion is a collection. `error` says why it failed,
    or, while it runs, what keeps it from going on.
    """

    job_id: str = Field(examples=[_ID])
    kind: JobKind
    state: JobState
    tenant_id: str
    subject_id: str
    subject: str = Field(examples=["films"])
    total: int
    done: int
    error: str | None
    cancel_requested: bool


class PageAnswer(Answer):
    next_cursor: str | None = Field(description="Null on the last page.")


class TenantsAnswer(PageAnswer):
    tenants: list[TenantAnswer]


class DatabasesAnswer(PageAnswer):
    databases: list[DatabaseAnswer]


class CollectionsAnswer(PageAnswer):
    collections: list[CollectionAnswer]


class JobsAnswer(PageAnswer):
    jobs: list[JobAnswer]
