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


def _shown(example: Any) -> Any:
    return Field(examples=[example])


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

    version: int = _shown(1)
    created_at: datetime
    updated_at: datetime


class QuotasAnswer(Answer):
    """null: no limit."""

    memory_quota_bytes: int = _shown(34_359_738_368)
    storage_quota_bytes: int = _shown(1_099_511_627_776)
    qps_quota: int = _shown(200)
    max_collections: int | None = _shown(10)
    max_vectors_per_collection: int | None = _shown(None)


class TenantAnswer(Kept):
    tenant_id: str = _shown(_ID)
    slug: str = _shown("acme")
    name: str = _shown("Acme")
    status: TenantStatus = _shown("active")
    external_id: str | None = _shown(None)
    quotas: QuotasAnswer
    metadata: dict[str, Any] = _shown({"tier": "gold"})


class DatabaseAnswer(Kept):
    database_id: str = _shown(_ID)
    tenant_id: str = _shown(_ID)
    name: str = _shown("main")
    description: str = _shown("")
    state: DatabaseState = _shown("ready")
    schema_version: int


class ShardStatusAnswer(Answer):
    number: int = _shown(0)
    store_id: str = _shown(_ID)
    documents: int = _shown(17_016)
    unindexed: int = _shown(0)
    indexing: bool
    memory_bytes: int = _shown(31_457_280)
    mapped_bytes: int = _shown(26_136_576)
    segments: int = _shown(2)
    sequence: int = _shown(412)
    wal_bytes: int = _shown(1_048_576)


class StatusAnswer(Answer):
    """`unindexed` documents are in no graph; they are compared one by one, and found all the
    same.
    """

    documents: int = _shown(17_016)
    unindexed: int = _shown(0)
    indexing: bool
    memory_bytes: int = _shown(31_457_280)
    shards: list[ShardStatusAnswer]


class CollectionAnswer(Kept):
    collection_id: str = _shown(_ID)
    database_id: str = _shown(_ID)
    name: str = _shown("films")
    description: str = _shown("")
    state: CollectionState = _shown("ready")
    dimension: int = _shown(384)
    metric: Metric = _shown("cosine")
    shard_count: int = _shown(1)
    index_kind: IndexKind = _shown("hnsw")
    hnsw_m: int = _shown(32)
    hnsw_ef_construction: int = _shown(200)
    hnsw_engine: HnswEngine = _shown("faiss")
    language: Language = _shown("english")
    embedding_model: str | None = _shown("all-MiniLM-L6-v2")
    replica_factor: int = _shown(1)
    tiering_policy: TieringPolicy = _shown("memory")
    sync_policy: SyncPolicy = _shown("continuous")
    wal_retention_seconds: int = _shown(604_800)
    max_doc_count: int = _shown(50_000_000)


class CollectionStatusAnswer(CollectionAnswer):
    """`status` is there while the collection is ready."""

    status: StatusAnswer | None = None


class JobAnswer(Kept):
    """`done` of `total` steps; a step of a deletion is a collection. `error` says why it failed,
    or, while it runs, what keeps it from going on.
    """

    job_id: str = _shown(_ID)
    kind: JobKind = _shown("delete_collection")
    state: JobState = _shown("running")
    tenant_id: str = _shown(_ID)
    subject_id: str = _shown(_ID)
    subject: str = _shown("films")
    total: int = _shown(1)
    done: int = _shown(0)
    error: str | None = _shown(None)
    cancel_requested: bool


class PageAnswer(Answer):
    next_cursor: str | None = Field(description="Null on the last page.", examples=[None])


class TenantsAnswer(PageAnswer):
    tenants: list[TenantAnswer]


class DatabasesAnswer(PageAnswer):
    databases: list[DatabaseAnswer]


class CollectionsAnswer(PageAnswer):
    collections: list[CollectionAnswer]


class JobsAnswer(PageAnswer):
    jobs: list[JobAnswer]
