"""Tenants, users, databases and collections."""

from alembic import op

revision = "001"
down_revision = None

# Constraints are named after their column: SQLite reports the name when one is violated.
# LIKE's '_' is any one character: times have a fixed width, so that they sort as text.

TENANTS = """
CREATE TABLE tenants (
    tenant_id BLOB NOT NULL PRIMARY KEY CONSTRAINT tenant_id CHECK (length(tenant_id) = 16),
    external_id TEXT UNIQUE,
    name TEXT NOT NULL CONSTRAINT name CHECK (length(name) BETWEEN 1 AND 255),
    slug TEXT NOT NULL UNIQUE CONSTRAINT slug CHECK (
        length(slug) BETWEEN 1 AND 63 AND slug NOT GLOB '*[^a-z0-9-]*'
        AND slug NOT LIKE '-%' AND slug NOT LIKE '%-'),
    status TEXT NOT NULL CONSTRAINT status CHECK (
        status IN ('provisioning', 'active', 'suspended', 'decommissioned')),
    memory_quota_bytes INTEGER NOT NULL DEFAULT 34359738368
        CONSTRAINT memory_quota_bytes CHECK (memory_quota_bytes >= 0),
    storage_quota_bytes INTEGER NOT NULL DEFAULT 1099511627776
        CONSTRAINT storage_quota_bytes CHECK (storage_quota_bytes >= 0),
    qps_quota INTEGER NOT NULL DEFAULT 200 CONSTRAINT qps_quota CHECK (qps_quota >= 0),
    metadata TEXT NOT NULL DEFAULT '{}' CONSTRAINT metadata CHECK (
        iif(json_valid(metadata), json_type(metadata) = 'object', 0)),
    version INTEGER NOT NULL DEFAULT 1 CONSTRAINT version CHECK (version >= 1),
    created_at TEXT NOT NULL
        CONSTRAINT created_at CHECK (created_at LIKE '____-__-__T__:__:__.______Z'),
    updated_at TEXT NOT NULL
        CONSTRAINT updated_at CHECK (updated_at LIKE '____-__-__T__:__:__.______Z')
) STRICT
"""

# Two addresses that differ only in the case of ASCII letters are one person's.
USERS = """
CREATE TABLE users (
    user_id BLOB NOT NULL PRIMARY KEY CONSTRAINT user_id CHECK (length(user_id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants ON DELETE CASCADE,
    email TEXT NOT NULL COLLATE NOCASE
        CONSTRAINT email CHECK (length(email) BETWEEN 3 AND 254 AND email LIKE '%_@_%'),
    password_hash BLOB,
    status TEXT NOT NULL CONSTRAINT status CHECK (
        status IN ('pending', 'active', 'locked', 'revoked')),
    last_login_at TEXT CONSTRAINT last_login_at CHECK (
        last_login_at LIKE '____-__-__T__:__:__.______Z'),
    version INTEGER NOT NULL DEFAULT 1 CONSTRAINT version CHECK (version >= 1),
    created_at TEXT NOT NULL
        CONSTRAINT created_at CHECK (created_at LIKE '____-__-__T__:__:__.______Z'),
    updated_at TEXT NOT NULL
        CONSTRAINT updated_at CHECK (updated_at LIKE '____-__-__T__:__:__.______Z'),
    UNIQUE (tenant_id, email)
) STRICT
"""

DATABASES = """
CREATE TABLE databases (
    database_id BLOB NOT NULL PRIMARY KEY CONSTRAINT database_id CHECK (length(database_id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name TEXT NOT NULL CONSTRAINT name CHECK (length(name) BETWEEN 1 AND 255),
    description TEXT NOT NULL DEFAULT ''
        CONSTRAINT description CHECK (length(description) <= 4096),
    state TEXT NOT NULL CONSTRAINT state CHECK (
        state IN ('provisioning', 'ready', 'migrating', 'deleting')),
    schema_version INTEGER NOT NULL DEFAULT 1
        CONSTRAINT schema_version CHECK (schema_version >= 1),
    version INTEGER NOT NULL DEFAULT 1 CONSTRAINT version CHECK (version >= 1),
    created_at TEXT NOT NULL
        CONSTRAINT created_at CHECK (created_at LIKE '____-__-__T__:__:__.______Z'),
    updated_at TEXT NOT NULL
        CONSTRAINT updated_at CHECK (updated_at LIKE '____-__-__T__:__:__.______Z'),
    UNIQUE (tenant_id, name)
) STRICT
"""

COLLECTIONS = """
CREATE TABLE collections (
    collection_id BLOB NOT NULL PRIMARY KEY
        CONSTRAINT collection_id CHECK (length(collection_id) = 16),
    database_id BLOB NOT NULL REFERENCES databases ON DELETE CASCADE,
    name TEXT NOT NULL CONSTRAINT name CHECK (length(name) BETWEEN 1 AND 255),
    description TEXT NOT NULL DEFAULT ''
        CONSTRAINT description CHECK (length(description) <= 4096),
    state TEXT NOT NULL CONSTRAINT state CHECK (state IN ('creating', 'ready', 'deleting')),
    dimension INTEGER NOT NULL CONSTRAINT dimension CHECK (dimension BETWEEN 16 AND 4096),
    metric TEXT NOT NULL CONSTRAINT metric CHECK (metric IN ('cosine', 'dot', 'l2')),
    shard_count INTEGER NOT NULL DEFAULT 1
        CONSTRAINT shard_count CHECK (shard_count BETWEEN 1 AND 64),
    index_kind TEXT NOT NULL DEFAULT 'hnsw'
        CONSTRAINT index_kind CHECK (index_kind IN ('hnsw', 'flat')),
    hnsw_m INTEGER NOT NULL DEFAULT 32 CONSTRAINT hnsw_m CHECK (hnsw_m BETWEEN 4 AND 128),
    hnsw_ef_construction INTEGER NOT NULL DEFAULT 200
        CONSTRAINT hnsw_ef_construction CHECK (hnsw_ef_construction BETWEEN 8 AND 2000),
    embedding_model TEXT
        CONSTRAINT embedding_model CHECK (length(embedding_model) BETWEEN 1 AND 255),
    replica_factor INTEGER NOT NULL DEFAULT 1
        CONSTRAINT replica_factor CHECK (replica_factor BETWEEN 1 AND 3),
    tiering_policy TEXT NOT NULL DEFAULT 'memory'
        CONSTRAINT tiering_policy CHECK (tiering_policy IN ('memory', 'memory_s3', 's3_only')),
    sync_policy TEXT NOT NULL DEFAULT 'continuous'
        CONSTRAINT sync_policy CHECK (sync_policy IN ('continuous', 'scheduled', 'manual')),
    wal_retention_seconds INTEGER NOT NULL DEFAULT 604800
        CONSTRAINT wal_retention_seconds CHECK (wal_retention_seconds BETWEEN 0 AND 315360000),
    max_doc_count INTEGER NOT NULL DEFAULT 50000000
        CONSTRAINT max_doc_count CHECK (max_doc_count BETWEEN 1 AND 1099511627776),
    version INTEGER NOT NULL DEFAULT 1 CONSTRAINT version CHECK (version >= 1),
    created_at TEXT NOT NULL
        CONSTRAINT created_at CHECK (created_at LIKE '____-__-__T__:__:__.______Z'),
    updated_at TEXT NOT NULL
        CONSTRAINT updated_at CHECK (updated_at LIKE '____-__-__T__:__:__.______Z'),
    UNIQUE (database_id, name)
) STRICT
"""

# For lists: the children of one parent in the order of their creation.
INDEXES = (
    "CREATE INDEX users_of_tenant ON users (tenant_id, user_id)",
    "CREATE INDEX databases_of_tenant ON databases (tenant_id, database_id)",
    "CREATE INDEX collections_of_database ON collections (database_id, collection_id)",
)


def upgrade() -> None:
    for statement in (TENANTS, USERS, DATABASES, COLLECTIONS, *INDEXES):
        op.get_bind().exec_driver_sql(statement)
