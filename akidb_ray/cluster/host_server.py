"""The host's end of the streams: where gateways ask and write.

It listens on a Unix socket in a private folder, for gateways of the same node, and on the node's
address, for all others. Each connection has a thread, which reads a call, carries it out and
answers it, and then reads the next one: no call changes threads, or waits for one. A gateway that
gives a call up sends the end of its stream.
"""

import logging
import select
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from akidb_ray.cluster.frames import Frame, Kind, encode, read_frame
from akidb_ray.cluster.handshake import TIMEOUT_S, greet_gateway, new_secret
from akidb_ray.cluster.keepalive import set_keepalive
from akidb_ray.domain.errors import AkiDBError, Internal, Unavailable

_log = logging.getLogger(__name__)
# Each takes a thread and some 100 KB. Of those that have not proved who they are there are few, so
# that they keep nobody out.
_MAX_CONNECTIONS = 1024
_MAX_STRANGERS = 64
_BACKLOG = 128
# After a connection could not be taken for want of files or threads.
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class HostEndpoint:
    """Where a host listens, until its process ends. The secret is shown to nobody but gateways."""

    node_id: str
    unix_path: str
    address: str
    port: int
    secret: bytes = field(repr=False)


class Caller:
    """Who waits for the answers to the calls of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def check(self) -> None:
        """Raises Unavailable when the call was given up: what it writes would come late, and undo
        what others have written meanwhile.
        """
        # Nothing else comes in before the call is answered. Several threads may ask, and they can't
        # share one of these.
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        if poll.poll(0):
            raise Unavailable("nobody waits for it any more")


Method = Callable[[Any, Caller], Any]


@dataclass(frozen=True, slots=True)
class _Accepting:
    """A thread that ends when `wake` is closed."""

    thread: threading.Thread
    wake: socket.socket
    socket_path: Path


class HostServer:
    """Serves methods, by their names, that take a list of items. They are called by many threads at
    once.
    """

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._secret = new_secret()
        self._lock = threading.Lock()
        self._strangers: set[socket.socket] = set()
        self._connections: set[socket.socket] = set()
        self._accepting: _Accepting | None = None

    def listen(
        self, node_id: str, socket_path: Path, address: str, tls: ssl.SSLContext | None
    ) -> HostEndpoint:
        """`socket_path` lies in a folder that is private to this user. Raises OSError."""
        with ExitStack() as undo:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            remote = undo.enter_context(
                socket.create_server((address, 0), family=family, backlog=_BACKLOG)
            )
            local = undo.enter_context(socket.socket(socket.AF_UNIX))
            local.bind(str(socket_path))
            undo.callback(socket_path.unlink)
            local.listen(_BACKLOG)
            wake, woken = map(undo.enter_context, socket.socketpair())
            selector = undo.enter_context(selectors.DefaultSelector())
            for each in (local, remote, woken):
                each.setblocking(False)
                selector.register(each, selectors.EVENT_READ)
            thread = _thread("accept", self._accept, selector, {local: None, remote: tls}, woken)
            undo.pop_all()
        self._accepting = _Accepting(thread, wake, socket_path)
        port = remote.getsockname()[1]
        return HostEndpoint(node_id, str(socket_path), address, port, self._secret)

    def close(self) -> None:
        """Take no more calls. What a thread has begun goes on to its end, and nobody is told."""
        if self._accepting is not None:
            self._accepting.wake.close()
            self._accepting.thread.join()
            self._accepting.socket_path.unlink(missing_ok=True)
        with self._lock:
            for connection in (*self._strangers, *self._connections):
                _shut(connection)

    def _accept(
        self,
        selector: selectors.BaseSelector,
        listening: Mapping[socket.socket, ssl.SSLContext | None],
        woken: socket.socket,
    ) -> None:
        with selector:
            while woken not in (ready := [key.fileobj for key, _ in selector.select()]):
                for each in listening:
                    if each in ready and not self._begin(each, listening[each]):
                        # It is still there, and would be tried again at once.
                        select.select([woken], [], [], _PAUSE_S)
        for each in (*listening, woken):
            each.close()

    def _begin(self, listening: socket.socket, tls: ssl.SSLContext | None) -> bool:
        """Take a connection and give it a thread. False when that can't be done for now."""
        try:
            connection, _ = listening.accept()
        except OSError as error:
            _log.warning("a connection was not accepted: %s", error)
            # It may just have gone again.
            return isinstance(error, ConnectionError | BlockingIOError)
        try:
            connection.settimeout(TIMEOUT_S)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                set_keepalive(connection)
            if tls is not None:
                connection = tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            with self._lock:
                self._check_room(connection)
                self._strangers.add(connection)
            _thread("connection", self._serve, connection)
        except (OSError, RuntimeError, Unavailable) as error:
            # A RuntimeError: no more threads.
            _log.warning("a connection was refused: %s", error)
            self._forget(connection)
            connection.close()
            return not isinstance(error, RuntimeError)
        return True

    def _check_room(self, connection: socket.socket) -> None:
        """Raises Unavailable. Whoever reaches the Unix socket is of this user."""
        if len(self._connections) >= _MAX_CONNECTIONS:
            raise Unavailable(f"there are {_MAX_CONNECTIONS}")
        if connection.family != socket.AF_UNIX and len(self._strangers) >= _MAX_STRANGERS:
            raise Unavailable(f"{_MAX_STRANGERS} have not proved who they are")

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._strangers.discard(connection)
            self._connections.discard(connection)

    def _serve(self, connection: socket.socket) -> None:
        """Answer the calls of one connection until it ends."""
        try:
            with connection:
                if self._is_gateway(connection):
                    self._answer_all(connection)
        except (OSError, ValueError) as error:
            _log.info("a stream broke: %s", error)
        finally:
            self._forget(connection)

    def _is_gateway(self, connection: socket.socket) -> bool:
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            greet_gateway(self._secret, connection)
        except (OSError, Unavailable) as error:
            _log.warning("a stream was refused: %s", error)
            return False
        with self._lock:
            self._strangers.discard(connection)
            self._connections.add(connection)
        return True

    def _answer_all(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        caller = Caller(connection)
        with connection.makefile("rb") as stream:
            while (frame := read_frame(stream)) is not None:
                connection.sendall(self._answer(frame, caller))

    def _answer(self, frame: Frame, caller: Caller) -> bytes:
        try:
            method, items = frame.value()
            return encode(Kind.ANSWER, self._methods[method](items, caller))
        except AkiDBError as error:
            return encode(Kind.FAILURE, error)
        except Exception as error:
            _log.exception("a call of a shard host broke")
            return encode(Kind.FAILURE, Internal(f"{type(error).__name__} in a shard host"))


def _thread(name: str, work: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


def _shut(connection: socket.socket) -> None:
    try:
        # An SSLSocket's own would go on in the clear, for whoever sends at this moment.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        # The other end was faster.
        pass
