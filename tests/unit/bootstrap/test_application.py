"""What the application refuses before it touches the cluster."""

import socket
from typing import Any

import pytest
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import RayServeException

from akidb_ray.bootstrap.application import build
from akidb_ray.bootstrap.serving import (
    has_replicas,
    require_free_grpc_port,
    require_no_grpc_beside_tls,
    require_plain_http,
)
from akidb_ray.domain.errors import InvalidArgument

TLS = HTTPOptions(ssl_certfile="/etc/tls/server.crt", ssl_keyfile="/etc/tls/server.key")


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({}, "data_dir"),
        ({"data_dir": "akidb-data"}, "must be an absolute path"),
        ({"data_dir": "/data", "replicas": 2}, "unknown field `replicas`"),
        ({"data_dir": "/data", "nodes": "two"}, r"\$.nodes"),
        ({"data_dir": "/data", "nodes": 0}, r"\$.nodes"),
        ({"data_dir": "/data", "settings": {"server": 8100}}, r"\$.settings"),
        ({"data_dir": "/data", "settings": {"server": {"port": 8100}}}, "http_options"),
        ({"data_dir": "/data", "settings": {"shard": {"seal_row": 5}}}, "shard.seal_row"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(args: dict[str, Any], reason: str) -> None:
    with pytest.raises(RayServeException, match=reason) as refused:
        build(args)
    assert "\n" not in str(refused.value)


def test_tls_options_are_refused_behind_haproxy_only() -> None:
    with pytest.raises(InvalidArgument, match="TLS terminator"):
        require_plain_http(TLS, behind_haproxy=True)
    require_plain_http(TLS, behind_haproxy=False)
    require_plain_http(HTTPOptions(), behind_haproxy=True)


def test_grpc_in_clear_is_refused_beside_rest_with_tls() -> None:
    with pytest.raises(InvalidArgument, match="must be 0, which switches gRPC off") as refused:
        require_no_grpc_beside_tls(TLS, 8101)
    assert refused.value.fields["field"] == "server.grpc_port"
    require_no_grpc_beside_tls(TLS, 0)
    require_no_grpc_beside_tls(HTTPOptions(), 8101)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_port_that_another_database_would_share_is_refused_by_name(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InvalidArgument, match=f"{host}:{port} can't be used .*choose another"):
            require_free_grpc_port(host, port)
    require_free_grpc_port(host, port)


def test_the_replicas_of_our_application_are_known_by_their_names() -> None:
    ours = ReplicaID("h3s9k2", DeploymentID("gateway", "akidb")).to_full_id_str()
    other = ReplicaID("h3s9k2", DeploymentID("gateway", "another")).to_full_id_str()
    assert has_replicas(["SERVE_CONTROLLER_ACTOR", other, ours])
    assert not has_replicas(["SERVE_CONTROLLER_ACTOR", "shard-host-a-0", "akidb", other])
