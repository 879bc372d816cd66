"""Quotas of collections, jobs, the term of the catalog's process, and what makes lists quick."""

# ruff: noqa: S608 (the names in the statements are those below)

from alembic import op

revision = "005"
down_revision = "004"

QUOTAS = (
    """
    ALTER TABLE tenants ADD COLUMN max_collections INTEGER
        CONSTRAINT max_collections CHECK (max_collections >= 0)
    """,
    """
    ALTER TABLE tenants ADD COLUMN max_vectors_per_collection INTEGER
        CONSTRAINT max_vectors_per_collection CHECK (max_vectors_per_collection >= 0)
    """,
)

EPOCH = """
ALTER TABLE catalog_meta ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0
    CONSTRAINT epoch CHECK (epoch >= 0)
"""

# Counting a hundred thousand shards for each new collection takes too long.
SHARD_COUNTS = (
    """
    ALTER TABLE stores ADD COLUMN shard_count INTEGER NOT NULL DEFAULT 0
        CONSTRAINT shard_count CHECK (shard_count >= 0)
    """,
    """
    UPDATE stores
    SET shard_count = (SELECT count(*) FROM shards WHERE shards.store_id = stores.store_id)
    """,
    """
    CREATE TRIGGER shards_counted_insert AFTER INSERT ON shards
    BEGIN
        UPDATE stores SET shard_count = shard_count + 1 WHERE store_id = NEW.store_id;
    END
    """,
    """
    CREATE TRIGGER shards_counted_delete AFTER DELETE ON shards
    BEGIN
        UPDATE stores SET shard_count = shard_count - 1 WHERE store_id = OLD.store_id;
    END
    """,
    """
    CREATE TRIGGER shards_counted_update AFTER UPDATE OF store_id ON shards
    BEGIN
        UPDATE stores SET shard_count = shard_count - 1 WHERE store_id = OLD.store_id;
        UPDATE stores SET shard_count = shard_count + 1 WHERE store_id = NEW.store_id;
    END
    """,
)

# Of the tenant and the subject only the ids are kept: the job outlives both.
JOBS = """
CREATE TABLE jobs (
    job_id BLOB NOT NULL PRIMARY KEY CONSTRAINT job_id CHECK (length(job_id) = 16),
    kind TEXT NOT NULL CONSTRAINT kind CHECK (
        kind IN ('delete_collection', 'delete_database', 'purge_tenant')),
    state TEXT NOT NULL CONSTRAINT state CHECK (
        state IN ('running', 'succeeded', 'failed', 'cancelled')),
    tenant_id BLOB NOT NULL CONSTRAINT tenant_id CHECK (length(tenant_id) = 16),
    subject_id TEXT NOT NULL CONSTRAINT subject_id CHECK (length(subject_id) = 36),
    subject TEXT NOT NULL CONSTRAINT subject CHECK (length(subject) BETWEEN 1 AND 255),
    total INTEGER NOT NULL CONSTRAINT total CHECK (total >= 0),
    done INTEGER NOT NULL CONSTRAINT done CHECK (done BETWEEN 0 AND total),
    error TEXT CONSTRAINT error CHECK (length(error) <= 4096),
    cancel_requested INTEGER NOT NULL
        CONSTRAINT cancel_requested CHECK (cancel_requested IN (0, 1)),
    version INTEGER NOT NULL DEFAULT 1 CONSTRAINT version CHECK (version >= 1),
    created_at TEXT NOT NULL
        CONSTRAINT created_at CHECK (created_at LIKE '____-__-__T__:__:__.______Z'),
    updated_at TEXT NOT NULL
        CONSTRAINT updated_at CHECK (updated_at LIKE '____-__-__T__:__:__.______Z')
) STRICT
"""

# For lists: in both orders, where one parent may have very many children also those of one state.
# Where a name is unique, its own index serves already.
INDEXES = (
    "CREATE INDEX tenants_by_creation ON tenants (created_at, tenant_id)",
    "CREATE INDEX tenants_in_status ON tenants (status, created_at, tenant_id)",
    "CREATE INDEX tenants_in_status_by_slug ON tenants (status, slug, tenant_id)",
    "DROP INDEX users_of_tenant",
    "CREATE INDEX users_of_tenant ON users (tenant_id, created_at, user_id)",
    "DROP INDEX databases_of_tenant",
    "CREATE INDEX databases_of_tenant ON databases (tenant_id, created_at, database_id)",
    "DROP INDEX collections_of_database",
    """
    CREATE INDEX collections_of_database
    ON collections (database_id, created_at, collection_id)
    """,
    """
    CREATE INDEX collections_in_state
    ON collections (database_id, state, created_at, collection_id)
    """,
    """
    CREATE INDEX collections_in_state_by_name
    ON collections (database_id, state, name, collection_id)
    """,
    "CREATE INDEX databases_deleting ON databases (database_id) WHERE state = 'deleting'",
    "CREATE INDEX collections_deleting ON collections (collection_id) WHERE state = 'deleting'",
    "CREATE INDEX jobs_by_creation ON jobs (created_at, job_id)",
    "CREATE INDEX jobs_of_tenant ON jobs (tenant_id, created_at, job_id)",
    "CREATE INDEX jobs_in_state ON jobs (state, created_at, job_id)",
    # With the state, though it is always the same: else SQLite takes `jobs_in_state` for several
    # subjects, and reads all that run.
    "CREATE INDEX jobs_running ON jobs (subject_id, state) WHERE state = 'running'",
    "CREATE INDEX jobs_ended ON jobs (updated_at) WHERE state <> 'running'",
)

# Of each table with a text: its key, its parent's key, and the columns that are searched.
SEARCHED = {
    "tenants": ("tenant_id", None, ("name", "slug")),
    "databases": ("database_id", "tenant_id", ("name", "description")),
    "collections": ("collection_id", "database_id", ("name", "description")),
}


def search(table: str, key: str, parent: str | None, columns: tuple[str, ...]) -> list[str]:
    """Full-text search again, quick also among very many.

    A row of the search is found by its number, which `_fts_rows` knows: a search for its key reads
    them all. The parent is a word among the others, so that a search within one parent reads no
    matches in others. The tokenizer removes all accents of a letter, not only the first.
    """
    names = ", ".join(("parent", *columns))
    kept = ", ".join((f"hex({table}.{parent})" if parent else "''", *columns))
    new = ", ".join((f"hex(NEW.{parent})" if parent else "''", *(f"NEW.{x}" for x in columns)))
    assignments = ", ".join(f"{column} = NEW.{column}" for column in columns)
    number = f"SELECT number FROM {table}_fts_rows WHERE {key}"
    return [
        *(f"DROP TRIGGER {table}_fts_{event}" for event in ("insert", "update", "delete")),
        f"DROP TABLE {table}_fts",
        f"""
        CREATE TABLE {table}_fts_rows (
            number INTEGER PRIMARY KEY,
            {key} BLOB NOT NULL UNIQUE CONSTRAINT {key} CHECK (length({key}) = 16)
        ) STRICT
        """,
        f"""
        CREATE VIRTUAL TABLE {table}_fts USING fts5(
            {key} UNINDEXED, {names}, tokenize = 'unicode61 remove_diacritics 2',
            prefix = '1 2 3')
        """,
        f"INSERT INTO {table}_fts_rows ({key}) SELECT {key} FROM {table} ORDER BY {key}",
        f"""
        INSERT INTO {table}_fts (rowid, {key}, {names})
        SELECT number, {key}, {kept}
        FROM {table} JOIN {table}_fts_rows USING ({key})
        """,
        f"""
        CREATE TRIGGER {table}_fts_insert AFTER INSERT ON {table}
        BEGIN
            INSERT INTO {table}_fts_rows ({key}) VALUES (NEW.{key});
            INSERT INTO {table}_fts (rowid, {key}, {names})
            VALUES (({number} = NEW.{key}), NEW.{key}, {new});
        END
        """,
        f"""
        CREATE TRIGGER {table}_fts_update AFTER UPDATE OF {", ".join(columns)} ON {table}
        BEGIN
            UPDATE {table}_fts SET {assignments} WHERE rowid = ({number} = NEW.{key});
        END
        """,
        f"""
        CREATE TRIGGER {table}_fts_delete AFTER DELETE ON {table}
        BEGIN
            DELETE FROM {table}_fts WHERE rowid = ({number} = OLD.{key});
            DELETE FROM {table}_fts_rows WHERE {key} = OLD.{key};
        END
        """,
    ]


def upgrade() -> None:
    statements = [*QUOTAS, EPOCH, *SHARD_COUNTS, JOBS, *INDEXES]
    for table, (key, parent, columns) in SEARCHED.items():
        statements += search(table, key, parent, columns)
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)
