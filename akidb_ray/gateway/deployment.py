"""The one Serve application: a gateway deployment, and one deployment per embedding model."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from akidb_ray.gateway.embedder_replica import EmbedderReplica
from akidb_ray.gateway.embedders import deployment_name
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
) -> Application:
    """`build_services` is called in each gateway replica's own process."""
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

    def build_asgi_app() -> FastAPI:
        return build_app(build_services())

    gateway: Application = (
        deployment(serve.ingress(build_asgi_app)())
        .options(
            name="gateway",
            num_replicas=gateway_replicas,
            max_ongoing_requests=_GATEWAY_ONGOING_REQUESTS,
            ray_actor_options={"num_cpus": 0},
        )
        .bind(*embedders)
    )
    return gateway
