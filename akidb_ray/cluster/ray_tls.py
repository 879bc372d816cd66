"""TLS for the streams between nodes, with the certificates of Ray's own mutual TLS.

Ray reads RAY_USE_TLS and RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT on every node.
Where it encrypts its own traffic, the streams are encrypted too, and both ends show a certificate
of that authority. Names are not compared: the handshake says which host it is.
"""

import os
import ssl
from collections.abc import Mapping

from akidb_ray.domain.errors import Unavailable


def server_tls(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """None where Ray does without. Raises Unavailable when a file is missing or no certificate."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, environment)
    if context is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """None where Ray does without. Raises Unavailable when a file is missing or no certificate."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, environment)


def _context(protocol: int, environment: Mapping[str, str]) -> ssl.SSLContext | None:
    if environment.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return None
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    try:
        certificate, key = environment["RAY_TLS_SERVER_CERT"], environment["RAY_TLS_SERVER_KEY"]
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(environment["RAY_TLS_CA_CERT"])
    except (KeyError, OSError) as error:
        # An SSLError is an OSError.
        raise Unavailable(f"RAY_USE_TLS is set, but its files can't be used: {error!r}") from error
    return context
