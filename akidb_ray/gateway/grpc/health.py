"""`grpc.health.v1`: a replica serves while it is ready, by the rule of `/readyz`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from akidb_ray.domain.errors import AkiDBError
from akidb_ray.gateway.grpc.calls import SERVICE
from akidb_ray.gateway.services import Services

_KNOWN = ("", SERVICE)
_WATCH_POLL_S = 1.0


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Open to everybody, as `/readyz` is."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = asyncio.Event()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return health_pb2.HealthCheckResponse(status=await self._status())

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, _: grpc.aio.ServicerContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        if request.service not in _KNOWN:
            yield health_pb2.HealthCheckResponse(status="SERVICE_UNKNOWN")
            return
        last = None
        while not self._stopping.is_set():
            status = await self._status()
            if status != last:
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _WATCH_POLL_S)
        yield health_pb2.HealthCheckResponse(status="NOT_SERVING")

    def stop(self) -> None:
        """From now on not ready, and whoever watches is told so and let go."""
        self._stopping.set()

    async def _status(self) -> str:
        if self._stopping.is_set():
            return "NOT_SERVING"
        try:
            await self._services.cluster.require_ready()
        except AkiDBError:
            return "NOT_SERVING"
        return "SERVING"
