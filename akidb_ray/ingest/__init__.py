"""Readers of files: rows in, documents out, and what was wrong with the rest."""
