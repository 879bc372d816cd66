"""The use cases that one gateway replica offers."""

import asyncio
from dataclasses import dataclass

from akidb_ray.domain.ids import StoreId
from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.collections import Collections
from akidb_ray.service.documents import Documents
from akidb_ray.service.search import Search
from akidb_ray.service.tenants import Databases, Tenants


@dataclass(frozen=True, slots=True)
class Services:
    """Put together by `bootstrap.build_services`."""

    copy: CatalogCopy
    authenticator: Authenticator
    tenants: Tenants
    databases: Databases
    collections: Collections
    documents: Documents
    search: Search
    max_body_bytes: int
    max_batch_documents: int

    async def stores_alive(self) -> dict[StoreId, bool]:
        """Which of the known stores have a host that answers now."""
        hosts, stores = self.documents.hosts, list(self.copy.directory.stores)
        answers = await asyncio.gather(*(hosts.alive(store_id) for store_id in stores))
        return dict(zip(stores, answers, strict=True))
