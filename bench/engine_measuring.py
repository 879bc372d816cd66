"""How the engine's figures are taken and shown."""

import dataclasses
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.vectors import Floats

K = 10
# Rows whose similarity differs by no more are equally near: films are listed twice.
_EQUAL = 1e-6
_WARM_UP = 20
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Engine:
    """`ask` answers query number n, and is what is timed; `rows` makes row numbers of an answer."""

    name: str
    ask: Callable[[int], Any]
    rows: Callable[[Any], Sequence[int]]


@dataclass(frozen=True, eq=False)
class Timing:
    """What one engine answered to each query, and how long each answer took."""

    found: Sequence[Sequence[int]]
    took_ms: Sequence[float]

    @property
    def p50_ms(self) -> float:
        return float(np.percentile(self.took_ms, 50))

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.took_ms, 95))


@dataclass(frozen=True, eq=False)
class Truth:
    """The exact answers: for each query the similarity of its `K`-th nearest allowed row, and how
    many rows are wanted, fewer than `K` where fewer are allowed.
    """

    base: Floats
    queries: Floats
    borders: Floats
    wanted: NDArray[np.int64]

    @classmethod
    def of(cls, base: Floats, queries: Floats, masks: Sequence[Mask] | None = None) -> "Truth":
        """By comparing everything. `masks` has one for each query."""
        borders = np.full(len(queries), -np.inf, np.float32)
        wanted = np.zeros(len(queries), np.int64)
        for number, query in enumerate(queries):
            products = base @ query
            if masks is not None:
                products = products[masks[number]]
            wanted[number] = min(K, len(products))
            if len(products):
                place = len(products) - wanted[number]
                borders[number] = np.partition(products, place)[place]
        return cls(base, queries, borders, wanted)

    def first(self, queries: int) -> "Truth":
        """Of the first queries alone."""
        part = slice(queries)
        return Truth(self.base, self.queries[part], self.borders[part], self.wanted[part])

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """Mean share of the nearest that was found, over the queries that have any."""
        shares = []
        for number, rows in enumerate(found):
            if self.wanted[number]:
                near = self.base[np.asarray(rows, np.int64)] @ self.queries[number]
                right = int(np.count_nonzero(near >= self.borders[number] - _EQUAL))
                shares.append(min(1.0, right / self.wanted[number]))
        return float(np.mean(shares))

    def short_share(self, found: Sequence[Sequence[int]]) -> float:
        """Share of the queries that got fewer rows than there are, up to `K`."""
        pairs = zip(found, self.wanted, strict=False)
        return float(np.mean([len(rows) < wanted for rows, wanted in pairs]))


def interleaved(
    engines: Sequence[Engine], queries: int, rounds: int = 1, at_once: int = 1
) -> dict[str, Timing]:
    """Ask all engines the same few queries before the next ones, so that noise hits all alike.

    They take turns in being first. Each query is asked `rounds` times. With one query `at_once`
    each engine finds its code and data pushed out of the caches by the others, as in a process that
    does other work between searches; with many it has them at hand.
    """
    found: dict[str, list[Any]] = {engine.name: [] for engine in engines}
    took_ms: dict[str, list[float]] = {engine.name: [] for engine in engines}
    for engine in engines:
        for number in range(min(_WARM_UP, queries)):
            engine.ask(number)
    for turn, start in enumerate(range(0, rounds * queries, at_once)):
        first = turn % len(engines)
        for engine in (*engines[first:], *engines[:first]):
            for place in range(start, min(start + at_once, rounds * queries)):
                started = time.perf_counter()
                answer = engine.ask(place % queries)
                took_ms[engine.name].append((time.perf_counter() - started) * 1000)
                if place < queries:
                    found[engine.name].append(engine.rows(answer))
    return {name: Timing(found[name], took_ms[name]) for name in found}


def answered(engine: Engine, queries: int) -> list[Sequence[int]]:
    return [engine.rows(engine.ask(number)) for number in range(queries)]


def rate(engine: Engine, queries: int, threads: int, seconds: float) -> float:
    """Answers per second of so many threads that ask at once."""
    done = [0] * threads
    barrier = threading.Barrier(threads + 1)
    stop = threading.Event()

    def ask(thread: int) -> None:
        engine.ask(thread)
        number = thread * queries // threads
        barrier.wait()
        while not stop.is_set():
            engine.ask(number % queries)
            number += 1
            done[thread] += 1

    workers = [threading.Thread(target=ask, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    started = time.perf_counter()
    stop.wait(seconds)
    answers, took_s = sum(done), time.perf_counter() - started
    stop.set()
    for worker in workers:
        worker.join()
    return answers / took_s


def median_of_rounds(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Take all measures in turn, `rounds` times; the median of each."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: statistics.median(values) for name, values in taken.items()}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of all threads of the process on the cores."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def show(title: str, rows: Sequence[Any]) -> None:
    """Print dataclasses of one kind as a table of Markdown."""
    one, five, _ = os.getloadavg()
    print(f"\n### {title}\n\n(load {one:.1f}, {five:.1f})\n")
    names = [field.name for field in dataclasses.fields(rows[0])]
    table = [[_cell(getattr(row, name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *table, strict=True)]
    for line in _lines(names, table, widths):
        print(f"| {' | '.join(line)} |", flush=True)


def _lines(
    names: Sequence[str], table: Sequence[Sequence[str]], widths: Sequence[int]
) -> Iterator[list[str]]:
    yield [name.ljust(width) for name, width in zip(names, widths, strict=True)]
    yield ["-" * width for width in widths]
    for row in table:
        yield [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if value and abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
