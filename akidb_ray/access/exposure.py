"""What may be served without keys: this machine only, and not to pages of other sites."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from akidb_ray.domain.errors import Forbidden, InvalidArgument


def require_loopback(host: str) -> None:
    """Raises InvalidArgument for an address that other machines reach."""
    if not _is_loopback(host):
        raise InvalidArgument(
            "host", f"{host} is reachable from outside; --insecure-no-auth serves 127.0.0.1 only"
        )


def require_own_page(headers: Mapping[str, str]) -> None:
    """Raises Forbidden for what a web page of another site sent through a browser on this machine.

    A name that is resolved to 127.0.0.1 (DNS rebinding) shows in `host`, another site in `origin`.
    """
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    origin = headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if foreign or not _is_loopback(host):
        raise Forbidden("without keys, only this machine's own clients are served")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
