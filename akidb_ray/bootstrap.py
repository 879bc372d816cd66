"""The only place that builds components, and the order in which a cluster comes up and goes down.

Up: the data folder's lock, Ray, the catalog with its jobs, the shard hosts, creations that a crash
interrupted, the root key, then Serve. Down: Serve, the catalog, whose jobs need the hosts, and the
hosts.
"""

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import ray.util
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from akidb_ray.access.authorization import RootOnly
from akidb_ray.access.exposure import require_loopback
from akidb_ray.access.keys import chosen_root_key, hash_key, new_root_key
from akidb_ray.cluster.actors import CATALOG_ACTOR, NAMESPACE, NamedActor
from akidb_ray.cluster.catalog_actor import CatalogActor
from akidb_ray.cluster.host_handles import RayShardHosts
from akidb_ray.cluster.ray_catalog import RayCatalog
from akidb_ray.cluster.shard_host import HostOptions, ShardHost
from akidb_ray.domain.collection import CollectionState
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import AkiDBError, InvalidArgument, InvalidState, Unavailable
from akidb_ray.domain.ids import ClusterId
from akidb_ray.domain.tenancy import DatabaseState, TenantStatus
from akidb_ray.embedding.models import model_dimension
from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.gateway.deployment import build_application
from akidb_ray.gateway.embedders import APPLICATION, ServeEmbedders
from akidb_ray.gateway.services import Services
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.cluster import Cluster
from akidb_ray.service.collections import Collections
from akidb_ray.service.document_limits import DocumentLimits
from akidb_ray.service.documents import Documents
from akidb_ray.service.jobs import Jobs
from akidb_ray.service.search import Search
from akidb_ray.service.tenants import Databases, Tenants
from akidb_ray.settings import Settings
from akidb_ray.storage.data_folder import store_folder

_log = logging.getLogger(__name__)
_SLOW_START_S = 120.0
_STOP_TIMEOUT_S = 10.0
_DEPLOY_TIMEOUT_S = 300.0
_DEPLOY_POLL_S = 0.1


def build_services(settings: Settings, models: list[str], open_to_all: bool) -> Services:
    """The use cases over Ray, for one gateway replica or one driver."""
    timeout_s = settings.server.request_timeout_s
    catalog = RayCatalog(timeout_s)
    copy = CatalogCopy(catalog)
    hosts = RayShardHosts(lambda: copy.directory, timeout_s)
    embedders = ServeEmbedders(models, settings.embedding.texts_per_call, timeout_s)
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
        documents=Documents(collections, hosts, embedders, DocumentLimits(hosts)),
        search=Search(collections, hosts, embedders),
        max_body_bytes=settings.server.max_body_bytes,
        max_batch_documents=settings.server.max_batch_documents,
    )


@dataclass(frozen=True, slots=True)
class Started:
    """A running cluster. `root_key` is set only when it was made just now, to be shown once."""

    url: str
    root_key: str | None
    missing_models: dict[str, str]


async def claim(data_dir: Path, settings: Settings) -> None:
    """Start the catalog on the joined Ray, or find the one that this data folder has there.

    Raises InvalidState when that Ray serves another data folder already: nothing was changed then.
    """
    here = ray.get_runtime_context().get_node_id()
    _start_actor(CatalogActor, CATALOG_ACTOR, here, str(data_dir), settings)
    served = await RayCatalog(_SLOW_START_S).data_dir()
    if served != str(data_dir):
        raise InvalidState("Ray cluster", f"serving AkiDB of {served}", f"serving {data_dir} too")


async def start_core(data_dir: Path, settings: Settings) -> None:
    """Start the shard hosts, and finish creations that a crash interrupted. Raises our errors."""
    catalog = RayCatalog(_SLOW_START_S)
    cluster_id = await catalog.cluster_id()
    hosts = []
    for name, node, folder in _host_places(data_dir, settings):
        options = _host_options(folder, cluster_id, node, settings)
        followed = RayCatalog(settings.server.request_timeout_s)
        _start_actor(ShardHost, name, node["NodeID"], options, followed)
        hosts.append(name)
    stores = []
    for name in hosts:
        host = NamedActor(name, f"the shard host {name}", _SLOW_START_S)
        stores.append(await host.call("store_id", again=True))
        await catalog.register_store(stores[-1], name)
    await catalog.retire_other_stores(stores)
    await _finish_creations(settings)


def _start_actor(kind: type[Any], name: str, node_id: str, *arguments: Any) -> None:
    """A detached actor on a node: found when it is there already, restarted by Ray without end."""
    pinned = NodeAffinitySchedulingStrategy(node_id, soft=False)
    actor_class: Any = ray.remote(kind)
    actor_class.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        num_cpus=0,
        scheduling_strategy=pinned,
    ).remote(*arguments)


def _host_options(
    folder: str, cluster_id: ClusterId, node: dict[str, Any], settings: Settings
) -> HostOptions:
    resources = node["Resources"]
    return HostOptions(
        folder=folder,
        cluster_id=cluster_id,
        threads=settings.ray.shard_host_threads,
        writers=settings.ray.shard_host_writers,
        cores=int(resources.get("CPU", 1)),
        memory_bytes=int(resources["memory"]) // settings.ray.shard_hosts_per_node,
        shard=settings.shard,
    )


def _host_places(data_dir: Path, settings: Settings) -> list[tuple[str, dict[str, Any], str]]:
    """(name, Ray's node, folder) of each shard host: a fixed few per node.

    Folders are numbered per machine, so that several nodes of one machine have folders of their
    own, and after a restart, when node ids are new, the same folders are found again.
    """
    places = []
    nodes_of_machine: Counter[str] = Counter()
    alive = [node for node in ray.nodes() if node["Alive"]]
    for node in sorted(alive, key=lambda node: (node["NodeManagerHostname"], node["NodeID"])):
        machine = node["NodeManagerHostname"]
        for _ in range(settings.ray.shard_hosts_per_node):
            number = nodes_of_machine[machine]
            nodes_of_machine[machine] += 1
            folder = str(store_folder(data_dir, number))
            places.append((f"shard-host-{machine}-{number}", node, folder))
    return places


async def _finish_creations(settings: Settings) -> None:
    """Bring creations that a crash interrupted to their end, where that can be. Deletions are jobs,
    which the catalog's actor goes on with by itself.
    """
    services = build_services(settings, [], open_to_all=False)
    directory = await services.copy.catch_up()
    for place in filter(_is_wanted, directory.unfinished_collections()):
        try:
            await services.collections.finish(place)
        except AkiDBError as error:
            # Its store may be away. One collection must not keep all others from being served.
            _log.warning("collection %s stays unfinished: %s", place.collection.name, error)


def _is_wanted(place: CollectionPlace) -> bool:
    """Whether to go on making a collection: not where a job is, or may be, deleting it."""
    return (
        place.collection.state is CollectionState.CREATING
        and place.database.state is not DatabaseState.DELETING
        and place.tenant.status is not TenantStatus.DECOMMISSIONED
    )


async def set_root_key(chosen: str | None, announce: Callable[[str], None]) -> str | None:
    """Store the hash of the chosen key; without one, make a key unless there is one already.

    A new key is announced before it is stored: a crash in between makes another one at the next
    start, where the other order would lose it for ever. Returns the new key.
    """
    catalog = RayCatalog(_SLOW_START_S)
    if chosen is not None:
        await catalog.replace_root_key_hash(hash_key(chosen))
        return None
    snapshot = await catalog.watch(since=0, timeout_s=0.0)
    if snapshot is not None and snapshot.root_key_hash is not None:
        return None
    made = new_root_key()
    announce(made)
    await catalog.replace_root_key_hash(hash_key(made))
    return made


def usable_models(models: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """The models that are installed, and for each other one what to do about it."""
    usable, missing = [], {}
    for model in models:
        try:
            model_dimension(model)
        except InvalidArgument as error:
            missing[model] = str(error.fields["reason"])
        else:
            usable.append(model)
    return usable, missing


def start_serving(
    settings: Settings, models: list[str], embedder_replicas: int, open_to_all: bool
) -> str:
    """Deploy the application on the joined Ray and wait until it is healthy. Returns its URL.

    A Serve that runs already keeps its own address, which is then the one returned. Raises
    InvalidArgument when that one may not be served without keys, Unavailable.
    """
    server = settings.server
    serve.start(http_options=HTTPOptions(host=server.host, port=server.port))
    http = _serve_client().http_config
    if open_to_all:
        require_loopback(http.host)
    application = build_application(
        functools.partial(build_services, settings, models, open_to_all),
        server.gateway_replicas,
        models,
        settings.embedding,
        embedder_replicas,
    )
    target = serve.RunTarget(application, name=APPLICATION, route_prefix="/")
    try:
        serve.run_many([target], wait_for_applications_running=False)
    except RayServeException as error:
        raise Unavailable(f"Ray Serve did not take the application: {error}") from error
    _wait_until_healthy()
    shown = f"[{http.host}]" if ":" in http.host else http.host
    return f"http://{shown}:{http.port}"


def _wait_until_healthy() -> None:
    """Raises Unavailable, saying what Serve says, when the application fails or takes too long."""
    give_up_at = time.monotonic() + _DEPLOY_TIMEOUT_S
    while True:
        application = serve.status().applications[APPLICATION]
        if application.status == ApplicationStatus.RUNNING:
            return
        late = time.monotonic() > give_up_at
        if late or application.status == ApplicationStatus.DEPLOY_FAILED:
            parts = [
                f"{name}: {deployment.status.value} {deployment.message}".strip()
                for name, deployment in application.deployments.items()
                if deployment.status.value != "HEALTHY"
            ]
            # Not enough free cores for the embedding replicas is the usual reason.
            reason = "; ".join([application.message, *parts])
            raise Unavailable(f"Ray Serve could not start the application: {reason}")
        time.sleep(_DEPLOY_POLL_S)


def _serve_client() -> Any:
    """Serve's client of this process, None while no Serve runs. Only it knows the address."""
    return _get_global_client(raise_if_no_controller_running=False)


def start(
    data_dir: Path,
    settings: Settings,
    own_ray: bool,
    open_to_all: bool,
    announce: Callable[[str], None],
) -> Started:
    """Bring up the database that `claim` made ours. `announce` shows a new root key."""
    asyncio.run(start_core(data_dir, settings))
    root_key = asyncio.run(set_root_key(chosen_root_key(), announce))
    models, missing = usable_models(settings.embedding.models)
    cores = int(ray.cluster_resources().get("CPU", 1))
    # Our own Ray has nothing else to do; on somebody else's we take one core unless told otherwise.
    shared = max(1, cores // max(1, len(models))) if own_ray else 1
    url = start_serving(settings, models, settings.embedding.replicas or shared, open_to_all)
    return Started(url, root_key, missing)


def serve_runs() -> bool:
    """Whether the joined Ray has a Serve already."""
    return _serve_client() is not None


def stop(own_ray: bool, serve_ran_before: bool) -> None:
    """Take down the database that `claim` made ours, also a half started one.

    Our own Ray is ended as a whole by the caller, and Serve with it. Of a joined one only what is
    ours ends: a Serve that we started goes too, unless somebody else has come to use it.
    """
    if not own_ray and _serve_client() is not None:
        serve.delete(APPLICATION)
        if not serve_ran_before and not serve.status().applications:
            serve.shutdown()
    named = ray.util.list_named_actors(True)
    ours = [actor["name"] for actor in named if actor["namespace"] == NAMESPACE]
    _stop_actors([name for name in ours if name == CATALOG_ACTOR])
    _stop_actors([name for name in ours if name != CATALOG_ACTOR])


def _stop_actors(names: list[str]) -> None:
    """Close them together, then end them, closed or not: they recover as after a crash."""
    actors: list[Any] = [ray.get_actor(name, namespace=NAMESPACE) for name in names]
    try:
        ray.get([actor.stop.remote() for actor in actors], timeout=_STOP_TIMEOUT_S)
    except (ray.exceptions.RayError, AkiDBError) as error:
        _log.warning("%s did not stop cleanly: %s", ", ".join(names), error)
    finally:
        for actor in actors:
            ray.kill(actor, no_restart=True)
