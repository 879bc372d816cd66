"""Mixed searches at a fixed rate: `akidb serve` with a million documents.

    python -m bench.mixed [--rows 1000000] [--dimension 512] [--rate 100] [--seconds 60] [--ef 200]
                          [--quick] [--data FOLDER]

60 % of the searches are for a vector, 30 % have a filter as well (of 50, 10 and 1 % in turn), 10 %
are hybrid: the title of a film in words beside its vector, so that nothing has to be embedded.

The loop is open: when each request is due is drawn beforehand, at random (Poisson) and seeded, and
requests are sent when they are due, whatever became of those before. Latency counts from the moment
when a request was due, so a server that stalls pays for all that had to wait. `late` is how long
after that the generator itself sent it.

Recall is that of the answers that were timed, against a comparison with every row. Memory is that
of all processes of the server, Ray's among them. Prints tables, and writes
bench/results/mixed.json.
"""

import argparse
import asyncio
import base64
import contextlib
import gc
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.akidb_server import (
    AUTHORIZED,
    COLLECTION,
    AkidbServer,
    read_rows,
    running_akidb,
)
from bench.engine_measuring import show
from bench.exact import ExactNearest
from bench.http_load import HttpConnection, HttpTarget
from bench.load import Failed, recall_and_short
from bench.processes import cpu_s, private_mib, proportional_mib, resident_mib
from bench.serve_requests import CASES, AkidbRest, Case, K, Labels
from bench.vectors import SEED, add_data_option
from bench.wide_films import WideFilms

RESULTS = Path(__file__).parent / "results" / "mixed.json"
BATCH = 2000
WARM_UP_S = 5.0
HYBRID = "hybrid"
# Of a hundred searches.
SHARES = {"none": 60, "50 %": 10, "10 %": 10, "1 %": 10, HYBRID: 10}
_MEMORY_EVERY_S = 2.0


@dataclass(frozen=True)
class Arrival:
    """A request: when it is due, in seconds after the start, and what it asks."""

    due_s: float
    kind: str
    query: int


@dataclass(frozen=True)
class Answered:
    arrival: Arrival
    late_ms: float
    took_ms: float
    found: list[int]
    error: str


@dataclass(frozen=True)
class Figures:
    """Of one kind of search. The exact answer of a hybrid one is not known."""

    kind: str
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    recall: str
    short: int
    errors: int


@dataclass(frozen=True)
class Memory:
    """Of all processes of the server together. Resident memory counts pages of mapped files where
    the system keeps them, and shared pages for each process, but for `proportional_mib`, which
    divides them; private memory counts neither.
    """

    private_while_building_mib: float
    private_while_searching_mib: float
    resident_while_building_mib: float
    resident_while_searching_mib: float
    proportional_mib: float
    processes: int


def arrivals(rate: float, seconds: float, queries: int, seed: int) -> list[Arrival]:
    random = np.random.default_rng(seed)
    due_s = np.cumsum(random.exponential(1 / rate, size=int(2 * rate * seconds) + 100))
    due_s = due_s[due_s < seconds]
    shares = np.array(list(SHARES.values())) / sum(SHARES.values())
    kinds = random.choice(list(SHARES), size=len(due_s), p=shares).tolist()
    asked = random.integers(queries, size=len(due_s)).tolist()
    return [Arrival(*each) for each in zip(due_s.tolist(), kinds, asked, strict=True)]


async def open_loop(target: HttpTarget, queries: int, due: Sequence[Arrival]) -> list[Answered]:
    """`target` has `queries` bodies for each kind, one kind behind the other."""
    first = {kind: number * queries for number, kind in enumerate(SHARES)}
    idle: list[HttpConnection] = []
    answers: list[tuple[Arrival, float, float, bytes, str]] = []
    begun_at = time.perf_counter()

    async def ask(arrival: Arrival) -> None:
        connection = idle.pop() if idle else await target.connect()
        late_ms = (time.perf_counter() - begun_at - arrival.due_s) * 1000
        raw, error = b"", ""
        try:
            raw = await connection.ask(first[arrival.kind] + arrival.query)
        except Failed as failed:
            error = str(failed)
        took_ms = (time.perf_counter() - begun_at - arrival.due_s) * 1000
        answers.append((arrival, late_ms, took_ms, raw, error))
        idle.append(connection)

    async with asyncio.TaskGroup() as asking:
        for arrival in due:
            await asyncio.sleep(begun_at + arrival.due_s - time.perf_counter())
            asking.create_task(ask(arrival))
    for connection in idle:
        await connection.close()
    return [
        Answered(arrival, late_ms, took_ms, target.found(raw) if raw else [], error)
        for arrival, late_ms, took_ms, raw, error in answers
    ]


def search_target(server: AkidbServer, films: WideFilms, ef: int) -> HttpTarget:
    """The bodies of all kinds, one kind behind the other."""
    bodies: list[bytes] = []
    rest = AkidbRest(server)
    for kind in SHARES:
        if kind == HYBRID:
            bodies.extend(_hybrid_bodies(films, ef))
        else:
            bodies.extend(rest.target(_case(kind), films.queries, ef).bodies)
    return HttpTarget(server.port, "POST", f"{COLLECTION}/search", bodies, read_rows, (AUTHORIZED,))


def _case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def _hybrid_bodies(films: WideFilms, ef: int) -> Iterator[bytes]:
    for vector, title in zip(films.queries, films.titles, strict=True):
        encoded = base64.b64encode(vector.tobytes()).decode()
        asked = {"text": title, "mode": "hybrid", "vector": encoded}
        yield json.dumps({**asked, "limit": K, "params": {"ef": ef}}).encode()


def fill(server: AkidbServer, films: WideFilms, rows: int) -> dict[str, ExactNearest]:
    """Write all rows, and find the exact answers of each kind that has them on the way."""
    exact = {case.name: ExactNearest(films.queries, K) for case in CASES}
    labels = Labels.of(rows)
    server.create_films(films.queries.shape[1])
    for chunk in films.chunks():
        first, count = chunk.first_row, len(chunk.vectors)
        own = Labels(labels.numbers[first : first + count])
        for case in CASES:
            allowed = own.allowed(case, len(films.queries))
            exact[case.name].add(first, chunk.vectors, allowed)
        payloads = [json.dumps(own.payload(row)) for row in range(count)]
        for start in range(0, count, BATCH):
            part = slice(start, start + BATCH)
            server.write(first + start, chunk.vectors[part], payloads[part], chunk.texts[part])
    return exact


class MemoryWatch:
    """The largest memory of some processes, looked at from time to time."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self._stop = threading.Event()
        self.resident_mib = 0.0
        self.private_mib = 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator["MemoryWatch"]:
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _look(self) -> None:
        while True:
            self.resident_mib = max(self.resident_mib, resident_mib(self._processes))
            self.private_mib = max(self.private_mib, private_mib(self._processes))
            if self._stop.wait(_MEMORY_EVERY_S):
                return


def figures_of(kind: str, answers: Sequence[Answered], exact: ExactNearest | None) -> Figures:
    good = [answer for answer in answers if not answer.error]
    took_ms = [answer.took_ms for answer in good]
    recall, short = "", 0
    if exact is not None and good:
        pairs = [(answer.arrival.query, answer.found) for answer in good]
        share, short = recall_and_short(pairs, exact)
        recall = f"{share:.4f}"
    percentiles = np.percentile(took_ms, [50, 95, 99, 100]).tolist() if good else [np.nan] * 4
    return Figures(kind, len(answers), *percentiles, recall, short, len(answers) - len(good))


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    films = WideFilms(options.data, options.rows, options.dimension, options.queries)
    with running_akidb(folder) as server:
        started = time.perf_counter()
        with MemoryWatch(server.processes()).watching() as building:
            exact = fill(server, films, options.rows)
            written_s = time.perf_counter() - started
            print(f"{options.rows:,} rows written in {written_s:.0f} s", flush=True)
            status = server.wait_until_built()
        built_s = time.perf_counter() - started
        print(f"built after {built_s:.0f} s: {status}", flush=True)
        target = search_target(server, films, options.ef)
        del films
        gc.collect()
        gc.freeze()
        warm_up = arrivals(options.rate, WARM_UP_S, options.queries, SEED + 1)
        asyncio.run(open_loop(target, options.queries, warm_up))
        due = arrivals(options.rate, options.seconds, options.queries, SEED)
        processes = server.processes()
        cpu_before_s, began = cpu_s(processes), time.perf_counter()
        with MemoryWatch(processes).watching() as searching:
            answers = asyncio.run(open_loop(target, options.queries, due))
        cores = (cpu_s(processes) - cpu_before_s) / (time.perf_counter() - began)
        memory = Memory(
            building.private_mib,
            searching.private_mib,
            building.resident_mib,
            searching.resident_mib,
            proportional_mib(processes),
            len(processes),
        )
    of_kind = {kind: [a for a in answers if a.arrival.kind == kind] for kind in SHARES}
    table = [figures_of("all", answers, None)]
    table += [figures_of(kind, of_kind[kind], exact.get(kind)) for kind in SHARES]
    return {
        "figures": [asdict(row) for row in table],
        "late_ms": np.percentile([a.late_ms for a in answers], [50, 95, 99]).tolist(),
        "first_errors": [a.error for a in answers if a.error][:3],
        "server_cores": cores,
        "memory": asdict(memory),
        "written_s": written_s,
        "built_s": built_s,
        "status": {name: value for name, value in status.items() if name != "shards"},
        "segments": [shard["segments"] for shard in status["shards"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--ef", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="on the disk to use; default: temporary")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="a small run that shows that it works")
    add_data_option(parser)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.seconds, options.results = 5_000, 5.0, Path(os.devnull)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = run(options, Path(folder))
    shape = {name: getattr(options, name) for name in ("rows", "dimension", "rate", "ef")}
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()}
    kept = {**shape, "seconds": options.seconds, "k": K, **machine, **figures}
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(kept, indent=1) + "\n")
    title = f"{options.rows:,} x {options.dimension}, {options.rate:g} requests/s, ef {options.ef}"
    show(title, [Figures(**row) for row in figures["figures"]])
    show("memory", [Memory(**figures["memory"])])
    late = ", ".join(f"{value:.2f}" for value in figures["late_ms"])
    print(f"\nthe generator sent late by p50, p95, p99: {late} ms")
    print(f"the server kept {figures['server_cores']:.2f} of {os.cpu_count()} cores busy")
    print(*figures["first_errors"], sep="\n")


if __name__ == "__main__":
    main()
