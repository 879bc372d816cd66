"""Triggers that keep the times honest, and full-text search over names and descriptions."""

# ruff: noqa: S608 (the names in the statements are those below)

from alembic import op

revision = "002"
down_revision = "001"

KEYS = {
    "tenants": "tenant_id",
    "users": "user_id",
    "databases": "database_id",
    "collections": "collection_id",
}
SEARCHED = {
    "tenants": ("name", "slug"),
    "databases": ("name", "description"),
    "collections": ("name", "description"),
}


def times(table: str, key: str) -> list[str]:
    # A change made by AkiDB raises `version` and brings the time of its own clock; one made by
    # hand in an SQLite shell does neither, so the trigger does both for it.
    return [
        f"""
        CREATE TRIGGER {table}_updated_at AFTER UPDATE ON {table}
        WHEN NEW.version = OLD.version
        BEGIN
            UPDATE {table}
            SET updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', version = version + 1
            WHERE {key} = NEW.{key};
        END
        """,
        f"""
        CREATE TRIGGER {table}_created_at BEFORE UPDATE OF created_at, {key} ON {table}
        WHEN NEW.created_at IS NOT OLD.created_at OR NEW.{key} IS NOT OLD.{key}
        BEGIN
            SELECT RAISE(ABORT, 'created_at and {key} cannot change');
        END
        """,
    ]


def search(table: str, key: str, columns: tuple[str, ...]) -> list[str]:
    # Rows are joined by key, not by rowid: VACUUM may renumber the rows of these tables.
    names = ", ".join(columns)
    new = ", ".join(f"NEW.{column}" for column in columns)
    assignments = ", ".join(f"{column} = NEW.{column}" for column in columns)
    return [
        f"CREATE VIRTUAL TABLE {table}_fts USING fts5({key} UNINDEXED, {names})",
        f"""
        CREATE TRIGGER {table}_fts_insert AFTER INSERT ON {table}
        BEGIN
            INSERT INTO {table}_fts ({key}, {names}) VALUES (NEW.{key}, {new});
        END
        """,
        f"""
        CREATE TRIGGER {table}_fts_update AFTER UPDATE OF {names} ON {table}
        BEGIN
            UPDATE {table}_fts SET {assignments} WHERE {key} = NEW.{key};
        END
        """,
        f"""
        CREATE TRIGGER {table}_fts_delete AFTER DELETE ON {table}
        BEGIN
            DELETE FROM {table}_fts WHERE {key} = OLD.{key};
        END
        """,
    ]


def upgrade() -> None:
    statements = [statement for table, key in KEYS.items() for statement in times(table, key)]
    for table, columns in SEARCHED.items():
        statements += search(table, KEYS[table], columns)
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)
