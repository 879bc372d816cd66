"""Closed-loop load: so many clients, each of which asks its next query once it has its answer.

Clients live in a few processes of their own, many in one event loop each. A latency is the time
from handing over the bytes of a request until the last byte of its answer is there. Answers are
kept as they came and read when the load is over, so that reading them costs nobody time.
"""

import asyncio
import gc
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from bench.exact import ExactNearest

_READY_TIMEOUT_S = 300.0


class Failed(Exception):
    """A request that was not answered as it should be."""


class Connection(Protocol):
    async def ask(self, number: int) -> bytes:
        """The raw answer to query `number`. Raises Failed."""

    async def close(self) -> None: ...


class Target(Protocol):
    """What is asked of whom. It is sent to the processes of the clients, so it can be pickled."""

    @property
    def queries(self) -> int: ...

    async def connect(self) -> Connection: ...

    def found(self, raw: bytes) -> list[int]:
        """The rows in an answer, best first."""


@dataclass(frozen=True)
class Played:
    """What the clients of one process asked and got. Times are those of `time.perf_counter`, which
    all processes of a machine share.
    """

    numbers: list[int]
    took_ms: list[float]
    found: list[list[int]]
    errors: list[str]
    begun_at: float
    ended_at: float
    cpu_s: float


@dataclass(frozen=True)
class Load:
    """`short` counts answers with fewer rows than there are. Of the cores that were busy meanwhile,
    so many worked for the server and for the clients.
    """

    clients: int
    requests: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    recall: float | None
    short: int
    errors: int
    first_error: str
    server_cores: float
    client_cores: float


class LoadGenerator:
    """Processes that wait to be clients. To be used in a `with` block."""

    def __init__(self, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._processes = processes
        self._barrier = context.Barrier(processes + 1)
        self._pool = context.Pool(processes, _take_barrier, (self._barrier,))

    def __enter__(self) -> "LoadGenerator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.terminate()
        self._pool.join()

    def play(
        self,
        target: Target,
        clients: int,
        seconds: float,
        server_cpu_s: Callable[[], float],
        exact: ExactNearest | None = None,
    ) -> Load:
        """Load the target. Requests that are under way at the end are waited for, and count."""
        jobs = []
        for number in range(self._processes):
            own = range(number, clients, self._processes)
            jobs.append((target, [client * target.queries // clients for client in own], seconds))
        playing = self._pool.starmap_async(_play, jobs, chunksize=1)
        try:
            self._barrier.wait(_READY_TIMEOUT_S)
        except threading.BrokenBarrierError:
            # What broke it says more. No load after this one can be played.
            playing.get(_READY_TIMEOUT_S)
            raise
        server_before_s = server_cpu_s()
        parts = [part for part in playing.get() if part.numbers or part.errors]
        return _load(clients, parts, server_cpu_s() - server_before_s, exact)


def _load(
    clients: int, parts: Sequence[Played], server_s: float, exact: ExactNearest | None
) -> Load:
    window_s = max(part.ended_at for part in parts) - min(part.begun_at for part in parts)
    took_ms = [took for part in parts for took in part.took_ms]
    answers = [pair for part in parts for pair in zip(part.numbers, part.found, strict=True)]
    errors = [error for part in parts for error in part.errors]
    p50, p95, p99 = np.percentile(took_ms, [50, 95, 99]) if took_ms else [float("nan")] * 3
    recall, short = (None, 0) if exact is None else recall_and_short(answers, exact)
    return Load(
        clients=clients,
        requests=len(took_ms),
        requests_per_s=len(took_ms) / window_s,
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        recall=recall,
        short=short,
        errors=len(errors),
        first_error=errors[0] if errors else "",
        server_cores=server_s / window_s,
        client_cores=sum(part.cpu_s for part in parts) / window_s,
    )


def recall_and_short(
    answers: Sequence[tuple[int, list[int]]], exact: ExactNearest
) -> tuple[float, int]:
    """Mean recall of all answers, and how many were too short."""
    known: dict[tuple[int, ...], float] = {}
    shares, short = [], 0
    for number, rows in answers:
        key = (number, *rows)
        if key not in known:
            known[key] = exact.share(number, rows)
        shares.append(known[key])
        short += len(rows) < exact.wanted(number)
    return float(np.mean(shares)), short


async def ask_all(target: Target, connections: int = 4) -> list[tuple[int, list[int]]]:
    """Each query once: its number, and the rows that were found. Raises Failed."""
    numbers = iter(range(target.queries))
    answers: list[tuple[int, list[int]]] = []

    async def ask() -> None:
        connection = await target.connect()
        answers.extend([(n, target.found(await connection.ask(n))) for n in numbers])
        await connection.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return answers


def recall_of(target: Target, exact: ExactNearest) -> float:
    """Mean recall over all queries. Raises Failed."""
    return recall_and_short(asyncio.run(ask_all(target)), exact)[0]


# Of a process of clients: where they wait until all are ready.
_barrier: Any = None


def _take_barrier(barrier: Any) -> None:
    global _barrier  # noqa: PLW0603 (barriers can only be inherited, not sent)
    _barrier = barrier


def _play(target: Target, starts: Sequence[int], seconds: float) -> Played:
    """One client for each of `starts`, the number of its first query."""
    return asyncio.run(_play_clients(target, starts, seconds))


async def _play_clients(target: Target, starts: Sequence[int], seconds: float) -> Played:
    try:
        connections = [await target.connect() for _ in starts]
        pairs = list(zip(connections, starts, strict=True))
        await asyncio.gather(*(connection.ask(start) for connection, start in pairs))
        gc.collect()
        gc.freeze()
    except BaseException:
        _barrier.abort()
        raise
    _barrier.wait(_READY_TIMEOUT_S)
    begun_at, cpu_s = time.perf_counter(), time.process_time()
    clients = [_Client(target.queries, begun_at + seconds) for _ in starts]
    asking = zip(clients, pairs, strict=True)
    await asyncio.gather(*(client.ask(*pair) for client, pair in asking))
    ended_at, cpu_s = time.perf_counter(), time.process_time() - cpu_s
    for connection in connections:
        await connection.close()
    return Played(
        [number for client in clients for number in client.numbers],
        [took for client in clients for took in client.took_ms],
        [target.found(raw) for client in clients for raw in client.raw],
        [error for client in clients for error in client.errors],
        begun_at,
        ended_at,
        cpu_s,
    )


class _Client:
    def __init__(self, queries: int, until: float) -> None:
        self._queries = queries
        self._until = until
        self.numbers: list[int] = []
        self.took_ms: list[float] = []
        self.raw: list[bytes] = []
        self.errors: list[str] = []

    async def ask(self, connection: Connection, number: int) -> None:
        while (began := time.perf_counter()) < self._until:
            try:
                raw = await connection.ask(number)
            except Failed as error:
                self.errors.append(str(error))
            else:
                self.took_ms.append((time.perf_counter() - began) * 1000)
                self.numbers.append(number)
                self.raw.append(raw)
            number = (number + 1) % self._queries
