"""The cluster as a whole: what it holds, and which of its parts answer."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from akidb_ray.access.authorization import Action, Authorizer, Principal, Resource
from akidb_ray.domain.errors import AkiDBError, DeadlineExceeded
from akidb_ray.domain.health import CatalogHealth
from akidb_ray.domain.ids import StoreId
from akidb_ray.service.catalog_copy import CatalogCopy
from akidb_ray.service.ports import CatalogProcess, ShardHosts
from akidb_ray.service.readiness import Readiness

_CATCH_UP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Store:
    """A store that somebody serves: by which actor, and whether that one answers now."""

    store_id: StoreId
    host: str
    alive: bool


@dataclass(frozen=True, slots=True)
class ClusterHealth:
    """What is there by this process's copy of the catalog, of version `catalog_version`, and how
    the catalog is, or why it can't say.
    """

    catalog_version: int
    tenants: int
    collections: int
    stores: tuple[Store, ...]
    catalog: CatalogHealth | AkiDBError

    @property
    def is_whole(self) -> bool:
        catalog_answers = isinstance(self.catalog, CatalogHealth)
        return catalog_answers and all(store.alive for store in self.stores)


@dataclass(frozen=True, slots=True)
class Cluster:
    catalog: CatalogProcess
    copy: CatalogCopy
    authorizer: Authorizer
    hosts: ShardHosts
    _readiness: Readiness = field(default_factory=Readiness, init=False, repr=False, compare=False)

    async def require_ready(self) -> None:
        """Raises Unavailable unless requests could be answered within the last second. Open to
        everybody.
        """
        await self._readiness.require(self._reason_against_ready)

    async def _reason_against_ready(self) -> str | None:
        try:
            if not self.copy.is_loaded:
                await self.copy.catch_up()
        except AkiDBError as error:
            return error.detail
        alive = await self.stores_alive()
        return None if any(alive.values()) else "no shard host answers"

    async def health(self, principal: Principal) -> ClusterHealth:
        """Answers soon, also while the catalog is away: by the copy that is here then. Raises
        Unavailable while there is none.
        """
        self.authorizer.authorize(principal, Action.READ_CLUSTER, Resource("cluster", "health"))
        if not self.copy.is_loaded:
            await self.copy.catch_up()
        catalog, alive = await asyncio.gather(self._catalog(), self.stores_alive())
        directory = self.copy.directory
        return ClusterHealth(
            directory.version,
            directory.tenant_count,
            directory.collection_count,
            tuple(
                Store(store_id, host, alive.get(store_id, False))
                for store_id, host in sorted(directory.stores.items())
            ),
            catalog,
        )

    async def stores_alive(self) -> Mapping[StoreId, bool]:
        """Which of the known stores have a host that answers now."""
        stores = list(self.copy.directory.stores)
        answers = await asyncio.gather(*(self.hosts.alive(store_id) for store_id in stores))
        return dict(zip(stores, answers, strict=True))

    async def _catalog(self) -> CatalogHealth | AkiDBError:
        """With the copy caught up, where that can be. A catalog that the copy can't follow is not
        well, even if it says so.
        """
        try:
            health = await self.catalog.health()
            if self.copy.directory.version != health.version:
                async with asyncio.timeout(_CATCH_UP_TIMEOUT_S):
                    await self.copy.catch_up()
        except TimeoutError:
            return DeadlineExceeded("the catalog did not answer in time")
        except AkiDBError as error:
            return error
        return health
