"""The use cases over Ray."""

from akidb_ray.access.authorization import RootOnly
from akidb_ray.cluster.host_handles import RayShardHosts
from akidb_ray.cluster.ray_catalog import RayCatalog
from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.gateway.embedders import ServeEmbedders
from akidb_ray.gateway.services import Services
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.cluster import Cluster
from akidb_ray.service.collections import Collections
from akidb_ray.service.document_limits import DocumentLimits
from akidb_ray.service.documents import Documents
from akidb_ray.service.embeddings import Embeddings
from akidb_ray.service.jobs import Jobs
from akidb_ray.service.search import Search
from akidb_ray.service.tenants import Databases, Tenants
from akidb_ray.settings import Settings


def build_services(settings: Settings, models: list[str], open_to_all: bool) -> Services:
    """The use cases over Ray, for one gateway replica or one driver."""
    timeout_s = settings.server.request_timeout_s
    catalog = RayCatalog(timeout_s)
    copy = CatalogCopy(catalog)
    hosts = RayShardHosts(lambda: copy.directory, settings)
    embedding = settings.embedding
    embedders = ServeEmbedders(
        models, embedding.texts_per_call, timeout_s, embedding.max_queued_requests
    )
    authorizer = RootOnly()
    collections = Collections(catalog, copy, authorizer, hosts, embedders)
    return Services(
        copy=copy,
        authenticator=Authenticator(copy, open_to_all),
        cluster=Cluster(catalog, copy, authorizer, hosts),
        tenants=Tenants(catalog, copy, authorizer),
        databases=Databases(catalog, copy, authorizer),
        collections=collections,
        jobs=Jobs(catalog, copy, authorizer),
        documents=Documents(collections, hosts, embedders, DocumentLimits(hosts, timeout_s)),
        search=Search(collections, hosts, embedders),
        embeddings=Embeddings(authorizer, embedders),
        max_body_bytes=settings.server.max_body_bytes,
        max_batch_documents=settings.server.max_batch_documents,
    )
