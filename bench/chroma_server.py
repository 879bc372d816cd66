"""A Chroma server to compare with: installed into an environment of its own, on a free port."""

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from akidb_ray.cluster.local_ray import free_ports
from bench.processes import running
from bench.vectors import Floats

VERSION = "1.5.9"
_ROOT = "/api/v2"
_COLLECTIONS = f"{_ROOT}/tenants/default_tenant/databases/default_database/collections"
_TIMEOUT_S = 600.0
_FIRST_EF = 100


class ChromaServer:
    """A server on `folder`, which has one collection, `films`. To be used in a `with` block."""

    def __init__(self, folder: Path, cache: Path) -> None:
        """What it is installed into is kept in `cache`."""
        self._program = _installed(cache)
        self._folder = folder
        self._running = contextlib.ExitStack()
        self._ef = _FIRST_EF
        self.port = free_ports(1)[0]
        self.films_path = ""
        self._start()

    def __enter__(self) -> "ChromaServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def processes(self) -> list[psutil.Process]:
        return [self._main, *self._main.children(recursive=True)]

    def create_films(self) -> None:
        """Its graph is made as ours are."""
        hnsw = {"space": "cosine", "max_neighbors": 32, "ef_construction": 200}
        settings = {"hnsw": {**hnsw, "ef_search": self._ef}}
        made = self.call("POST", _COLLECTIONS, {"name": "films", "configuration": settings})
        self.films_path = f"{_COLLECTIONS}/{made['id']}"

    def write(self, first_row: int, vectors: Floats, payloads: Sequence[dict[str, Any]]) -> None:
        ids = [str(row) for row in range(first_row, first_row + len(vectors))]
        embeddings = [base64.b64encode(vector.tobytes()).decode() for vector in vectors]
        body = {"ids": ids, "embeddings": embeddings, "metadatas": list(payloads)}
        self.call("POST", f"{self.films_path}/upsert", body)

    def search_with(self, ef: int) -> None:
        """From now on with this breadth. It is looked at when a graph is loaded, and only then."""
        if ef != self._ef:
            self._running.close()
            self._start()
            changed = {"new_configuration": {"hnsw": {"ef_search": ef}}}
            self.call("PUT", self.films_path, changed)
            self._ef = ef

    def wait_until_built(self, vector: Sequence[float]) -> None:
        """The first search brings the graph up to date with all that was written."""
        body = {"query_embeddings": [list(vector)], "n_results": 10}
        self.call("POST", f"{self.films_path}/query", body)

    def call(self, method: str, path: str, body: Any) -> Any:
        """A request with JSON, and the JSON of its answer. Raises RuntimeError."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
        try:
            headers = {"content-type": "application/json"}
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            raw = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {raw[:500]!r}")
            return json.loads(raw) if raw else None
        finally:
            connection.close()

    def _start(self) -> None:
        data = ["--path", str(self._folder / "chroma")]
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        self._main = self._running.enter_context(
            running(
                [str(self._program), "run", *data, *where],
                {**os.environ, "ANONYMIZED_TELEMETRY": "False"},
                self._folder / "chroma.log",
                self.port,
                f"{_ROOT}/heartbeat",
            )
        )


def _installed(cache: Path) -> Path:
    environment = cache / f"chroma-{VERSION}"
    program = environment / "bin" / "chroma"
    if not program.exists():
        print(f"Installing Chroma {VERSION} into {environment}", flush=True)
        environment.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "-qqq"]
        subprocess.run([*pip, f"chromadb=={VERSION}"], check=True)
    return program


def read_rows(raw: bytes) -> list[int]:
    """The rows in the answer to a search, best first."""
    return [int(id) for id in json.loads(raw)["ids"][0]]
