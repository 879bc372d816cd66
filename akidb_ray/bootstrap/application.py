"""The application that `serve deploy` builds, on the cluster, from deployments/serve.yaml.

Serve calls `build` when the application is new or when its `args` or its `runtime_env` changed; a
change of replica counts alone goes past it. So it must do no harm the second time: what runs
already is found and left alone.
"""

import asyncio
import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import ray
import ray.exceptions
import ray.util
from ray.serve import Application
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import RayServeException

from akidb_ray.access.keys import ROOT_KEY_VARIABLE, chosen_root_key
from akidb_ray.bootstrap.core import (
    ON_HEAD,
    claim,
    has_root_key,
    replace_root_key,
    start_core,
    wait_for_nodes,
)
from akidb_ray.bootstrap.services import build_services
from akidb_ray.bootstrap.serving import (
    grpc_address,
    has_replicas,
    require_free_grpc_port,
    require_no_grpc_beside_tls,
    served_http_options,
    usable_models,
)
from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.gateway.deployment import build_application
from akidb_ray.settings import Settings, settings_of

_NOT_IN_SETTINGS = {
    "data_dir": "`data_dir` beside `settings`",
    "host": "`http_options`",
    "port": "`http_options`",
}


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`args` of the application.

    data_dir: the data folder, an absolute path: the catalog's on the head node, and on each node
        that of its shard hosts.
    settings: sections as in configs/default.toml.
    nodes: so many nodes must be there before the shard hosts are started.
    host_resource: only nodes that offer this Ray resource hold documents; None: all of them.
    root_key_file: a file on the head node with the root key, instead of AKIDB_ROOT_KEY.
    revision: means nothing. Another one makes Serve call `build` again, for nodes that have joined.
    """

    data_dir: str
    settings: dict[str, dict[str, Any]] = {}
    nodes: Annotated[int, msgspec.Meta(ge=1)] = 1
    host_resource: str | None = None
    root_key_file: str | None = None
    revision: str | int = 0


def build(args: dict[str, Any]) -> Application:
    """Bring up what the gateways need, then describe them. Raises RayServeException, whose text
    Serve shows as the state of the application.
    """
    try:
        arguments = _arguments(args)
        http = served_http_options()
        is_new = not has_replicas(actor["name"] for actor in ray.util.list_named_actors(True))
        prepare = ray.remote(_prepare).options(num_cpus=0, max_retries=0, **ON_HEAD)
        settings, models = ray.get(prepare.remote(arguments, http, is_new))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AkiDBError):
            raise RayServeException(error.cause.detail) from None
        raise
    except AkiDBError as error:
        raise RayServeException(error.detail) from None
    return build_application(
        functools.partial(build_services, settings, models, open_to_all=False),
        settings.server.gateway_replicas,
        models,
        settings.embedding,
        settings.embedding.replicas or 1,
        grpc_address(http.host, settings.server.grpc_port),
    )


def _arguments(args: dict[str, Any]) -> Arguments:
    try:
        arguments = msgspec.convert(args, Arguments)
    except msgspec.ValidationError as error:
        raise InvalidArgument("args", str(error)) from None
    if not Path(arguments.data_dir).is_absolute():
        raise InvalidArgument("args", "data_dir must be an absolute path")
    # What is wrong without any variable is found before anything is started.
    _settings(arguments, {})
    return arguments


def _prepare(arguments: Arguments, http: HTTPOptions, is_new: bool) -> tuple[Settings, list[str]]:
    """On the head node: files, variables and ports of that machine are meant."""
    settings = _settings(arguments, os.environ)
    grpc_port = settings.server.grpc_port
    require_no_grpc_beside_tls(http, grpc_port)
    if is_new and grpc_port:
        require_free_grpc_port(http.host or "", grpc_port)
    models, missing = usable_models(settings.embedding.models)
    for model, reason in missing.items():
        raise InvalidArgument("embedding.models", f"{model}: {reason}")
    chosen = _chosen_root_key(arguments.root_key_file)
    asyncio.run(_start(arguments, settings, chosen))
    return settings, models


def _settings(arguments: Arguments, environment: Mapping[str, str]) -> Settings:
    server = arguments.settings.get("server", {})
    for key, place in _NOT_IN_SETTINGS.items():
        if key in server:
            raise InvalidArgument(f"server.{key}", f"is given by {place}")
    settings = settings_of(arguments.settings, environment)
    return replace(settings, server=replace(settings.server, data_dir=arguments.data_dir))


def _chosen_root_key(file: str | None) -> str | None:
    if file is None:
        return chosen_root_key()
    try:
        key = Path(file).read_text().strip()
    except OSError as error:
        raise InvalidArgument("args.root_key_file", f"{file}: {error.strerror}") from None
    return chosen_root_key({ROOT_KEY_VARIABLE: key})


async def _start(arguments: Arguments, settings: Settings, chosen: str | None) -> None:
    data_dir = Path(arguments.data_dir)
    await claim(data_dir, settings, ON_HEAD)
    if chosen is not None:
        await replace_root_key(chosen)
    elif not await has_root_key():
        raise InvalidArgument(
            ROOT_KEY_VARIABLE,
            "must be set where Ray is started on the head node, or `root_key_file` in `args`: "
            "nobody would see a key that was made here",
        )
    await wait_for_nodes(arguments.nodes, arguments.host_resource)
    await start_core(data_dir, settings, arguments.host_resource)
