"""Building, unfiltered search, and many threads: the shard beside the raw libraries."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import faiss
import psutil

from akidb_ray.domain.query import VectorQuery
from akidb_ray.index.faiss_threads import use_threads
from bench.engine_indexes import (
    ALL,
    FAISS,
    HNSWLIB,
    NUMPY,
    RANKED,
    SHARD,
    Built,
    Indexes,
    load_hnswlib,
    one_segment,
    open_shard,
)
from bench.engine_measuring import Engine, K, answered, interleaved, median_of_rounds, rate
from bench.vectors import Floats

_BUILDS, _OPENED_QUERIES = 2, 50
_ROUNDS, _TURN = 3, 25
_RATE_ROUNDS, _SECONDS = 7, 0.4
_FIXED_EFS, _THREADS, _BATCH_THREADS = (64, 200), (1, 2, 4, 8), 4


@dataclass(frozen=True)
class BuildFigures:
    """The best of several builds that take turns, by the clock and on the cores. Writing is not in
    `build_s` of the shard, sealing is. Memory is what opening and searching added.
    """

    engine: str
    build_s: float
    cpu_s: float
    ratio: float
    cpu_ratio: float
    write_s: float
    open_s: float
    anonymous_mib: float
    resident_mib: float


@dataclass(frozen=True)
class SearchFigures:
    """One thread; `ratio` is that of the median to raw hnswlib's."""

    case: str
    engine: str
    ef: int
    recall: float
    p50_ms: float
    p95_ms: float
    ratio: float


@dataclass(frozen=True)
class ThreadFigures:
    """`ratio` is that of the rate to raw hnswlib's."""

    case: str
    engine: str
    threads: int
    ef: int
    recall: float
    requests_per_s: float
    ratio: float


def build(indexes: Indexes) -> list[BuildFigures]:
    whole, parts = f"{SHARD}, seal and graph", (f"{SHARD}, seal", f"{SHARD}, graph")
    built: dict[str, list[Built]] = {}
    for _ in range(_BUILDS):
        built.setdefault(HNSWLIB, []).append(indexes.build_hnswlib())
        sealing, indexing = indexes.build_shard()
        total = Built(
            sealing.build_s + indexing.build_s, sealing.cpu_s + indexing.cpu_s, sealing.write_s
        )
        for name, one in zip((whole, *parts), (total, sealing, indexing), strict=True):
            built.setdefault(name, []).append(one)
        built.setdefault(FAISS, []).append(indexes.build_faiss())
    openings = {
        HNSWLIB: opening(_open_hnswlib, indexes.hnswlib_path, indexes.queries),
        FAISS: opening(_open_faiss, indexes.faiss_path, indexes.queries),
        whole: opening(_open_shard, indexes.shard_path, indexes.queries),
    }
    best = {name: _best(builds) for name, builds in built.items()}
    raw = best[HNSWLIB]
    return [
        BuildFigures(
            name,
            one.build_s,
            one.cpu_s,
            one.build_s / raw.build_s,
            one.cpu_s / raw.cpu_s,
            one.write_s,
            *openings.get(name, (0.0, 0.0, 0.0)),
        )
        for name, one in best.items()
    ]


def _best(builds: list[Built]) -> Built:
    return Built(
        min(one.build_s for one in builds),
        min(one.cpu_s for one in builds),
        min(one.write_s for one in builds),
    )


Open = Callable[[Path, Floats], Callable[[int], object]]


def opening(open_index: Open, path: Path, queries: Floats) -> tuple[float, float, float]:
    """Seconds to open, MiB of anonymous and of all memory that are there after some searches, in a
    process of its own.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_opened, open_index, path, queries[:_OPENED_QUERIES]).result()


def _opened(open_index: Open, path: Path, queries: Floats) -> tuple[float, float, float]:
    before = psutil.Process().memory_info()
    started = time.perf_counter()
    search = open_index(path, queries)
    open_s = time.perf_counter() - started
    for number in range(len(queries)):
        search(number)
    after = psutil.Process().memory_info()
    resident = after.rss - before.rss
    return open_s, (resident - after.shared + before.shared) / 2**20, resident / 2**20


def _open_hnswlib(path: Path, queries: Floats) -> Callable[[int], object]:
    index = load_hnswlib(path, queries.shape[1])
    return lambda number: index.knn_query(queries[number], K, num_threads=1)


def _open_faiss(path: Path, queries: Floats) -> Callable[[int], object]:
    index = faiss.read_index(str(path))
    use_threads(1)
    return lambda number: index.search(queries[number : number + 1], K)


def _open_shard(path: Path, queries: Floats) -> Callable[[int], object]:
    replica = open_shard(path, one_segment(1, 1))
    return lambda number: replica.view().search(VectorQuery(queries[number], K), ALL)


def unfiltered(indexes: Indexes) -> list[SearchFigures]:
    """Query by query, and with some queries at once, see `interleaved`."""
    efs = indexes.equal_ef
    figures = searched("equal recall", indexes, _engines(indexes, efs), efs)
    figures += searched("equal recall, in turns", indexes, _engines(indexes, efs), efs, _TURN)
    for ef in _FIXED_EFS:
        same = dict.fromkeys(efs, ef)
        figures += searched(f"ef {ef}, in turns", indexes, _engines(indexes, same), same, _TURN)
    return [*figures, _exact(indexes, figures[0].p50_ms)]


def _exact(indexes: Indexes, raw_ms: float) -> SearchFigures:
    """By itself: it reads all vectors, and so empties the caches."""
    timing = interleaved([indexes.of_numpy()], len(indexes.queries) // 5)[NUMPY]
    recall, p50_ms = indexes.truth.recall(timing.found), timing.p50_ms
    return SearchFigures("exact", NUMPY, 0, recall, p50_ms, timing.p95_ms, p50_ms / raw_ms)


def _engines(indexes: Indexes, efs: dict[str, int]) -> list[Engine]:
    return [
        indexes.of_hnswlib(efs[HNSWLIB]),
        indexes.of_faiss(efs[FAISS]),
        indexes.of_shard(efs[SHARD]),
        indexes.of_ranked(efs[SHARD]),
    ]


def searched(
    case: str, indexes: Indexes, engines: list[Engine], efs: dict[str, int], at_once: int = 1
) -> list[SearchFigures]:
    timings = interleaved(engines, len(indexes.queries), _ROUNDS, at_once)
    raw_ms = timings[HNSWLIB].p50_ms
    return [
        SearchFigures(
            case,
            name,
            efs[SHARD if name == RANKED else name],
            indexes.truth.recall(timing.found),
            timing.p50_ms,
            timing.p95_ms,
            timing.p50_ms / raw_ms,
        )
        for name, timing in timings.items()
    ]


def threads(indexes: Indexes) -> list[ThreadFigures]:
    """At equal recall, and at one ef for all."""
    efs = indexes.equal_ef
    same = dict.fromkeys(efs, _FIXED_EFS[-1])
    figures = one_by_one("equal recall", indexes, efs)
    figures += _batches("equal recall, one batch", indexes, efs)
    return figures + one_by_one(f"ef {_FIXED_EFS[-1]}", indexes, same)


def one_by_one(case: str, indexes: Indexes, efs: dict[str, int]) -> list[ThreadFigures]:
    """Threads that each ask again as soon as they are answered."""
    queries = len(indexes.queries)
    engines = {engine.name: engine for engine in _engines(indexes, efs)}
    recalls = {name: indexes.truth.recall(answered(one, queries)) for name, one in engines.items()}
    efs = {**efs, RANKED: efs[SHARD]}
    figures = []
    for count in _THREADS:
        rates = median_of_rounds(
            {
                name: lambda one=one, count=count: rate(one, queries, count, _SECONDS)
                for name, one in engines.items()
            },
            _RATE_ROUNDS,
        )
        figures += [
            ThreadFigures(case, name, count, efs[name], recalls[name], got, got / rates[HNSWLIB])
            for name, got in rates.items()
        ]
    return figures


def _batches(case: str, indexes: Indexes, efs: dict[str, int]) -> list[ThreadFigures]:
    """All queries in one call, by several threads of the library."""
    queries = indexes.queries
    engines = {engine.name: engine for engine in _engines(indexes, efs)}
    asked = [VectorQuery(query, K, ef=efs[SHARD]) for query in queries]
    indexes.hnswlib.set_ef(efs[HNSWLIB])
    how = faiss.SearchParametersHNSW(efSearch=efs[FAISS])

    def by_faiss() -> object:
        use_threads(_BATCH_THREADS)
        return indexes.faiss.search(queries, K, params=how)

    work = {
        HNSWLIB: lambda: indexes.hnswlib.knn_query(queries, K, num_threads=_BATCH_THREADS),
        FAISS: by_faiss,
        SHARD: lambda: indexes.shard.view().search_many(asked, ALL, _BATCH_THREADS),
    }

    def rate_of(ask: Callable[[], object]) -> float:
        started = time.perf_counter()
        ask()
        return len(queries) / (time.perf_counter() - started)

    rates = median_of_rounds(
        {name: lambda ask=ask: rate_of(ask) for name, ask in work.items()}, _RATE_ROUNDS
    )
    return [
        ThreadFigures(
            case,
            name,
            _BATCH_THREADS,
            efs[name],
            indexes.truth.recall(answered(engines[name], len(queries))),
            got,
            got / rates[HNSWLIB],
        )
        for name, got in rates.items()
    ]
