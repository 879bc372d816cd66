"""A running cluster whose driver is the bench itself, so that every layer can be called."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from akidb_ray.cluster.local_ray import free_ports, start_local_ray, stop_local_ray
from akidb_ray.settings import EmbeddingSettings, ServerSettings, Settings, ShardSettings


@dataclass(frozen=True)
class Cluster:
    """`services` are those of a gateway, in this process."""

    port: int
    services: Any


@contextlib.contextmanager
def running_cluster(folder: Path, key: str) -> Iterator[Cluster]:
    """Start Ray and the database on `folder`; end both afterwards."""
    port, grpc_port = free_ports(2)
    settings = replace(
        Settings(),
        server=ServerSettings(port=port, grpc_port=grpc_port),
        # Merges that wait for the end of writing need not wait for long.
        shard=ShardSettings(settle_s=5.0),
        embedding=EmbeddingSettings(models=()),
    )
    try:
        own = start_local_ray(folder, settings.ray)
        import ray

        from akidb_ray import bootstrap

        os.environ["AKIDB_ROOT_KEY"] = key
        ray.init(address=own.address, namespace="akidb", log_to_driver=False)
        try:
            asyncio.run(bootstrap.claim(folder, settings))
            bootstrap.start(folder, settings, own_ray=True, open_to_all=False, announce=print)
            services = bootstrap.build_services(settings, [], open_to_all=False)
            yield Cluster(settings.server.port, services)
            bootstrap.stop(own_ray=True, serve_ran_before=False)
        finally:
            # A driver that has not left dies with Ray, and with it what went wrong before.
            ray.shutdown()
    finally:
        stop_local_ray(folder)
