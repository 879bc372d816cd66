"""The one Serve application: a gateway deployment, and one deployment per embedding model."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from ray import serve
from ray.serve import Application
from starlette.applications import Starlette

from akidb_ray.gateway.embedder_replica import EmbedderReplica
from akidb_ray.gateway.embedders import deployment_name
from akidb_ray.gateway.grpc.server import grpc_server
from akidb_ray.gateway.rest.app import build_app
from akidb_ray.gateway.services import Services
from akidb_ray.settings import EmbeddingSettings

_GATEWAY_ONGOING_REQUESTS = 512
_EMBEDDER_ONGOING_REQUESTS = 32


def build_application(
    build_services: Callable[[], Services],
    gateway_replicas: int,
    models: list[str],
    embedding: EmbeddingSettings,
    embedder_replicas: int,
    grpc_address: str | None,
) -> Application:
    """`build_services` is called in each gateway replica's own process. All replicas of a node
    serve gRPC at `grpc_address`, such as 127.0.0.1:8101; None: they don't.
    """
    # Serve's decorator types don't describe a call on a class that is not decorated.
    deployment: Any = serve.deployment
    embedders: list[Application] = [
        deployment(EmbedderReplica)
        .options(
            name=deployment_name(model),
            num_replicas=embedder_replicas,
            max_ongoing_requests=_EMBEDDER_ONGOING_REQUESTS,
            max_queued_requests=embedding.max_queued_requests,
            ray_actor_options={"num_cpus": 1},
        )
        .bind(model)
        for model in models
    ]

    def build_asgi_app() -> Starlette:
        services = build_services()
        app = build_app(services)
        if grpc_address is not None:
            _serve_grpc(app, services, grpc_address)
        return app

    gateway: Application = (
        deployment(serve.ingress(build_asgi_app)())
        .options(
            name="gateway",
            num_replicas=gateway_replicas,
            max_ongoing_requests=_GATEWAY_ONGOING_REQUESTS,
            ray_actor_options={"num_cpus": 0},
            # Serve makes a line of each request even where it keeps none: a twentieth of the
            # gateway's time. What goes wrong is logged by the routes.
            logging_config={"enable_access_log": False, "log_level": "WARNING"},
        )
        .bind(*embedders)
    )
    return gateway


def _serve_grpc(app: Starlette, services: Services, address: str) -> None:
    """While the app runs: Serve starts it before a replica takes requests, and ends it when the
    replica has no more of them.
    """
    lifespan = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def both(app: Starlette) -> AsyncIterator[Any]:
        async with lifespan(app) as state, grpc_server(services, address):
            yield state

    app.router.lifespan_context = both
