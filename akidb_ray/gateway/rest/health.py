"""Is it alive, is it ready, what is there."""

from typing import Any

from fastapi import APIRouter, Response

from akidb_ray import __version__
from akidb_ray.domain.errors import AkiDBError
from akidb_ray.domain.health import BackupStatus, CatalogHealth
from akidb_ray.gateway.rest.answers import json_response
from akidb_ray.gateway.rest.context import Caller, Use
from akidb_ray.gateway.rest.health_schemas import AliveAnswer, ClusterHealthAnswer, ReadyAnswer

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether this process runs", response_model=AliveAnswer)
async def healthz() -> Response:
    return json_response({"status": "ok"})


@router.get("/readyz", summary="Whether requests can be answered now", response_model=ReadyAnswer)
async def readyz(services: Use) -> Response:
    await services.cluster.require_ready()
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
