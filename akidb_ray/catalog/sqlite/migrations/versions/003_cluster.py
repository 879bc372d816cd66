"""What the cluster needs: the catalog's identity and version, its changes, stores and shards."""

from alembic import op

revision = "003"
down_revision = "002"

META = """
CREATE TABLE catalog_meta (
    id INTEGER NOT NULL PRIMARY KEY CONSTRAINT single_row CHECK (id = 1),
    cluster_id BLOB NOT NULL CONSTRAINT cluster_id CHECK (length(cluster_id) = 16),
    catalog_version INTEGER NOT NULL DEFAULT 0
        CONSTRAINT catalog_version CHECK (catalog_version >= 0),
    root_key_hash BLOB
) STRICT
"""

CHANGES = """
CREATE TABLE changes (
    catalog_version INTEGER NOT NULL PRIMARY KEY,
    changed_at TEXT NOT NULL
        CONSTRAINT changed_at CHECK (changed_at LIKE '____-__-__T__:__:__.______Z'),
    kind TEXT NOT NULL CONSTRAINT kind CHECK (
        kind IN ('tenant', 'user', 'database', 'collection', 'store', 'root_key')),
    entity_id BLOB NOT NULL CONSTRAINT entity_id CHECK (length(entity_id) = 16),
    action TEXT NOT NULL CONSTRAINT action CHECK (action IN ('created', 'updated', 'deleted')),
    body TEXT NOT NULL CONSTRAINT body CHECK (json_valid(body))
) STRICT
"""

STORES = """
CREATE TABLE stores (
    store_id BLOB NOT NULL PRIMARY KEY CONSTRAINT store_id CHECK (length(store_id) = 16),
    actor_name TEXT NOT NULL CONSTRAINT actor_name CHECK (length(actor_name) BETWEEN 0 AND 255),
    registered_at TEXT NOT NULL
        CONSTRAINT registered_at CHECK (registered_at LIKE '____-__-__T__:__:__.______Z')
) STRICT
"""

# No cascade from stores: a row that says where documents are is never lost with its store.
SHARDS = """
CREATE TABLE shards (
    collection_id BLOB NOT NULL REFERENCES collections ON DELETE CASCADE,
    number INTEGER NOT NULL CONSTRAINT number CHECK (number BETWEEN 0 AND 63),
    store_id BLOB NOT NULL REFERENCES stores,
    epoch INTEGER NOT NULL DEFAULT 1 CONSTRAINT epoch CHECK (epoch >= 1),
    PRIMARY KEY (collection_id, number)
) STRICT
"""

INDEXES = ("CREATE INDEX shards_of_store ON shards (store_id)",)


def upgrade() -> None:
    for statement in (META, CHANGES, STORES, SHARDS, *INDEXES):
        op.get_bind().exec_driver_sql(statement)
