"""A `grpc.aio` server over the use cases of one gateway replica.

All replicas of a node listen on the same port (SO_REUSEPORT): the kernel gives each connection to
one of them. docs/adr/0018 says why Serve's own ingress is not used.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from akidb_ray.domain.errors import Unavailable
from akidb_ray.gateway.grpc.calls import SERVICE, CallFrame
from akidb_ray.gateway.grpc.health import Health
from akidb_ray.gateway.grpc.servicer import AkiDBServicer
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from akidb_ray.gateway.services import Services

_HEALTH = "grpc.health.v1.Health"
_ONGOING_CALLS = 512
# Serve gives a replica 20 s to end; calls that take longer are cancelled.
_DRAIN_S = 15.0


@contextlib.asynccontextmanager
async def grpc_server(services: Services, address: str) -> AsyncIterator[int]:
    """Listens on `address`, such as 127.0.0.1:8101, while it is entered; gives the port, which
    matters for port 0. At the end, calls that run get time to come to theirs.

    Raises Unavailable when the address can't be used.
    """
    server = grpc.aio.server(
        interceptors=[CallFrame(services.authenticator)],
        options=_options(services.max_body_bytes),
        maximum_concurrent_rpcs=_ONGOING_CALLS,
    )
    health = Health(services)
    add_servicer: Any = akidb_pb2_grpc.add_AkiDBServicer_to_server
    add_servicer(AkiDBServicer(services), server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection((SERVICE, _HEALTH, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise Unavailable(f"gRPC can't listen on {address}: {error}") from None
    await server.start()
    try:
        yield port
    finally:
        health.stop()
        await server.stop(_DRAIN_S)


def _options(max_body_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 1),
    ]
