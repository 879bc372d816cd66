"""The detached actors: the catalog with its jobs, and the shard hosts. Both are found when they are
there already, and go on when whoever started them ends.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import ray.util
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from akidb_ray.access.keys import hash_key, new_root_key
from akidb_ray.bootstrap.services import build_services
from akidb_ray.cluster.actors import CATALOG_ACTOR, NAMESPACE, NamedActor
from akidb_ray.cluster.catalog_actor import CatalogActor
from akidb_ray.cluster.ray_catalog import RayCatalog
from akidb_ray.cluster.shard_host import HostOptions, ShardHost
from akidb_ray.domain.collection import CollectionState
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import AkiDBError, InvalidState, Unavailable
from akidb_ray.domain.ids import ClusterId, StoreId
from akidb_ray.domain.tenancy import DatabaseState, TenantStatus
from akidb_ray.settings import Settings
from akidb_ray.storage.data_folder import store_folder

_log = logging.getLogger(__name__)
_SLOW_START_S = 120.0
_STOP_TIMEOUT_S = 10.0
_NODES_TIMEOUT_S = 600.0
_NODES_POLL_S = 0.5
# A resource of Ray's, which the head node has, also one that took the place of a lost head.
_HEAD_RESOURCE = "node:__internal_head__"
ON_HEAD: Mapping[str, Any] = {"resources": {_HEAD_RESOURCE: 0.001}}


def on_node(node_id: str) -> Mapping[str, Any]:
    """Options that pin an actor to a node."""
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}


async def claim(
    data_dir: Path, settings: Settings, placed: Mapping[str, Any] | None = None
) -> None:
    """Start the catalog on the joined Ray, or find the one that this data folder has there.

    It is started on this node unless `placed` says otherwise. Raises InvalidState when that Ray
    serves another data folder already: nothing was changed then.
    """
    if placed is None:
        placed = on_node(ray.get_runtime_context().get_node_id())
    _start_actor(CatalogActor, CATALOG_ACTOR, placed, str(data_dir), settings)
    served = await RayCatalog(_SLOW_START_S).data_dir()
    if served != str(data_dir):
        raise InvalidState("Ray cluster", f"serving AkiDB of {served}", f"serving {data_dir} too")


async def wait_for_nodes(count: int, resource: str | None) -> None:
    """Return when so many nodes may hold documents. Raises Unavailable after ten minutes."""
    give_up_at = time.monotonic() + _NODES_TIMEOUT_S
    while (found := len(_host_nodes(resource))) < count:
        if time.monotonic() > give_up_at:
            what = f" with the resource {resource}" if resource else ""
            raise Unavailable(f"of {count} nodes{what} only {found} have joined Ray")
        await asyncio.sleep(_NODES_POLL_S)


async def start_core(data_dir: Path, settings: Settings, resource: str | None = None) -> None:
    """Start the shard hosts, on the nodes that have the resource when one is named, and finish
    creations that a crash interrupted. Raises our errors.

    The stores of nodes that are away are given up only where no host runs yet.
    """
    catalog = RayCatalog(_SLOW_START_S)
    cluster_id = await catalog.cluster_id()
    running = set(_our_actors()) - {CATALOG_ACTOR}
    hosts = []
    for name, node, folder in _host_places(data_dir, settings, resource):
        options = _host_options(folder, cluster_id, node, settings)
        followed = RayCatalog(settings.server.request_timeout_s)
        _start_actor(ShardHost, name, on_node(node["NodeID"]), options, followed)
        hosts.append(name)
    stores = set()
    for name in hosts:
        host = NamedActor(name, f"the shard host {name}", _SLOW_START_S)
        store_id = await host.call("store_id", again=True)
        await catalog.register_store(store_id, name)
        stores.add(store_id)
    if running:
        snapshot = await catalog.watch(since=0, timeout_s=0.0)
        stores |= stores_of_others(hosts, snapshot.stores if snapshot else {})
    await catalog.retire_other_stores(list(stores))
    await _finish_creations(settings)


def stores_of_others(hosts: Iterable[str], known: Mapping[StoreId, str]) -> set[StoreId]:
    """Those of the known stores whose host is none of these: it is on a node that is away, and will
    serve them when it is back. One that had the name of a host and is not its store is gone.
    """
    names = set(hosts)
    return {store_id for store_id, name in known.items() if name and name not in names}


def _start_actor(kind: type[Any], name: str, placed: Mapping[str, Any], *arguments: Any) -> None:
    """A detached actor: found when it is there already, restarted by Ray without end."""
    actor_class: Any = ray.remote(kind)
    actor_class.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        num_cpus=0,
        **placed,
    ).remote(*arguments)


def _host_options(
    folder: str, cluster_id: ClusterId, node: dict[str, Any], settings: Settings
) -> HostOptions:
    resources = node["Resources"]
    return HostOptions(
        folder=folder,
        node_id=node["NodeID"],
        address=node["NodeManagerAddress"],
        cluster_id=cluster_id,
        threads=settings.ray.shard_host_threads,
        writers=settings.ray.shard_host_writers,
        cores=int(resources.get("CPU", 1)),
        memory_bytes=int(resources["memory"]) // settings.ray.shard_hosts_per_node,
        shard=settings.shard,
    )


def _host_nodes(resource: str | None) -> list[dict[str, Any]]:
    """Ray's nodes that may hold documents."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    return [node for node in alive if resource is None or resource in node["Resources"]]


def _host_places(
    data_dir: Path, settings: Settings, resource: str | None
) -> list[tuple[str, dict[str, Any], str]]:
    """(name, Ray's node, folder) of each shard host: a fixed few per node.

    Folders are numbered per machine, so that several nodes of one machine have folders of their
    own, and after a restart, when node ids are new, the same folders are found again.
    """
    places = []
    nodes_of_machine: Counter[str] = Counter()
    nodes = _host_nodes(resource)
    for node in sorted(nodes, key=lambda node: (node["NodeManagerHostname"], node["NodeID"])):
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
    if chosen is not None:
        await replace_root_key(chosen)
        return None
    if await has_root_key():
        return None
    made = new_root_key()
    announce(made)
    await replace_root_key(made)
    return made


async def has_root_key() -> bool:
    """Whether the catalog knows a root key already."""
    snapshot = await RayCatalog(_SLOW_START_S).watch(since=0, timeout_s=0.0)
    return snapshot is not None and snapshot.root_key_hash is not None


async def replace_root_key(key: str) -> None:
    """Let this key, and no other, be the root key. Its hash is stored."""
    await RayCatalog(_SLOW_START_S).replace_root_key_hash(hash_key(key))


def stop_core() -> None:
    """End the catalog, whose jobs need the hosts, then the hosts."""
    ours = _our_actors()
    stop_actors([name for name in ours if name == CATALOG_ACTOR])
    stop_actors([name for name in ours if name != CATALOG_ACTOR])


def _our_actors() -> list[str]:
    named = ray.util.list_named_actors(True)
    return [actor["name"] for actor in named if actor["namespace"] == NAMESPACE]


def stop_actors(names: list[str]) -> None:
    """Close them together, then end them, closed or not: they recover as after a crash. Those that
    have ended by themselves are passed over.
    """
    actors: dict[str, Any] = {}
    for name in names:
        with contextlib.suppress(ValueError):
            actors[name] = ray.get_actor(name, namespace=NAMESPACE)
    if not actors:
        return
    closing = {actor.stop.remote(): name for name, actor in actors.items()}
    try:
        # All of them get the time, also when one fails at once.
        ray.wait(list(closing), num_returns=len(closing), timeout=_STOP_TIMEOUT_S)
        for closed, name in closing.items():
            _note_failure(closed, name)
    finally:
        for actor in actors.values():
            ray.kill(actor, no_restart=True)


def _note_failure(closed: Any, name: str) -> None:
    try:
        ray.get(closed, timeout=0)
    except (ray.exceptions.RayError, AkiDBError) as error:
        _log.warning("%s did not stop cleanly: %s", name, error)
