"""What search needs to know of a collection: the library of its graphs, its texts' language."""

from alembic import op

revision = "004"
down_revision = "003"

HNSW_ENGINE = """
ALTER TABLE collections ADD COLUMN hnsw_engine TEXT NOT NULL DEFAULT 'faiss'
    CONSTRAINT hnsw_engine CHECK (hnsw_engine IN ('faiss', 'hnswlib'))
"""

LANGUAGE = """
ALTER TABLE collections ADD COLUMN language TEXT NOT NULL DEFAULT 'english'
    CONSTRAINT language CHECK (language IN (
        'none', 'arabic', 'armenian', 'basque', 'catalan', 'czech', 'danish', 'dutch',
        'english', 'esperanto', 'estonian', 'finnish', 'french', 'german', 'greek',
        'hindi', 'hungarian', 'indonesian', 'irish', 'italian', 'lithuanian', 'nepali',
        'norwegian', 'persian', 'polish', 'portuguese', 'romanian', 'russian',
        'serbian', 'spanish', 'swedish', 'tamil', 'turkish', 'yiddish'))
"""

UPDATED_AT = "SELECT sql FROM sqlite_master WHERE name = 'collections_updated_at'"


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    for statement in (HNSW_ENGINE, LANGUAGE):
        run(statement)
    # The graphs that are there are those of hnswlib. That is no change of a collection: its version
    # and time stay, so the trigger that moves them is away meanwhile.
    trigger = run(UPDATED_AT).scalar_one()
    run("DROP TRIGGER collections_updated_at")
    run("UPDATE collections SET hnsw_engine = 'hnswlib'")
    run(trigger)
