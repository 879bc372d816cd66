"""Searches of `akidb serve` under load, over each of its protocols, beside a Chroma server.

    python -m bench.serve [--rows 100000] [--queries 500] [--seconds 5] [--clients 1 8 32 128]
                          [--quick] [--no-chroma] [--cache FOLDER] [--data FOLDER]

Both servers run at the same time on the same data, with graphs made alike (M 32, efConstruction
200), each searched with the smallest ef of a ladder that finds the wanted recall without a filter.
They are loaded in turn, so that ratios hold on a noisy machine. Filters ask for one value of a
field, which another query of the run may ask for, too. Answers hold ids, scores and payloads.

Recall@10 is that of the very answers that were timed. Clients and servers share the cores: the
table says how many each kept busy, and an empty answer of the same server, loaded by the same
clients, says what these reach at most. Prints tables, and writes bench/results/serve.json.
"""

import argparse
import bisect
import contextlib
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import akidb_server, chroma_server
from bench.engine_measuring import show
from bench.exact import ExactNearest
from bench.load import Load, LoadGenerator, Target, recall_of
from bench.processes import cpu_s
from bench.serve_requests import (
    CASES,
    AkidbGrpc,
    AkidbRest,
    Chroma,
    Health,
    K,
    Labels,
    Server,
)
from bench.vectors import Corpus, add_data_option, film_corpus

RESULTS = Path(__file__).parent / "results" / "serve.json"
LADDER = (32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 400, 512, 640, 800)
BATCH = 1000
DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "akidb-bench"


@dataclass(frozen=True)
class Row:
    """A line of the table: what was asked of whom, and what came of it."""

    server: str
    filter: str
    load: Load


@dataclass(frozen=True)
class Shown:
    server: str
    filter: str
    clients: int
    requests_per_s: float
    x_chroma: str
    p50_ms: float
    p95_ms: float
    p99_ms: float
    recall: str
    errors: int
    server_cores: float
    client_cores: float


class Bench:
    """One run: the data, its exact answers, and the rows of the table so far."""

    def __init__(self, corpus: Corpus, options: argparse.Namespace) -> None:
        self.corpus = corpus
        self.options = options
        self.labels = Labels.of(len(corpus.base))
        self.exact = {case.name: ExactNearest(corpus.queries, K) for case in CASES}
        for case in CASES:
            allowed = self.labels.allowed(case, len(corpus.queries))
            self.exact[case.name].add(0, corpus.base, allowed)
        self.rows: list[Row] = []
        self.built_s: dict[str, float] = {}

    def fill(self, name: str, write: Callable[[int, int], None], built: Callable[[], Any]) -> None:
        """Write all rows, and wait until graphs hold them."""
        started = time.perf_counter()
        rows = len(self.corpus.base)
        for start in range(0, rows, BATCH):
            write(start, min(start + BATCH, rows))
        written_s = time.perf_counter() - started
        built()
        built_s = time.perf_counter() - started
        self.built_s[name] = built_s
        print(f"{name}: {rows:,} rows in {written_s:.1f} s, built in {built_s:.1f} s", flush=True)

    def choose_ef(self, server: Server) -> int:
        """The smallest of the ladder with which the server finds the wanted recall."""
        exact = self.exact["none"]

        def finds_enough(ef: int) -> bool:
            recall = recall_of(server.target(CASES[0], self.corpus.queries, ef), exact)
            print(f"{server.name}: ef {ef} finds {recall:.4f}", flush=True)
            return recall >= self.options.recall

        place = bisect.bisect_left(LADDER, True, key=finds_enough)
        if place == len(LADDER):
            raise RuntimeError(f"{server.name} finds less than {self.options.recall}")
        return LADDER[place]

    def load(self, generator: LoadGenerator, servers: list[tuple[Server, int]]) -> None:
        """Each number of clients and each filter, all servers in turn."""
        for clients in self.options.clients:
            for case in CASES:
                for server, ef in servers:
                    if case.key is None or server.filtered:
                        target = server.target(case, self.corpus.queries, ef)
                        self._play(generator, server, target, clients, case.name)

    def _play(
        self, generator: LoadGenerator, server: Server, target: Target, clients: int, case: str
    ) -> None:
        processes = server.processes()
        exact = self.exact[case] if server.searches else None
        seconds = self.options.seconds
        load = generator.play(target, clients, seconds, lambda: cpu_s(processes), exact)
        self.rows.append(Row(server.name, case, load))
        print(
            f"{server.name:<18} {case:>5} {clients:>4} clients {load.requests_per_s:>8.0f}/s"
            f"  p50 {load.p50_ms:.2f}  errors {load.errors} {load.first_error}",
            flush=True,
        )


@contextlib.contextmanager
def filled_akidb(bench: Bench, folder: Path) -> Iterator[akidb_server.AkidbServer]:
    with akidb_server.running_akidb(folder) as server:
        server.create_films(bench.corpus.base.shape[1])
        payloads = [json.dumps(bench.labels.payload(row)) for row in range(len(bench.corpus.base))]

        def write(start: int, end: int) -> None:
            server.write(start, bench.corpus.base[start:end], payloads[start:end])

        bench.fill("akidb", write, server.wait_until_built)
        yield server


@contextlib.contextmanager
def filled_chroma(bench: Bench, folder: Path, cache: Path) -> Iterator[chroma_server.ChromaServer]:
    with chroma_server.ChromaServer(folder, cache) as server:
        server.create_films()

        def write(start: int, end: int) -> None:
            payloads = [bench.labels.payload(row) for row in range(start, end)]
            server.write(start, bench.corpus.base[start:end], payloads)

        first = bench.corpus.queries[0].tolist()
        bench.fill("chroma", write, lambda: server.wait_until_built(first))
        yield server


def run(bench: Bench, folder: Path) -> dict[str, int]:
    """Returns the ef of each server."""
    options = bench.options
    with contextlib.ExitStack() as stack:
        akidb = stack.enter_context(filled_akidb(bench, folder))
        rest = AkidbRest(akidb)
        ef = {"akidb": bench.choose_ef(rest)}
        ours: list[Server] = [rest, AkidbRest(akidb, numbers=True), AkidbGrpc(akidb)]
        servers = [(server, ef["akidb"]) for server in ours]
        if options.chroma:
            chroma = Chroma(stack.enter_context(filled_chroma(bench, folder, options.cache)))
            ef["chroma"] = bench.choose_ef(chroma)
            servers.append((chroma, ef["chroma"]))
        generator = stack.enter_context(LoadGenerator(options.processes))
        bench.load(generator, [*servers, (Health(akidb), 0)])
    return ef


def keep(bench: Bench, ef: dict[str, int]) -> None:
    figures = {
        "rows": len(bench.corpus.base),
        "dimension": bench.corpus.base.shape[1],
        "queries": len(bench.corpus.queries),
        "k": K,
        "ef": ef,
        "written_and_built_s": bench.built_s,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "client_processes": bench.options.processes,
        "seconds": bench.options.seconds,
        "versions": {
            **{name: importlib.metadata.version(name) for name in ("ray", "faiss-cpu", "numpy")},
            "chroma": chroma_server.VERSION,
        },
        "figures": [{"server": r.server, "filter": r.filter, **asdict(r.load)} for r in bench.rows],
    }
    bench.options.results.parent.mkdir(exist_ok=True)
    bench.options.results.write_text(json.dumps(figures, indent=1) + "\n")


def shown(row: Row, chroma: dict[tuple[str, int], float]) -> Shown:
    """`chroma` has its requests per second by filter and number of clients."""
    load = row.load
    beside = chroma.get((row.filter, load.clients)) if load.recall is not None else None
    return Shown(
        server=row.server,
        filter=row.filter,
        clients=load.clients,
        requests_per_s=load.requests_per_s,
        x_chroma="" if beside is None else f"{load.requests_per_s / beside:.2f}",
        p50_ms=load.p50_ms,
        p95_ms=load.p95_ms,
        p99_ms=load.p99_ms,
        recall="" if load.recall is None else f"{load.recall:.4f}",
        errors=load.errors,
        server_cores=load.server_cores,
        client_cores=load.client_cores,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--recall", type=float, default=0.99, help="that both servers must reach")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--processes", type=int, default=2, help="that the clients live in")
    parser.add_argument("--no-chroma", dest="chroma", action="store_false")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where Chroma is kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="a small run that shows that it works")
    add_data_option(parser)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.queries, options.seconds = 5_000, 100, 0.5
        options.clients, options.results = [1, 8], Path(os.devnull)
    bench = Bench(film_corpus(options.data, options.rows, options.queries, K), options)
    with tempfile.TemporaryDirectory() as folder:
        ef = run(bench, Path(folder))
    keep(bench, ef)
    dimension = bench.corpus.base.shape[1]
    chroma = {
        (row.filter, row.load.clients): row.load.requests_per_s
        for row in bench.rows
        if row.server == Chroma.name
    }
    title = f"{options.rows:,} x {dimension}, cosine, top {K}, ef {ef}"
    show(title, [shown(row, chroma) for row in bench.rows])


if __name__ == "__main__":
    main()
