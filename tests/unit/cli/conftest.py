"""A stand-in for the wire: an HTTP server in a thread, which answers what a test tells it to."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.cli.main import main


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, code: str, detail: str, **fields: Any) -> Reply:
    body = {"type": f"urn:akidb:error:{code}", "title": code, "status": status}
    return Reply({**body, "detail": detail, "code": code, **fields}, status)


class Wire:
    """Routes by method and path without the query. Everything asked is kept in `asked`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.routes: dict[str, Callable[[Asked], Reply]] = {}
        self._lock = threading.Lock()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, json.loads(body) if body else None)
                reply = wire.reply_to(asked)
                content = reply.body if isinstance(reply.body, bytes) else b""
                if not content and reply.body is not None:
                    content = json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names it wants

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def on(self, route: str, reply: Reply | Callable[[Asked], Reply]) -> None:
        self.routes[route] = reply if callable(reply) else lambda _: reply

    def reply_to(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
        route = self.routes.get(f"{asked.method} {asked.path.partition('?')[0]}")
        return route(asked) if route else problem(404, "not_found", f"no route {asked.path}")


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def refuse() -> Callable[..., Reply]:
    """Make the reply that refuses: status, code, detail and further members."""
    return problem


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    thread = threading.Thread(target=wire.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield wire
    wire.server.shutdown()
    thread.join()
    wire.server.server_close()


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def akidb(
    wire: Wire,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Ran]:
    """Run the command in this process, against the wire and with an empty home."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    for name in ("API_KEY", "TENANT", "DATABASE", "COLLECTION", "CLIENT_FILE"):
        monkeypatch.delenv(f"AKIDB_{name}", raising=False)
    monkeypatch.setenv("AKIDB_URL", wire.url)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["akidb", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        caught = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, caught.out, caught.err)

    return run
