"""What followers of a catalog know, to be compared before and after."""

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.domain.directory import CatalogUpdate


async def state_of(catalog: StoredCatalog) -> CatalogUpdate:
    """All that there is. Raises AssertionError for an empty catalog."""
    update = await catalog.watch(since=0, timeout_s=0)
    assert update is not None
    return update
