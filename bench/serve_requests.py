"""What `bench.serve` asks each server, in each of its protocols."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import psutil
from numpy.typing import NDArray

from akidb_ray.gateway.grpc.v2 import akidb_pb2
from bench import akidb_server, chroma_server
from bench.akidb_server import AUTHORIZED, COLLECTION, KEY, AkidbServer
from bench.chroma_server import ChromaServer
from bench.grpc_load import GrpcTarget
from bench.http_load import HttpTarget
from bench.load import Target
from bench.vectors import SEED, Floats

K = 10


@dataclass(frozen=True)
class Case:
    """A filter for one of the `values` of the field `key`, each of which as many rows have."""

    name: str
    key: str | None = None
    values: int = 1

    def value(self, query: int) -> int:
        return query % self.values


CASES = (
    Case("none"),
    Case("50 %", "half", 2),
    Case("10 %", "tenth", 10),
    Case("1 %", "hundredth", 100),
)


@dataclass(frozen=True, eq=False)
class Labels:
    """A number below 100 for each row, by which filters choose."""

    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, rows: int) -> "Labels":
        return cls(np.random.default_rng(SEED).integers(100, size=rows))

    def payload(self, row: int) -> dict[str, int]:
        number = int(self.numbers[row])
        return {case.key: number % case.values for case in CASES if case.key is not None}

    def allowed(self, case: Case, queries: int) -> NDArray[np.bool_] | None:
        """(queries, rows); None: all."""
        if case.key is None:
            return None
        wanted = np.array([case.value(query) for query in range(queries)])
        return (self.numbers % case.values)[None, :] == wanted[:, None]


class Server(Protocol):
    """A server by one of its protocols. With `filtered` it is asked with filters, too; what it
    answers has recall only when it `searches`.
    """

    name: str
    filtered: bool
    searches: bool

    def processes(self) -> list[psutil.Process]: ...

    def target(self, case: Case, queries: Floats, ef: int) -> Target: ...


@dataclass(frozen=True)
class AkidbRest:
    """Vectors travel as base64, as our clients send them, or as JSON `numbers`."""

    server: AkidbServer
    numbers: bool = False
    searches: bool = True

    @property
    def name(self) -> str:
        return "akidb REST numbers" if self.numbers else "akidb REST"

    @property
    def filtered(self) -> bool:
        return not self.numbers

    def processes(self) -> list[psutil.Process]:
        return self.server.processes()

    def target(self, case: Case, queries: Floats, ef: int) -> Target:
        bodies = []
        for number, query in enumerate(queries):
            vector = query.tolist() if self.numbers else base64.b64encode(query.tobytes()).decode()
            body: dict[str, Any] = {"vector": vector, "limit": K, "params": {"ef": ef}}
            if case.key is not None:
                body["filter"] = _filter(case, number)
            bodies.append(json.dumps(body).encode())
        path = f"{COLLECTION}/search"
        port, read = self.server.port, akidb_server.read_rows
        return HttpTarget(port, "POST", path, bodies, read, (AUTHORIZED,))


@dataclass(frozen=True)
class AkidbGrpc:
    """Vectors travel as bytes, as REST's do in base64."""

    server: AkidbServer
    name: str = "akidb gRPC"
    filtered: bool = True
    searches: bool = True

    def processes(self) -> list[psutil.Process]:
        return self.server.processes()

    def target(self, case: Case, queries: Floats, ef: int) -> Target:
        messages = []
        for number, query in enumerate(queries):
            message = akidb_pb2.SearchRequest(
                collection="films",
                vector=akidb_pb2.Vector(float32=query.tobytes()),
                limit=K,
                params=akidb_pb2.SearchParams(ef=ef),
                filter=json.dumps(_filter(case, number)) if case.key is not None else "",
            )
            messages.append(message.SerializeToString())
        key = (("authorization", f"Bearer {KEY}"),)
        port, method = self.server.grpc_port, "/akidb.v2.AkiDB/Search"
        return GrpcTarget(port, method, messages, read_message, key)


@dataclass(frozen=True)
class Chroma:
    """Its queries take vectors as JSON numbers only."""

    server: ChromaServer
    name: str = "chroma"
    filtered: bool = True
    searches: bool = True

    def processes(self) -> list[psutil.Process]:
        return self.server.processes()

    def target(self, case: Case, queries: Floats, ef: int) -> Target:
        """From now on the server searches with this ef."""
        self.server.search_with(ef)
        bodies = []
        for number, query in enumerate(queries):
            body: dict[str, Any] = {
                "query_embeddings": [query.tolist()],
                "n_results": K,
                "include": ["metadatas", "distances"],
            }
            if case.key is not None:
                body["where"] = {case.key: case.value(number)}
            bodies.append(json.dumps(body).encode())
        path, read = f"{self.server.films_path}/query", chroma_server.read_rows
        return HttpTarget(self.server.port, "POST", path, bodies, read)


@dataclass(frozen=True)
class Health:
    """Empty answers of our own server: no search over REST can be faster, whoever loads it."""

    server: AkidbServer
    name: str = "akidb /healthz"
    filtered: bool = False
    searches: bool = False

    def processes(self) -> list[psutil.Process]:
        return self.server.processes()

    def target(self, case: Case, queries: Floats, ef: int) -> Target:
        return HttpTarget(self.server.port, "GET", "/healthz", [b""], no_rows)


def read_message(raw: bytes) -> list[int]:
    """The rows in the answer to a search over gRPC, best first."""
    return [int(hit.id) for hit in akidb_pb2.SearchResponse.FromString(raw).results]


def _filter(case: Case, query: int) -> dict[str, Any]:
    return {"must": [{"key": case.key, "match": {"value": case.value(query)}}]}


def no_rows(raw: bytes) -> list[int]:
    return []
