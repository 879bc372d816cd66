"""A real `akidb serve` on a folder and a free port, filled over REST by Arrow."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from akidb_ray.cluster.local_ray import INSTANCE_VARIABLE, free_ports, instance_id, stop_local_ray
from bench.processes import running
from bench.vectors import Floats

KEY = "root-key-of-the-bench-0123456789"
COLLECTIONS = "/v2/tenants/default/databases/default/collections"
COLLECTION = f"{COLLECTIONS}/films"
AUTHORIZED = f"authorization: Bearer {KEY}"
_ARROW = "application/vnd.apache.arrow.stream"
# Merges that a server makes when nothing was written for so long; half a minute by default.
_SETTLE_S = 5.0
_RETRY_S = 0.5
_BUSY_S = 900.0
_SETTINGS = {
    "AKIDB_ROOT_KEY": KEY,
    "AKIDB_EMBEDDING_MODELS": "",
    "AKIDB_SHARD_SETTLE_S": str(_SETTLE_S),
}


@dataclass(frozen=True)
class AkidbServer:
    """`main` is the process of the command; Ray's are found by the instance that they belong to."""

    port: int
    grpc_port: int
    instance: str
    main: psutil.Process

    def processes(self) -> list[psutil.Process]:
        """All processes of the server, Ray's among them."""
        found = [self.main]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(INSTANCE_VARIABLE) == self.instance:
                    found.append(process)
        return found

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request with JSON, and the JSON of its answer. Raises RuntimeError."""
        raw = None if body is None else json.dumps(body).encode()
        status, answer = self._send(method, path, raw, "application/json")
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer!r}")
        return json.loads(answer) if answer else None

    def create_films(self, dimension: int) -> None:
        settings = {"name": "films", "dimension": dimension, "metric": "cosine"}
        self.call("POST", COLLECTIONS, {**settings, "hnsw_m": 32, "hnsw_ef_construction": 200})

    def write(
        self,
        first_row: int,
        vectors: Floats,
        payloads: Sequence[str],
        texts: Sequence[str] | None = None,
    ) -> None:
        """One request; the ids are the numbers of the rows. Waits while the server is too busy."""
        ids = [str(row) for row in range(first_row, first_row + len(vectors))]
        flat = pa.array(vectors.reshape(-1))
        columns = {
            "id": pa.array(ids),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            "payload": pa.array(payloads, pa.string()),
        }
        if texts is not None:
            columns["text"] = pa.array(texts, pa.string())
        table = pa.table(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        raw = sink.getvalue().to_pybytes()
        give_up_at = time.monotonic() + _BUSY_S
        while True:
            status, answer = self._send("PUT", f"{COLLECTION}/documents", raw, _ARROW)
            if status < 300:
                return
            if status != 503 or time.monotonic() > give_up_at:
                raise RuntimeError(f"writing rows from {first_row} on: {status} {answer!r}")
            time.sleep(_RETRY_S)

    def wait_until_built(self) -> dict[str, Any]:
        """Wait until nothing is left to build or merge, and return the collection's status."""
        quiet_since = time.monotonic()
        while True:
            status: dict[str, Any] = self.call("GET", COLLECTION)["status"]
            if status["indexing"]:
                quiet_since = time.monotonic()
            elif time.monotonic() > quiet_since + _SETTLE_S + 3.0:
                return status
            time.sleep(_RETRY_S)

    def _send(self, method: str, path: str, raw: bytes | None, kind: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120.0)
        try:
            headers = {"authorization": f"Bearer {KEY}", "content-type": kind}
            connection.request(method, path, raw, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextlib.contextmanager
def running_akidb(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[AkidbServer]:
    """Start it with the settings that it has by default, but for `_SETTINGS` and those given."""
    port, grpc_port = free_ports(2)
    data_dir = folder / "akidb"
    others = {k: v for k, v in os.environ.items() if not k.startswith(("AKIDB_", "RAY_"))}
    command = [sys.executable, "-m", "akidb_ray.cli.main", "serve"]
    ports = ["--port", str(port), "--grpc-port", str(grpc_port)]
    options = ["--data-dir", str(data_dir), *ports]
    environment = {**others, **_SETTINGS, **(settings or {})}
    log = folder / "akidb.log"
    try:
        with running([*command, *options], environment, log, port, "/readyz") as process:
            yield AkidbServer(port, grpc_port, instance_id(data_dir), process)
    finally:
        # It ends its own Ray, unless it was too late to be asked.
        stop_local_ray(data_dir)


def read_rows(raw: bytes) -> list[int]:
    """The rows in the answer to a search, best first."""
    return [int(hit["id"]) for hit in json.loads(raw)["results"]]
