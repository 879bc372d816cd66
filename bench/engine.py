"""The shard engine, in process and without Ray, beside raw hnswlib, raw faiss and numpy.

    python -m bench.engine [--rows 100000] [--queries 500] [--part unfiltered --part filters]
    python -m bench.engine --costs

All in one run, so that the ratios hold on a noisy machine. Prints recall@10 with every latency, and
writes bench/results/engine.json, where the parts that were not run keep their figures. `--costs`
measures the constants of akidb_ray/segment/cost.py instead.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench import engine_films, engine_filters, engine_plain, engine_texts, engine_writes
from bench.engine_costs import costs
from bench.engine_indexes import Indexes
from bench.engine_measuring import K, show
from bench.vectors import add_data_option, film_corpus, fresh_films

# numpy reads it when it is imported. Its threads would go on spinning for a while after each
# product, on the cores of what is measured next.
_ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
_PACKAGES = ("faiss-cpu", "hnswlib", "numpy", "pyarrow")
RESULTS = Path(__file__).parent / "results" / "engine.json"


@dataclass(frozen=True)
class Part:
    """What can be measured by itself; `over` says on which rows."""

    over: str
    measure: Callable[[], list[Any]]


def parts_of(options: argparse.Namespace, folder: Path) -> dict[str, Part]:
    """What can be measured, by name. Indexes are shared, and made when they are first needed."""
    data, threads = options.data, options.threads
    corpus = film_corpus(data, options.rows, options.queries, K)
    real_rows = len(np.load(data / "wiki_movies" / "minilm_base.npy", mmap_mode="r"))
    real = film_corpus(data, real_rows, options.queries, K)
    rows = engine_filters.corpus_rows(corpus.base)
    large = Indexes("corpus", rows, corpus.queries, folder, threads)
    film_rows = engine_films.film_rows(data, real.base)
    films = Indexes("films", film_rows, real.queries, folder, threads)
    fresh = fresh_films(data, options.rows, options.rows // 2)
    of_large, of_films = f"{len(corpus.base):,} vectors", f"{len(real.base):,} films"
    return {
        "build": Part(of_large, lambda: engine_plain.build(large)),
        "unfiltered": Part(of_large, lambda: engine_plain.unfiltered(large)),
        "films": Part(of_films, lambda: engine_filters.filtered_films(films, data, folder)),
        "filters": Part(of_large, lambda: engine_filters.filtered_corpus(large, folder)),
        "writes": Part(of_large, lambda: engine_writes.concurrent_writes(large, fresh, folder)),
        "churn": Part(of_large, lambda: engine_writes.churn(large, fresh, folder)),
        "threads": Part(of_large, lambda: engine_plain.threads(large)),
        "text": Part("all films", lambda: engine_texts.texts(films, data, folder)),
        "costs": Part(of_large, lambda: costs(corpus.base, corpus.queries, folder, threads)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--threads", type=int, default=4, help="threads of an index build")
    parser.add_argument("--part", action="append", help="run this one; may be repeated")
    parser.add_argument("--costs", action="store_true", help="the same as --part costs")
    parser.add_argument("--cache", type=Path, help="folder in which indexes are kept for next time")
    add_data_option(parser)
    options = parser.parse_args()
    if not _ONE_BLAS_THREAD.items() <= os.environ.items():
        again = [sys.executable, "-m", "bench.engine", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, **_ONE_BLAS_THREAD})
    with tempfile.TemporaryDirectory() as folder:
        if options.cache is not None:
            options.cache.mkdir(parents=True, exist_ok=True)
        run(options, options.cache or Path(folder))


def run(options: argparse.Namespace, folder: Path) -> None:
    parts = parts_of(options, folder)
    chosen = [*(options.part or ()), *(["costs"] if options.costs else [])]
    for name in chosen or [name for name in parts if name != "costs"]:
        started, cores = time.perf_counter(), psutil.cpu_times()
        table = parts[name].measure()
        stolen = stolen_share(cores, psutil.cpu_times())
        show(f"{name}: {parts[name].over}, {options.queries} queries, top {K}", table)
        took_s = time.perf_counter() - started
        print(f"\n{took_s:.0f} s, {stolen:.0%} of the busy time was stolen", flush=True)
        keep(name, parts[name].over, options, stolen, table)


def stolen_share(before: Any, after: Any) -> float:
    """Of the time that cores were wanted, what the hypervisor gave to other machines. With much of
    it, rates of many threads mean little.
    """
    spent = {name: getattr(after, name) - getattr(before, name) for name in after._fields}
    stolen = spent.get("steal", 0.0)
    busy = stolen + spent["user"] + spent["system"] + spent.get("nice", 0.0)
    return stolen / busy if busy else 0.0


def keep(
    name: str, over: str, options: argparse.Namespace, stolen: float, table: list[Any]
) -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {
        "over": over,
        "queries": options.queries,
        "threads": options.threads,
        "load": os.getloadavg(),
        "stolen_share": stolen,
        "python": platform.python_version(),
        "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
        "figures": [asdict(row) for row in table],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
