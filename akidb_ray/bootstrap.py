"""The only place that builds components, and the order in which a cluster comes up and goes down.

Up: the data folder's lock, Ray, the catalog, the root key, the shard hosts, what a crash left
unfinished, then Serve. Down: the other way round.
"""

import asyncio
import functools
import logging
from collections import Counter
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
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from akidb_ray.access.authorization import RootOnly
from akidb_ray.access.keys import chosen_root_key, hash_key, new_root_key
from akidb_ray.cluster.actors import CATALOG_ACTOR, NAMESPACE, NamedActor
from akidb_ray.cluster.catalog_actor import STORES_FOLDER, CatalogActor, RayCatalog
from akidb_ray.cluster.host_handles import RayShardHosts
from akidb_ray.cluster.shard_host import HostOptions, ShardHost
from akidb_ray.domain.errors import AkiDBError, InvalidArgument, Unavailable
from akidb_ray.embedding.models import model_dimension
from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.gateway.deployment import build_application
from akidb_ray.gateway.embedders import APPLICATION, ServeEmbedders
from akidb_ray.gateway.services import Services
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.collections import Collections
from akidb_ray.service.documents import Documents
from akidb_ray.service.search import Search
from akidb_ray.service.tenants import Databases, Tenants
from akidb_ray.settings import Settings

_log = logging.getLogger(__name__)
_SLOW_START_S = 120.0
_STOP_TIMEOUT_S = 10.0


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
        tenants=Tenants(catalog, copy, authorizer),
        databases=Databases(catalog, copy, authorizer),
        collections=collections,
        documents=Documents(collections, hosts, embedders),
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


async def start_core(data_dir: Path, settings: Settings) -> None:
    """Start the catalog and the shard hosts on the joined Ray, and finish what a crash interrupted.

    Raises our errors.
    """
    lock_wait_s = settings.shard.lock_wait_s
    here = ray.get_runtime_context().get_node_id()
    _start_actor(CatalogActor, CATALOG_ACTOR, here, str(data_dir), lock_wait_s)
    catalog = RayCatalog(_SLOW_START_S)
    cluster_id = await catalog.cluster_id()
    hosts = []
    for name, node_id, folder, cores in _host_places(data_dir, settings):
        options = HostOptions(
            folder, cluster_id, settings.ray.shard_host_threads, cores, settings.shard
        )
        _start_actor(ShardHost, name, node_id, options)
        hosts.append(name)
    for name in hosts:
        host = NamedActor(name, f"the shard host {name}", _SLOW_START_S)
        await catalog.register_store(await host.call("store_id", again=True), name)
    await _finish_unfinished(settings)


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


def _host_places(data_dir: Path, settings: Settings) -> list[tuple[str, str, str, int]]:
    """(name, node id, folder, cores) of each shard host: a fixed few per node.

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
            folder = str(data_dir / STORES_FOLDER / f"{number:04d}")
            cores = int(node["Resources"].get("CPU", 1))
            places.append((f"shard-host-{machine}-{number}", node["NodeID"], folder, cores))
    return places


async def _finish_unfinished(settings: Settings) -> None:
    """Bring creations and deletions that a crash interrupted to their end."""
    services = build_services(settings, [], open_to_all=False)
    directory = await services.copy.catch_up()
    for place in directory.unfinished_collections():
        await services.collections.finish(place)


async def set_root_key(chosen: str | None) -> str | None:
    """Store the key's hash. Returns a key only when it was made here, to be shown once.

    A chosen key replaces the stored one.
    """
    catalog = RayCatalog(_SLOW_START_S)
    if chosen is not None:
        await catalog.replace_root_key_hash(hash_key(chosen))
        return None
    made = new_root_key()
    return made if await catalog.set_root_key_hash_if_absent(hash_key(made)) else None


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

    A Serve that runs already keeps its own address, which is then the one returned.
    """
    server = settings.server
    serve.start(http_options=HTTPOptions(host=server.host, port=server.port))
    http = _serve_client().http_config
    application = build_application(
        functools.partial(build_services, settings, models, open_to_all),
        server.gateway_replicas,
        models,
        settings.embedding,
        embedder_replicas,
    )
    try:
        serve.run(application, name=APPLICATION, route_prefix="/")
    except RayServeException as error:
        raise Unavailable(f"Ray Serve did not take the application: {error}") from error
    shown = f"[{http.host}]" if ":" in http.host else http.host
    return f"http://{shown}:{http.port}"


def _serve_client() -> Any:
    """Serve's client of this process, None while no Serve runs. Only it knows the address."""
    return _get_global_client(raise_if_no_controller_running=False)


def start(data_dir: Path, settings: Settings, own_ray: bool, open_to_all: bool) -> Started:
    """Bring the whole database up on the Ray that this process has joined."""
    asyncio.run(start_core(data_dir, settings))
    root_key = asyncio.run(set_root_key(chosen_root_key()))
    models, missing = usable_models(settings.embedding.models)
    cores = int(ray.cluster_resources().get("CPU", 1))
    # Our own Ray has nothing else to do; on somebody else's we take one core unless told otherwise.
    replicas = settings.embedding.replicas or (cores if own_ray else 1)
    url = start_serving(settings, models, replicas, open_to_all)
    return Started(url, root_key, missing)


def serve_runs() -> bool:
    """Whether the joined Ray has a Serve already."""
    return _serve_client() is not None


def stop(own_ray: bool, serve_ran_before: bool) -> None:
    """Take the database down, also a half started one: of a joined Ray only what is ours.

    Our own Ray is ended as a whole by the caller, and Serve with it. A Serve that we started on a
    joined Ray goes too, unless somebody else has come to use it.
    """
    if not own_ray and _serve_client() is not None:
        serve.delete(APPLICATION)
        if not serve_ran_before and not serve.status().applications:
            serve.shutdown()
    ours = [
        actor["name"]
        for actor in ray.util.list_named_actors(True)
        if actor["namespace"] == NAMESPACE
    ]
    # Hosts first: they tell nobody, but whoever reads the log expects the catalog to go last.
    for name in sorted(ours, key=lambda name: name == CATALOG_ACTOR):
        _stop_actor(name)


def _stop_actor(name: str) -> None:
    try:
        actor: Any = ray.get_actor(name, namespace=NAMESPACE)
        ray.get(actor.stop.remote(), timeout=_STOP_TIMEOUT_S)
        ray.kill(actor, no_restart=True)
    except (ray.exceptions.RayError, AkiDBError, ValueError) as error:
        # Not worth more than a line: it recovers from its log, as after a crash.
        _log.warning("%s did not stop cleanly: %s", name, error)
