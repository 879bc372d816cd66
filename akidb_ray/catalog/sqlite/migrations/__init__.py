"""Numbered, forward-only migrations of the catalog, run by Alembic from `catalog.schema`."""
