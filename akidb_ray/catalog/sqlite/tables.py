"""The catalog's tables as SQLAlchemy Core sees them, to build queries with.

The migrations make the tables, with their CHECKs, indexes and triggers; a test holds both equal.
`info["kind"]` is the word for one row in errors and in the change feed.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text

from akidb_ray.catalog.sqlite.columns import IdColumn, InstantColumn, JsonColumn
from akidb_ray.domain.ids import (
    ClusterId,
    CollectionId,
    DatabaseId,
    JobId,
    StoreId,
    TenantId,
    UserId,
)

metadata = MetaData()

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", IdColumn(TenantId), primary_key=True),
    Column("external_id", Text),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("memory_quota_bytes", Integer, nullable=False),
    Column("storage_quota_bytes", Integer, nullable=False),
    Column("qps_quota", Integer, nullable=False),
    Column("metadata", JsonColumn, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("updated_at", InstantColumn, nullable=False),
    Column("max_collections", Integer),
    Column("max_vectors_per_collection", Integer),
    info={"kind": "tenant"},
)

users = Table(
    "users",
    metadata,
    Column("user_id", IdColumn(UserId), primary_key=True),
    Column("tenant_id", IdColumn(TenantId), ForeignKey(tenants.c.tenant_id), nullable=False),
    Column("email", Text, nullable=False),
    Column("password_hash", LargeBinary),
    Column("status", Text, nullable=False),
    Column("last_login_at", InstantColumn),
    Column("version", Integer, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("updated_at", InstantColumn, nullable=False),
    info={"kind": "user"},
)

databases = Table(
    "databases",
    metadata,
    Column("database_id", IdColumn(DatabaseId), primary_key=True),
    Column("tenant_id", IdColumn(TenantId), ForeignKey(tenants.c.tenant_id), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("updated_at", InstantColumn, nullable=False),
    info={"kind": "database"},
)

collections = Table(
    "collections",
    metadata,
    Column("collection_id", IdColumn(CollectionId), primary_key=True),
    Column(
        "database_id", IdColumn(DatabaseId), ForeignKey(databases.c.database_id), nullable=False
    ),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("metric", Text, nullable=False),
    Column("shard_count", Integer, nullable=False),
    Column("index_kind", Text, nullable=False),
    Column("hnsw_m", Integer, nullable=False),
    Column("hnsw_ef_construction", Integer, nullable=False),
    Column("embedding_model", Text),
    Column("replica_factor", Integer, nullable=False),
    Column("tiering_policy", Text, nullable=False),
    Column("sync_policy", Text, nullable=False),
    Column("wal_retention_seconds", Integer, nullable=False),
    Column("max_doc_count", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("updated_at", InstantColumn, nullable=False),
    Column("hnsw_engine", Text, nullable=False),
    Column("language", Text, nullable=False),
    info={"kind": "collection"},
)

catalog_meta = Table(
    "catalog_meta",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cluster_id", IdColumn(ClusterId), nullable=False),
    Column("catalog_version", Integer, nullable=False),
    Column("root_key_hash", LargeBinary),
    Column("epoch", Integer, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("catalog_version", Integer, primary_key=True),
    Column("changed_at", InstantColumn, nullable=False),
    Column("kind", Text, nullable=False),
    Column("entity_id", LargeBinary, nullable=False),
    Column("action", Text, nullable=False),
    Column("body", JsonColumn, nullable=False),
)

stores = Table(
    "stores",
    metadata,
    Column("store_id", IdColumn(StoreId), primary_key=True),
    Column("actor_name", Text, nullable=False),
    Column("registered_at", InstantColumn, nullable=False),
    Column("shard_count", Integer, nullable=False),
    info={"kind": "store"},
)

shards = Table(
    "shards",
    metadata,
    Column(
        "collection_id",
        IdColumn(CollectionId),
        ForeignKey(collections.c.collection_id),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True),
    Column("store_id", IdColumn(StoreId), ForeignKey(stores.c.store_id), nullable=False),
    Column("epoch", Integer, nullable=False),
    info={"kind": "shard"},
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", IdColumn(JobId), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("tenant_id", IdColumn(TenantId), nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("error", Text),
    Column("cancel_requested", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("updated_at", InstantColumn, nullable=False),
    info={"kind": "job"},
)
