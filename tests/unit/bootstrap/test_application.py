"""What the application refuses before it touches the cluster."""

from typing import Any

import pytest
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import RayServeException

from akidb_ray.bootstrap.application import build
from akidb_ray.bootstrap.serving import require_plain_http
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
