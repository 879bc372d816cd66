"""Is it alive, is it ready, what is there."""

from fastapi import APIRouter, Response

from akidb_ray import __version__
from akidb_ray.domain.errors import Unavailable
from akidb_ray.gateway.rest.answers import json_response
from akidb_ray.gateway.rest.context import Caller, Use

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether this process runs")
async def healthz() -> Response:
    return json_response({"status": "ok"})


@router.get("/readyz", summary="Whether requests can be answered now")
async def readyz(services: Use) -> Response:
    if not services.copy.is_loaded:
        await services.copy.catch_up()
    alive = await services.stores_alive()
    if not any(alive.values()):
        raise Unavailable("no shard host answers")
    return json_response({"status": "ready"})


@router.get("/v2/cluster/health", summary="What this cluster holds")
async def cluster_health(services: Use, caller: Caller) -> Response:
    directory = await services.tenants.cluster(caller)
    alive = await services.stores_alive()
    return json_response(
        {
            "status": "ok" if all(alive.values()) else "degraded",
            "version": __version__,
            "catalog_version": directory.version,
            "tenants": len(directory.all_tenants()),
            "collections": directory.collection_count,
            "stores": [
                {"store_id": str(store_id), "host": host, "alive": alive.get(store_id, False)}
                for store_id, host in sorted(directory.stores.items())
            ],
        }
    )
