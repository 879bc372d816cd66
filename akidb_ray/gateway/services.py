"""The use cases that one gateway replica offers."""

from dataclasses import dataclass

from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.cluster import Cluster
from akidb_ray.service.collections import Collections
from akidb_ray.service.documents import Documents
from akidb_ray.service.embeddings import Embeddings
from akidb_ray.service.jobs import Jobs
from akidb_ray.service.search import Search
from akidb_ray.service.tenants import Databases, Tenants


@dataclass(frozen=True, slots=True)
class Services:
    """Put together by `bootstrap.build_services`."""

    copy: CatalogCopy
    authenticator: Authenticator
    cluster: Cluster
    tenants: Tenants
    databases: Databases
    collections: Collections
    jobs: Jobs
    documents: Documents
    search: Search
    embeddings: Embeddings
    max_body_bytes: int
    max_batch_documents: int
