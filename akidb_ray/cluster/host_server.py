"""The host's end of the streams: where gateways ask and write.

It listens on a Unix socket in a private folder, for gateways of the same node, and on the node's
address, for all others. Each connection has a thread, which reads a call, carries it out and
answers it, and then reads the next one: no call changes threads, or waits for one. A gateway that
gives a call up closes its connection.
"""

import logging
import select
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from akidb_ray.cluster.frames import Frame, Kind, encode, read_frame
from akidb_ray.cluster.handshake import TIMEOUT_S, greet_gateway, new_secret
from akidb_ray.cluster.silence import notice_silence
from akidb_ray.domain.errors import AkiDBError, Internal, Unavailable

_log = logging.getLogger(__name__)
# A gateway keeps a few; each takes a thread and some 100 KB.
_MAX_CONNECTIONS = 1024
_BACKLOG = 128


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

    @property
    def is_gone(self) -> bool:
        """Whether the call was given up. Nothing else comes in before it is answered."""
        # Several threads may ask, and they can't share one of these.
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(0))


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
        self._connections: set[socket.socket] = set()
        self._accepting: _Accepting | None = None

    def listen(
        self, node_id: str, socket_path: Path, address: str, tls: ssl.SSLContext | None
    ) -> HostEndpoint:
        """`socket_path` lies in a folder that is private to this user. Raises OSError."""
        remote = socket.create_server((address, 0), family=_family(address), backlog=_BACKLOG)
        local = socket.socket(socket.AF_UNIX)
        try:
            local.bind(str(socket_path))
            local.listen(_BACKLOG)
        except OSError:
            local.close()
            remote.close()
            raise
        wake, woken = socket.socketpair()
        thread = _thread("accept", self._accept, {local: None, remote: tls}, woken)
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
            for connection in self._connections:
                _shut(connection)

    def _accept(
        self, listening: Mapping[socket.socket, ssl.SSLContext | None], woken: socket.socket
    ) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (*listening, woken):
                each.setblocking(False)
                selector.register(each, selectors.EVENT_READ)
            while woken not in (ready := [key.fileobj for key, _ in selector.select()]):
                for each in listening:
                    if each in ready:
                        self._begin(each, listening[each])
        for each in (*listening, woken):
            each.close()

    def _begin(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        try:
            connection, _ = listening.accept()
            connection.settimeout(TIMEOUT_S)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                notice_silence(connection)
            if tls is not None:
                connection = tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
        except OSError as error:
            # It has gone again, or no more files may be open: those who are there go on.
            _log.warning("a connection was not accepted: %s", error)
            return
        with self._lock:
            if len(self._connections) >= _MAX_CONNECTIONS:
                _log.warning("a connection was refused: there are %s", _MAX_CONNECTIONS)
                connection.close()
                return
            self._connections.add(connection)
        _thread("connection", self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        """Answer the calls of one connection until it ends."""
        try:
            with connection, connection.makefile("rb") as stream:
                try:
                    if isinstance(connection, ssl.SSLSocket):
                        connection.do_handshake()
                    greet_gateway(self._secret, connection, stream)
                except (OSError, Unavailable) as error:
                    _log.warning("a stream was refused: %s", error)
                    return
                connection.settimeout(None)
                caller = Caller(connection)
                while (frame := read_frame(stream)) is not None:
                    connection.sendall(self._answer(frame, caller))
        except (OSError, ValueError) as error:
            _log.info("a stream broke: %s", error)
        finally:
            with self._lock:
                self._connections.discard(connection)

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


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other end was faster.
        pass
