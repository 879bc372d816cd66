"""The application on Ray Serve, deployed by a driver that waits until it is healthy."""

import functools
import socket
import time
from collections.abc import Iterable
from typing import Any

from ray import serve
from ray.serve._private.common import ReplicaID
from ray.serve._private.constants import RAY_SERVE_ENABLE_HA_PROXY
from ray.serve.config import HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus

from akidb_ray.access.exposure import require_loopback
from akidb_ray.bootstrap.services import build_services
from akidb_ray.domain.errors import InvalidArgument, Unavailable
from akidb_ray.embedding.models import model_dimension
from akidb_ray.gateway.deployment import build_application
from akidb_ray.gateway.embedders import APPLICATION
from akidb_ray.settings import Settings

_DEPLOY_TIMEOUT_S = 300.0
_DEPLOY_POLL_S = 0.1


def usable_models(models: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """The models that are installed, and for each other one what to do about it."""
    usable, missing = [], {}
    for model in models:
        try:
            model_dimension(model)
        except InvalidArgument as error:
            missing[model] = str(error.fields["reason"])
        else:
            usable.append(model)
    return usable, missing


def start_serving(
    settings: Settings, models: list[str], embedder_replicas: int, open_to_all: bool
) -> str:
    """Deploy the application on the joined Ray and wait until it is healthy. Returns its URL.

    A Serve that runs already keeps its own address, which is then the one returned. Raises
    InvalidArgument when that one may not be served, or not without keys, Unavailable.
    """
    server = settings.server
    serve.start(http_options=HTTPOptions(host=server.host, port=server.port))
    http = served_http_options()
    if open_to_all:
        require_loopback(http.host)
    require_no_grpc_beside_tls(http, server.grpc_port)
    application = build_application(
        functools.partial(build_services, settings, models, open_to_all),
        server.gateway_replicas,
        models,
        settings.embedding,
        embedder_replicas,
        grpc_address(http.host, server.grpc_port),
    )
    target = serve.RunTarget(application, name=APPLICATION, route_prefix="/")
    try:
        serve.run_many([target], wait_for_applications_running=False)
    except RayServeException as error:
        raise Unavailable(f"Ray Serve did not take the application: {error}") from error
    _wait_until_healthy()
    shown = f"[{http.host}]" if ":" in http.host else http.host
    return f"http://{shown}:{http.port}"


def grpc_address(host: str, port: int) -> str | None:
    """Where gRPC is served beside REST; None for port 0, which switches it off."""
    if not port:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def served_http_options() -> Any:
    """Where the joined Ray's Serve listens. Raises InvalidArgument when it can't answer there."""
    http = _serve_client().http_config
    require_plain_http(http, RAY_SERVE_ENABLE_HA_PROXY)
    return http


def require_plain_http(http: HTTPOptions, behind_haproxy: bool) -> None:
    """Raises InvalidArgument for TLS options where HAProxy, which speaks plain HTTP with clients
    and with replicas, would make nonsense of them.
    """
    if behind_haproxy and (http.ssl_certfile or http.ssl_keyfile):
        raise InvalidArgument(
            "http_options",
            "ssl_* options don't go together with HAProxy (RAY_SERVE_ENABLE_HA_PROXY=1); shut "
            "Serve down, leave them out, and put a TLS terminator in front",
        )


def require_no_grpc_beside_tls(http: HTTPOptions, grpc_port: int) -> None:
    """Raises InvalidArgument where REST speaks TLS and gRPC, on the same host, would not."""
    if grpc_port and (http.ssl_certfile or http.ssl_keyfile):
        raise InvalidArgument(
            "server.grpc_port",
            "must be 0, which switches gRPC off, beside ssl_* of http_options: gRPC speaks no TLS; "
            "or leave those out, and put a TLS terminator in front of both",
        )


def require_free_grpc_port(host: str, grpc_port: int) -> None:
    """Raises InvalidArgument when somebody on this machine listens there. Gateways share the port,
    also with those of another database: the kernel would spread connections over both.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, grpc_port))
            # Bound twice by SO_REUSEADDR is possible, listened to is not.
            probe.listen()
        except OSError as error:
            raise InvalidArgument(
                "server.grpc_port",
                f"{host}:{grpc_port} can't be used ({error.strerror}); choose another, or 0 for no "
                "gRPC",
            ) from None


def has_replicas(actor_names: Iterable[str]) -> bool:
    """Whether actors of Serve with these names are of our application: its gateways hold their port
    then. While Serve has it built anew, the state of the application doesn't tell.
    """
    replicas = map(ReplicaID.from_full_id_str, filter(ReplicaID.is_full_id_str, actor_names))
    return any(replica.deployment_id.app_name == APPLICATION for replica in replicas)


def _wait_until_healthy() -> None:
    """Raises Unavailable, saying what Serve says, when the application fails or takes too long."""
    give_up_at = time.monotonic() + _DEPLOY_TIMEOUT_S
    while True:
        application = serve.status().applications[APPLICATION]
        if application.status == ApplicationStatus.RUNNING:
            return
        late = time.monotonic() > give_up_at
        if late or application.status == ApplicationStatus.DEPLOY_FAILED:
            parts = [
                f"{name}: {deployment.status.value} {deployment.message}".strip()
                for name, deployment in application.deployments.items()
                if deployment.status.value != "HEALTHY"
            ]
            # Not enough free cores for the embedding replicas is the usual reason.
            reason = "; ".join([application.message, *parts])
            raise Unavailable(f"Ray Serve could not start the application: {reason}")
        time.sleep(_DEPLOY_POLL_S)


def serve_runs() -> bool:
    """Whether the joined Ray has a Serve already."""
    return _serve_client() is not None


def stop_serving(serve_ran_before: bool) -> None:
    """End the application, and a Serve that we started unless somebody else has come to use it."""
    if _serve_client() is not None:
        serve.delete(APPLICATION)
        if not serve_ran_before and not serve.status().applications:
            serve.shutdown()


def _serve_client() -> Any:
    """Serve's client of this process, None while no Serve runs. Only it knows the address."""
    return _get_global_client(raise_if_no_controller_running=False)
