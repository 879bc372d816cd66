"""Both ends of a stream prove that they know the host's secret, without sending it.

Each sends random bytes and answers those of the other by their HMAC; the two answers differ by a
label, so that none can be turned back on who gave it. What stands before them is the version of
what follows: ends of different versions part with a clear word.
"""

import asyncio
import hmac
import secrets
import socket
import struct
import time

from akidb_ray import __version__
from akidb_ray.domain.errors import Unavailable

_CHALLENGE_BYTES = 32
_HELLO = struct.Struct(f"<64s{_CHALLENGE_BYTES}s")
_PROOF_BYTES = 32
TIMEOUT_S = 5.0
_HOST = b"shard host"
_GATEWAY = b"gateway"
_SILENT = "the stream's other end did not prove who it is"


def new_secret() -> bytes:
    return secrets.token_bytes(_CHALLENGE_BYTES)


def greet_gateway(secret: bytes, connection: socket.socket) -> None:
    """The host's end. Raises ConnectionError when whoever called does not know the secret,
    Unavailable when it is of another version, and OSError, also when it takes its time.
    """
    end, give_up_at = _End(secret, _HOST, _GATEWAY), time.monotonic() + TIMEOUT_S
    connection.sendall(end.hello)
    connection.sendall(end.proof(_receive(connection, _HELLO.size, give_up_at)))
    end.check(_receive(connection, _PROOF_BYTES, give_up_at))


def _receive(connection: socket.socket, size: int, give_up_at: float) -> bytes:
    """So many bytes, less at the end of the stream."""
    received = b""
    while len(received) < size:
        connection.settimeout(max(0.001, give_up_at - time.monotonic()))
        part = connection.recv(size - len(received))
        if not part:
            break
        received += part
    return received


async def greet_host(
    secret: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The gateway's end. Raises ConnectionError when another process answers, as after a restart of
    the host, and Unavailable when the host is of another version.
    """
    end = _End(secret, _GATEWAY, _HOST)
    writer.write(end.hello)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(end.proof(await reader.readexactly(_HELLO.size)))
            end.check(await reader.readexactly(_PROOF_BYTES))
    except (asyncio.IncompleteReadError, TimeoutError) as error:
        raise ConnectionError(_SILENT) from error


class _End:
    """What one end says, and what it makes of what the other says."""

    def __init__(self, secret: bytes, label: bytes, other_label: bytes) -> None:
        self._secret = secret
        self._label = label
        self._other_label = other_label
        self._challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        self._other_version = b""

    @property
    def hello(self) -> bytes:
        return _HELLO.pack(__version__.encode(), self._challenge)

    def proof(self, hello: bytes) -> bytes:
        """The answer to the other's hello. Raises ConnectionError when it is cut short."""
        if len(hello) < _HELLO.size:
            raise ConnectionError(_SILENT)
        version, challenge = _HELLO.unpack(hello)
        self._other_version = version.rstrip(b"\0")
        return hmac.digest(self._secret, self._label + challenge, "sha256")

    def check(self, proof: bytes) -> None:
        """Raises ConnectionError for a wrong one; then Unavailable for another version."""
        expected = hmac.digest(self._secret, self._other_label + self._challenge, "sha256")
        if not hmac.compare_digest(proof, expected):
            raise ConnectionError("the stream's other end does not know the shard host's secret")
        if self._other_version != __version__.encode():
            shown = self._other_version.decode("ascii", "replace")
            raise Unavailable(f"the stream's other end runs AkiDB {shown}, this one {__version__}")
