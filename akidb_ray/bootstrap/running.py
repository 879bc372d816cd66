"""The whole database, up and down, for the process that serves it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ray

from akidb_ray.access.keys import chosen_root_key
from akidb_ray.bootstrap.core import set_root_key, start_core, stop_core
from akidb_ray.bootstrap.serving import start_serving, stop_serving, usable_models
from akidb_ray.settings import Settings


@dataclass(frozen=True, slots=True)
class Started:
    """A running cluster. `root_key` is set only when it was made just now, to be shown once."""

    url: str
    root_key: str | None
    missing_models: dict[str, str]


def start(
    data_dir: Path,
    settings: Settings,
    own_ray: bool,
    open_to_all: bool,
    announce: Callable[[str], None],
) -> Started:
    """Bring up the database that `claim` made ours. `announce` shows a new root key."""
    asyncio.run(start_core(data_dir, settings))
    root_key = asyncio.run(set_root_key(chosen_root_key(), announce))
    models, missing = usable_models(settings.embedding.models)
    cores = int(ray.cluster_resources().get("CPU", 1))
    # Our own Ray has nothing else to do; on somebody else's we take one core unless told otherwise.
    shared = max(1, cores // max(1, len(models))) if own_ray else 1
    url = start_serving(settings, models, settings.embedding.replicas or shared, open_to_all)
    return Started(url, root_key, missing)


def stop(own_ray: bool, serve_ran_before: bool) -> None:
    """Take down the database that `claim` made ours, also a half started one.

    Our own Ray is ended as a whole by the caller, and Serve with it. Of a joined one only what is
    ours ends: a Serve that we started goes too, unless somebody else has come to use it.
    """
    if not own_ray:
        stop_serving(serve_ran_before)
    stop_core()
