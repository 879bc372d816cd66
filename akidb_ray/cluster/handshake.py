"""Both ends of a stream prove that they know the host's secret, without sending it.

Each sends random bytes and answers those of the other by their HMAC; the two answers differ by a
label, so that none can be turned back on who gave it. What stands before them is the version of
what follows: ends of different versions part with a clear word.
"""

import asyncio
import hmac
import secrets
import struct

from akidb_ray import __version__
from akidb_ray.domain.errors import Unavailable

_CHALLENGE_BYTES = 32
_VERSION = struct.Struct("<64s")
_TIMEOUT_S = 5.0
_HOST = b"shard host"
_GATEWAY = b"gateway"


def new_secret() -> bytes:
    return secrets.token_bytes(_CHALLENGE_BYTES)


async def greet_gateway(
    secret: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The host's end. Raises ConnectionError when whoever called does not know the secret, and
    Unavailable when it is of another version.
    """
    await _prove(secret, _HOST, _GATEWAY, reader, writer)


async def greet_host(
    secret: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The gateway's end. Raises ConnectionError when another process answers, as after a restart of
    the host, and Unavailable when the host is of another version.
    """
    await _prove(secret, _GATEWAY, _HOST, reader, writer)


async def _prove(
    secret: bytes,
    mine: bytes,
    theirs: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    own = new_secret()
    version = __version__.encode()
    writer.write(_VERSION.pack(version) + own)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            (other_version,) = _VERSION.unpack(await reader.readexactly(_VERSION.size))
            other = await reader.readexactly(_CHALLENGE_BYTES)
            writer.write(_answer(secret, mine, other))
            answered = await reader.readexactly(_CHALLENGE_BYTES)
    except (asyncio.IncompleteReadError, OSError, TimeoutError) as error:
        raise ConnectionError("the stream's other end did not prove who it is") from error
    if not hmac.compare_digest(answered, _answer(secret, theirs, own)):
        raise ConnectionError("the stream's other end does not know the shard host's secret")
    if other_version.rstrip(b"\0") != version:
        shown = other_version.rstrip(b"\0").decode("ascii", "replace")
        raise Unavailable(f"the stream's other end runs AkiDB {shown}, this one {__version__}")


def _answer(secret: bytes, label: bytes, challenge: bytes) -> bytes:
    return hmac.digest(secret, label + challenge, "sha256")
