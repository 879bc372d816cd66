"""Is it alive, is it ready, what is there."""

import asyncio
import time
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Response

from akidb_ray import __version__
from akidb_ray.domain.errors import AkiDBError, Unavailable
from akidb_ray.domain.health import BackupStatus, CatalogHealth
from akidb_ray.gateway.rest.answers import json_response
from akidb_ray.gateway.rest.context import Caller, Use
from akidb_ray.gateway.rest.health_schemas import AliveAnswer, ClusterHealthAnswer, ReadyAnswer
from akidb_ray.gateway.services import Services
from akidb_ray.service.catalog_copy import CatalogCopy

router = APIRouter(tags=["health"])
_READINESS_KEPT_S = 1.0


class Readiness:
    """Whether a replica can answer requests. Anybody may ask, as often as they like, so that all of
    them share what was found once in a second.
    """

    def __init__(self) -> None:
        self._asking: asyncio.Task[None] | None = None
        self._reason_against: str | None = None
        self._kept_until = 0.0

    async def require(self, services: Services) -> None:
        """Raises Unavailable."""
        if self._asking is None and time.monotonic() >= self._kept_until:
            self._asking = asyncio.create_task(self._ask(services))
        if self._asking is not None:
            # Whoever asked first may leave while others wait.
            await asyncio.shield(self._asking)
        if self._reason_against is not None:
            raise Unavailable(self._reason_against)

    async def _ask(self, services: Services) -> None:
        try:
            self._reason_against = await _reason_against(services)
            self._kept_until = time.monotonic() + _READINESS_KEPT_S
        finally:
            self._asking = None


# By the copy of the catalog, of which each replica has one.
_readiness: WeakKeyDictionary[CatalogCopy, Readiness] = WeakKeyDictionary()


async def require_ready(services: Services) -> None:
    """Raises Unavailable unless requests could be answered within the last second."""
    await _readiness.setdefault(services.copy, Readiness()).require(services)


async def _reason_against(services: Services) -> str | None:
    try:
        if not services.copy.is_loaded:
            await services.copy.catch_up()
    except AkiDBError as error:
        return error.detail
    alive = await services.cluster.stores_alive()
    return None if any(alive.values()) else "no shard host answers"


@router.get("/healthz", summary="Whether this process runs", response_model=AliveAnswer)
async def healthz() -> Response:
    return json_response({"status": "ok"})


@router.get("/readyz", summary="Whether requests can be answered now", response_model=ReadyAnswer)
async def readyz(services: Use) -> Response:
    await require_ready(services)
    return json_response({"status": "ready"})


@router.get(
    "/v2/cluster/health",
    summary="What this cluster holds",
    response_model=ClusterHealthAnswer,
)
async def cluster_health(services: Use, caller: Caller) -> Response:
    health = await services.cluster.health(caller)
    return json_response(
        {
            "status": "ok" if health.is_whole else "degraded",
            "version": __version__,
            "catalog_version": health.catalog_version,
            "tenants": health.tenants,
            "collections": health.collections,
            "catalog": _catalog_json(health.catalog),
            "stores": [
                {"store_id": str(store.store_id), "host": store.host, "alive": store.alive}
                for store in health.stores
            ],
        }
    )


def _catalog_json(catalog: CatalogHealth | AkiDBError) -> dict[str, Any]:
    if isinstance(catalog, AkiDBError):
        unknown = {"version": None, "epoch": None, "backup": None}
        return {"alive": False, **unknown, "error": catalog.detail}
    return {
        "alive": True,
        "version": catalog.version,
        "epoch": catalog.epoch,
        "backup": _backup_json(catalog.backup),
        "error": None,
    }


def _backup_json(backup: BackupStatus) -> dict[str, Any]:
    return {
        "where": backup.where,
        "at": backup.taken_at,
        "version": backup.version,
        "behind": backup.behind,
        "error": backup.error,
    }
