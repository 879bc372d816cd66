"""The only place that builds components, and the order in which a cluster comes up and goes down.

Up: the data folder's lock, Ray, the catalog with its jobs, the shard hosts, creations that a crash
interrupted, the root key, then Serve. Down: Serve, the catalog, whose jobs need the hosts, and the
hosts.
"""

from akidb_ray.bootstrap.core import claim
from akidb_ray.bootstrap.running import Started, start, stop
from akidb_ray.bootstrap.services import build_services
from akidb_ray.bootstrap.serving import serve_runs

__all__ = ["Started", "build_services", "claim", "serve_runs", "start", "stop"]
