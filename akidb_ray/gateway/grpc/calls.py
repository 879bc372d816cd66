"""What surrounds each call: who asks, the request id, the deadline, and errors as statuses."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from akidb_ray.access.authorization import Principal
from akidb_ray.domain.errors import AkiDBError, DeadlineExceeded, Internal, RateLimited
from akidb_ray.domain.tenancy import DEFAULT_NAME
from akidb_ray.gateway.authentication import Authenticator
from akidb_ray.gateway.grpc.status import status_of
from akidb_ray.gateway.rest.problems import new_request_id
from akidb_ray.service.search_request import MAX_TIMEOUT_MS

SERVICE = "akidb.v2.AkiDB"
REQUEST_ID = "x-request-id"
_MAX_REQUEST_ID_CHARACTERS = 128
# What is kept of the time that is left for the way back to the client: a tenth, but not more.
_MOST_FOR_THE_WAY_MS = 50
# Of each method that needs no key: few of all calls that a server takes at once.
MOST_OPEN_CALLS = 64
_OPEN_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call, from a caller who is known."""

    principal: Principal
    request_id: str
    context: grpc.aio.ServicerContext

    @property
    def own_tenant(self) -> str:
        """The tenant of a caller who names none. A root administrator acts for `default`."""
        tenant_id = self.principal.tenant_id
        return DEFAULT_NAME if tenant_id is None else str(tenant_id)

    def timeout_ms(self) -> int | None:
        """The time to answer in, a little less than the client waits. None without a deadline.

        Raises DeadlineExceeded when there is none left.
        """
        left_s = self.context.time_remaining()
        if left_s is None:
            return None
        left_ms = left_s * 1000
        timeout_ms = int(left_ms - min(left_ms / 10, _MOST_FOR_THE_WAY_MS))
        if timeout_ms < 1:
            raise DeadlineExceeded("the deadline of the call has passed")
        return min(timeout_ms, MAX_TIMEOUT_MS)


class CallFrame(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Gives each call of our service a request id and a principal: its methods take a Call where
    gRPC gives a context. Other services, health and reflection, are open to everybody, so that
    only so many of their calls are taken at once: there is always room for those with a key.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._open_calls: Counter[str] = Counter()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if not handler_call_details.method.startswith(f"/{SERVICE}/"):
            return self._open(handler_call_details.method, handler)
        headers = _headers(handler_call_details.invocation_metadata)
        request_id = _given_request_id(headers) or new_request_id()
        try:
            # Before the message is read: a stranger's is none of our business.
            principal = await self._authenticator.principal(headers)
        except Exception as error:
            return _refusing(error, request_id)
        return _framed(handler, principal, request_id)

    def _open(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        # The task of this call. It ends with the call, also with one whose message never comes.
        task = asyncio.current_task()
        if task is None or self._open_calls[method] >= MOST_OPEN_CALLS:
            return _refusing(RateLimited(_OPEN_RETRY_S), new_request_id())
        self._open_calls[method] += 1
        task.add_done_callback(lambda _: self._open_calls.subtract((method,)))
        return handler


def _headers(metadata: Any) -> Mapping[str, str]:
    """Of a key that is there twice, the first counts, as in REST. The authenticator looks for pages
    of other sites, which can't speak gRPC: `host` says that this is no such page.
    """
    texts = {key: value for key, value in reversed(metadata or ()) if isinstance(value, str)}
    return {"host": "localhost", **texts}


def _given_request_id(headers: Mapping[str, str]) -> str | None:
    given = headers.get(REQUEST_ID, "")
    fits = 0 < len(given) <= _MAX_REQUEST_ID_CHARACTERS and given.isascii()
    return given if fits and given.isprintable() else None


def _refusing(error: Exception, request_id: str) -> grpc.RpcMethodHandler:
    async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
        await _abort(context, error, request_id)

    # For calls of all forms: as a stream, the message of the client is not waited for.
    return grpc.stream_stream_rpc_method_handler(refuse)


def _framed(
    handler: grpc.RpcMethodHandler, principal: Principal, request_id: str
) -> grpc.RpcMethodHandler:
    make, method = _form_of(handler)
    codec = handler.request_deserializer, handler.response_serializer

    async def answer(given: Any, context: grpc.aio.ServicerContext) -> Any:
        context.set_trailing_metadata(((REQUEST_ID, request_id),))
        try:
            return await method(given, Call(principal, request_id, context))
        except Exception as error:
            await _abort(context, error, request_id)

    async def answers(given: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        context.set_trailing_metadata(((REQUEST_ID, request_id),))
        try:
            async for each in method(given, Call(principal, request_id, context)):
                yield each
        except Exception as error:
            await _abort(context, error, request_id)

    return make(answers if handler.response_streaming else answer, *codec)


def _form_of(handler: grpc.RpcMethodHandler) -> tuple[Callable[..., Any], Callable[..., Any]]:
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary


async def _abort(context: grpc.aio.ServicerContext, error: Exception, request_id: str) -> NoReturn:
    """End the call with the status of the error. What is not one of ours stays inside."""
    ours = error
    if not isinstance(ours, AkiDBError):
        ours = Internal(f"{type(error).__name__}: {error}")
        ours.__cause__ = error
    status = rpc_status.to_status(status_of(ours, request_id))
    metadata = (*status.trailing_metadata, (REQUEST_ID, request_id))
    await context.abort(status.code, status.details, metadata)
    raise asyncio.CancelledError
