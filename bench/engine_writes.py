"""Searching while rows are written, and after many were replaced."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import EVERYTHING, Filter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import ShardDelete, ShardUpsert
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.merging import improve
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush
from bench.engine_filters import random_filter, ways_taken
from bench.engine_indexes import (
    ALL,
    KEY,
    SHARD,
    Indexes,
    build_hnswlib,
    load_hnswlib,
    open_shard,
)
from bench.engine_measuring import Engine, K, Truth, interleaved
from bench.vectors import SEED, Floats

_BATCH, _BATCHES_PER_S = 100, 10
_SEAL_ROWS, _SECONDS, _QUIET_SECONDS = 5_000, 20.0, 4.0
# Such a number that all queries get their turn.
_CHECKED_EVERY = 11
_FILTERED_SHARE = 0.1
_CHURN_STEPS, _EQUAL = 10, 1e-6


@dataclass(frozen=True)
class WriteFigures:
    """Of searches while `phase`. At its end the view had so many segments, and so many rows that no
    graph held.
    """

    phase: str
    search: str
    ef: int
    searches: int
    recall: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    segments: int
    unindexed: int
    written_per_s: float


@dataclass(frozen=True)
class ChurnFigures:
    when: str
    engine: str
    rows: int
    segments: int
    ef: int
    recall: float
    p50_ms: float
    p95_ms: float
    settled_s: float
    way: str


def concurrent_writes(indexes: Indexes, fresh: Floats, folder: Path) -> list[WriteFigures]:
    """Batches of 100, half of them new rows, each acknowledged after fsync."""
    path = indexes.copied_shard(folder / "written.shard")
    replica = open_shard(path, ShardPolicy(seal_rows=_SEAL_ROWS))
    rows, ef = len(indexes.base), indexes.equal_ef[SHARD]
    written = [0]
    figures = _reading("quiet", replica, indexes, ef, _QUIET_SECONDS, written)

    def write() -> None:
        batch = _mixed_batch(fresh, rows, written[0])
        replica.write(ShardUpsert(KEY, batch, ALL))
        written[0] += len(batch)

    with _repeating(write, 1 / _BATCHES_PER_S):
        phase = "writing, no maintenance"
        figures += _reading(phase, replica, indexes, ef, _QUIET_SECONDS, written)
        with _repeating(lambda: flush(replica), 0.05), _repeating(lambda: improve(replica), 0.05):
            phase = "writing, sealing, building"
            figures += _reading(phase, replica, indexes, ef, _SECONDS, written)
    replica.close()
    shutil.rmtree(path)
    return figures


def _mixed_batch(fresh: Floats, rows: int, written: int) -> DocumentBatch:
    """The next vectors: for new ids, and by turns for ones that are there."""
    numbers = np.arange(written, written + _BATCH)
    vectors = fresh[numbers % len(fresh)]
    ids = [f"{number * 7919 % rows if number % 2 else rows + number}" for number in numbers]
    payloads = [b'{"n": %d}' % (number * 31 % rows) for number in numbers.tolist()]
    return DocumentBatch(ids, vectors, [None] * _BATCH, payloads)


@contextmanager
def _repeating(work: Callable[[], object], every_s: float) -> Iterator[None]:
    """Work in a thread of its own, at most so often."""
    stop = threading.Event()

    def run() -> None:
        while True:
            due = time.perf_counter() + every_s
            work()
            if stop.wait(max(0.0, due - time.perf_counter())):
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _reading(
    phase: str, replica: Replica, indexes: Indexes, ef: int, seconds: float, written: list[int]
) -> list[WriteFigures]:
    """Search by turns without and with a filter. What some searches found is compared afterwards
    with the exact answer on the same view.
    """
    filters = {
        "unfiltered": EVERYTHING,
        f"filter {_FILTERED_SHARE:.0%}": random_filter(len(indexes.base), _FILTERED_SHARE),
    }
    took_ms: dict[str, list[float]] = {name: [] for name in filters}
    checked: dict[str, list[Any]] = {name: [] for name in filters}
    started, number, before = time.perf_counter(), 0, written[0]
    while time.perf_counter() - started < seconds:
        vector = indexes.queries[number % len(indexes.queries)]
        for name, filter in filters.items():
            asked_at = time.perf_counter()
            view = replica.view()
            hits = view.search(VectorQuery(vector, K, filter, ef), ALL)
            took_ms[name].append((time.perf_counter() - asked_at) * 1000)
            if number % _CHECKED_EVERY == 0:
                checked[name].append((view, hits, vector, filter))
        number += 1
    per_s = (written[0] - before) / (time.perf_counter() - started)
    view = replica.view()
    return [
        WriteFigures(
            phase,
            name,
            ef,
            len(took_ms[name]),
            float(np.mean([_recall(*one) for one in checked[name]])),
            *(float(value) for value in np.percentile(took_ms[name], [50, 95, 99])),
            len(view.segments),
            view.unindexed_rows,
            per_s,
        )
        for name in filters
    ]


def _recall(view: Any, hits: Any, vector: Floats, filter: Filter) -> float:
    exact = view.search(VectorQuery(vector, K, filter, exact=True), ALL)
    return sum(hit.score >= exact[-1].score - _EQUAL for hit in hits) / len(exact)


def churn(indexes: Indexes, fresh: Floats, folder: Path) -> list[ChurnFigures]:
    """Replace half of the rows by others, a part at a time, with maintenance in between."""
    path = indexes.copied_shard(folder / "churned.shard")
    replica = open_shard(path, ShardPolicy(build_threads=indexes.threads, seal_idle_s=0.0))
    rows, ef = len(indexes.base), indexes.equal_ef[SHARD]
    figures = _beside_raw("before", replica, indexes, indexes.base, ef, indexes.hnswlib_path, 0.0)
    going = np.random.default_rng(SEED).permutation(rows)[: rows // 2]
    started = time.perf_counter()
    for part in np.array_split(np.arange(len(going)), _CHURN_STEPS):
        replica.write(ShardDelete(KEY, ALL, ids=[str(row) for row in going[part]]))
        ids = [str(rows + number) for number in part.tolist()]
        nothing = [None] * len(part)
        replica.write(ShardUpsert(KEY, DocumentBatch(ids, fresh[part], nothing, nothing), ALL))
        maintain(replica)
    replica.freeze()
    while maintain(replica):
        pass
    settled_s = time.perf_counter() - started
    after = np.vstack([indexes.base, fresh[: len(going)]])
    alive = np.ones(len(after), np.bool_)
    alive[going] = False
    raw_path = folder / "churned.hnswlib"
    build_hnswlib(after[alive], raw_path, indexes.threads)
    figures += _beside_raw(
        "after", replica, indexes, after, ef, raw_path, settled_s, np.flatnonzero(alive)
    )
    replica.close()
    shutil.rmtree(path)
    return figures


def _beside_raw(
    when: str,
    replica: Replica,
    indexes: Indexes,
    base: Floats,
    ef: int,
    raw_path: Path,
    settled_s: float,
    alive: Any = None,
) -> list[ChurnFigures]:
    """The shard, and raw hnswlib over the same rows, built at once. Ids are rows of `base`; `alive`
    holds those of the raw index.
    """
    numbers = np.arange(len(base)) if alive is None else alive
    mask = np.zeros(len(base), np.bool_)
    mask[numbers] = True
    truth = Truth.of(base, indexes.queries, [mask] * len(indexes.queries))
    index = load_hnswlib(raw_path, base.shape[1])
    index.set_ef(ef)
    raw = Engine(
        "raw hnswlib, built anew",
        lambda number: index.knn_query(indexes.queries[number], K, num_threads=1)[0][0],
        lambda found: numbers[found.astype(np.int64)].tolist(),
    )
    shard = indexes.of_shard(ef, replica=replica)
    segments = len(replica.view().segments)
    way = ways_taken(replica, indexes.queries, [EVERYTHING] * len(indexes.queries), ef)
    return [
        ChurnFigures(
            when,
            name,
            len(numbers),
            segments if name == SHARD else 1,
            ef,
            truth.recall(timing.found),
            timing.p50_ms,
            timing.p95_ms,
            settled_s if name == SHARD else 0.0,
            way if name == SHARD else "",
        )
        for name, timing in interleaved([raw, shard], len(indexes.queries)).items()
    ]
