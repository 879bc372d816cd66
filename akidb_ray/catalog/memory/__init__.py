"""The catalog in memory: the promises of `catalog.repositories` on dicts, kept by one process."""
