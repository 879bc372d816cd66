"""The catalog's port, carried out by calls to its actor."""

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from akidb_ray.cluster.actors import CATALOG_ACTOR, NamedActor
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.health import CatalogHealth
from akidb_ray.domain.ids import ClusterId, StoreId
from akidb_ray.service.ports import Catalog

P = ParamSpec("P")
Answer = TypeVar("Answer")
_HEALTH_TIMEOUT_S = 2.0
_Asynchronous = Callable[Concatenate[Any, P], Coroutine[Any, Any, Answer]]


def _performed(
    method: _Asynchronous[P, Answer], *, again: bool = False
) -> Callable[Concatenate["RayCatalog", P], Coroutine[Any, Any, Answer]]:
    """The port's `method`, carried out by the actor. `again`: it may be carried out twice, so that
    a call whose connection was lost is repeated.
    """
    signature = inspect.signature(method)

    async def perform(self: "RayCatalog", /, *arguments: P.args, **named: P.kwargs) -> Answer:
        bound = signature.bind(self, *arguments, **named)
        bound.apply_defaults()
        answer: Answer = await self.actor.call(
            "perform", method.__name__, *bound.args[1:], again=again
        )
        return answer

    functools.update_wrapper(perform, method)
    return perform


class RayCatalog:
    """Finds the catalog's actor by its name, and waits for its restarts up to `timeout_s`.

    A deletion may be begun twice: the second time finds the job, or NotFound if it has ended. What
    makes or changes something is not repeated: whether it happened is then for the caller to see.
    """

    def __init__(self, timeout_s: float) -> None:
        self.actor = NamedActor(CATALOG_ACTOR, "the catalog", timeout_s)
        self._soon = NamedActor(CATALOG_ACTOR, "the catalog", _HEALTH_TIMEOUT_S)

    create_tenant = _performed(Catalog.create_tenant)
    update_tenant = _performed(Catalog.update_tenant)
    list_tenants = _performed(Catalog.list_tenants, again=True)
    purge_tenant = _performed(Catalog.purge_tenant, again=True)

    create_database = _performed(Catalog.create_database)
    update_database = _performed(Catalog.update_database)
    list_databases = _performed(Catalog.list_databases, again=True)
    delete_database = _performed(Catalog.delete_database, again=True)

    create_collection = _performed(Catalog.create_collection)
    update_collection = _performed(Catalog.update_collection)
    list_collections = _performed(Catalog.list_collections, again=True)
    delete_collection = _performed(Catalog.delete_collection, again=True)

    get_job = _performed(Catalog.get_job, again=True)
    list_jobs = _performed(Catalog.list_jobs, again=True)
    # Once it has stopped, to ask again is an error.
    cancel_job = _performed(Catalog.cancel_job)

    async def watch(self, since: int, timeout_s: float) -> CatalogUpdate | None:
        update: CatalogUpdate | None = await self.actor.call(
            "perform", "watch", since, timeout_s, again=True, extra_s=timeout_s
        )
        return update

    async def health(self) -> CatalogHealth:
        health: CatalogHealth = await self._soon.call("health", again=True)
        return health

    async def register_store(self, store_id: StoreId, actor_name: str) -> None:
        """Say which actor serves a store now."""
        await self.actor.call("perform", "register_store", store_id, actor_name, again=True)

    async def retire_other_stores(self, serving: Sequence[StoreId]) -> None:
        """Say that only these stores are served now."""
        await self.actor.call("perform", "retire_other_stores", serving, again=True)

    async def replace_root_key_hash(self, root_key_hash: bytes) -> None:
        await self.actor.call("perform", "replace_root_key_hash", root_key_hash, again=True)

    async def data_dir(self) -> str:
        """The folder of the instance that the catalog belongs to. It answers before it is open."""
        data_dir: str = await self.actor.call("data_dir", again=True)
        return data_dir

    async def cluster_id(self) -> ClusterId:
        """Waits until the catalog is open. Raises what keeps it from being opened."""
        cluster_id: ClusterId = await self.actor.call("cluster_id", again=True)
        return cluster_id
