"""Calls of our gRPC service with messages that were serialized beforehand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from bench.load import Failed

_TIMEOUT_S = 120.0
# Else the channels of one process to one server would be one connection.
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True)
class GrpcTarget:
    """Calls of one unary method, with one message for each query; `read` finds the rows in an
    answer. Each client has a channel of its own.
    """

    port: int
    method: str
    messages: list[bytes]
    read: Callable[[bytes], list[int]]
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def queries(self) -> int:
        return len(self.messages)

    async def connect(self) -> "GrpcConnection":
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=_OWN_CONNECTION)
        async with asyncio.timeout(_TIMEOUT_S):
            await channel.channel_ready()
        return GrpcConnection(channel, self)

    def found(self, raw: bytes) -> list[int]:
        return self.read(raw)


class GrpcConnection:
    def __init__(self, channel: grpc.aio.Channel, target: GrpcTarget) -> None:
        self._channel = channel
        self._call = channel.unary_unary(target.method)
        self._target = target

    async def ask(self, number: int) -> bytes:
        """The message of the answer, as it came. Raises Failed."""
        target = self._target
        try:
            answer: bytes = await self._call(
                target.messages[number], timeout=_TIMEOUT_S, metadata=target.metadata
            )
        except grpc.aio.AioRpcError as error:
            raise Failed(f"{error.code().name} {error.details()}") from error
        return answer

    async def close(self) -> None:
        await self._channel.close()
