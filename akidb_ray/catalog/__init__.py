"""The one SQLite file that says which tenants, databases and collections exist, and where.

`catalog.SqliteCatalog` is the way in; the other modules hold its SQL, one subject each.
"""
