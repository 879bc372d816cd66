"""The one place that says which tenants, databases and collections exist, and where.

`catalog.StoredCatalog` is the way in: it runs the `rules` on a store of `repositories`, which is an
SQLite file (`sqlite`) or forgets everything at its end (`memory`).
"""
