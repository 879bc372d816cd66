"""Filtered search: real conditions on films, and conditions of a known selectivity."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.filter import Filter, Match, Range
from akidb_ray.domain.query import VectorQuery
from akidb_ray.shard.replica import Replica
from bench.engine_films import film_cases
from bench.engine_indexes import (
    ALL,
    SHARD,
    Indexes,
    Rows,
    enough_ef,
    open_shard,
)
from bench.engine_measuring import Engine, K, Mask, Truth, interleaved
from bench.vectors import SEED, Floats

UNFILTERED, COLD = "shard, unfiltered", "shard, cold masks"
_SHARES = (0.5, 0.1, 0.01, 0.001)
_CLUSTERS, _EXCLUDED_SHARE = 256, 0.05
# Of hnswlib a query with a rare filter may take a second.
_QUERIES, _HEAVY_QUERIES = 200, 50


@dataclass(frozen=True, eq=False)
class FilterCase:
    """For each query a filter, the rows that it allows, and the exact answers."""

    name: str
    filters: Sequence[Filter]
    masks: Sequence[Mask]
    truth: Truth


@dataclass(frozen=True)
class FilterFigures:
    """`ratio` is that of the median to the shard's unfiltered one, at its own equal recall; `short`
    the share of queries that got fewer rows than match. `way` says how the planner searched.
    """

    case: str
    matches: float
    engine: str
    ef: int
    recall: float
    p50_ms: float
    p95_ms: float
    ratio: float
    short: float
    way: str


def filtered_films(films: Indexes, data: Path, folder: Path) -> list[FilterFigures]:
    cases = [
        FilterCase(name, filters, masks, truth)
        for name, filters, masks, truth in film_cases(data, films.base, films.queries[:_QUERIES])
    ]
    return _all_cases(films, cases, folder)


def filtered_corpus(corpus: Indexes, folder: Path) -> list[FilterFigures]:
    return _all_cases(corpus, list(_corpus_cases(corpus)), folder)


def corpus_payloads(base: Floats) -> list[bytes]:
    """`n` is a different number below the number of rows for each, at random; `c` is the nearest of
    some rows.
    """
    numbers = _numbers(len(base))
    clusters = np.argmax(base @ _centers(base).T, axis=1)
    return [b'{"n": %d, "c": %d}' % pair for pair in zip(numbers, clusters, strict=True)]


def _numbers(rows: int) -> NDArray[np.int64]:
    return np.random.default_rng(SEED).permutation(rows)


def _centers(base: Floats) -> Floats:
    return base[np.random.default_rng(SEED).choice(len(base), _CLUSTERS, replace=False)]


def random_filter(rows: int, share: float) -> Filter:
    return Filter(must=(Range("n", lt=round(rows * share)),))


def _corpus_cases(corpus: Indexes) -> Iterator[FilterCase]:
    queries, rows = corpus.queries[:_QUERIES], len(corpus.base)
    numbers = _numbers(rows)
    for share in _SHARES:
        masks = [numbers < round(rows * share)] * len(queries)
        filters = [random_filter(rows, share)] * len(queries)
        truth = Truth.of(corpus.base, queries, masks)
        yield FilterCase(f"random {share:.1%}", filters, masks, truth)
    centers = _centers(corpus.base)
    clusters = np.argmax(corpus.base @ centers.T, axis=1)
    sizes = np.bincount(clusters, minlength=_CLUSTERS)
    filters, masks = [], []
    for query in queries:
        nearest = np.argsort(-(centers @ query))
        enough = int(np.searchsorted(np.cumsum(sizes[nearest]), _EXCLUDED_SHARE * rows)) + 1
        excluded = nearest[:enough]
        filters.append(Filter(must_not=(Match("c", tuple(excluded.tolist())),)))
        masks.append(~np.isin(clusters, excluded))
    truth = Truth.of(corpus.base, queries, masks)
    yield FilterCase("all but the nearest 5 %", filters, masks, truth)


def _all_cases(indexes: Indexes, cases: Sequence[FilterCase], folder: Path) -> list[FilterFigures]:
    copied = indexes.copied_shard(folder / "cold.shard")
    cold = open_shard(copied, indexes.policy, with_masks=False)
    try:
        return [figures for case in cases for figures in _measured(indexes, case, cold)]
    finally:
        cold.close()


def _measured(indexes: Indexes, case: FilterCase, cold: Replica) -> Iterator[FilterFigures]:
    unfiltered_ef = indexes.equal_ef[SHARD]

    def shard(ef: int) -> Engine:
        return indexes.of_shard(ef, case.filters)

    # From the unfiltered one on: nobody would choose a smaller one for a filter.
    ef = enough_ef(shard, case.truth, least=unfiltered_ef)
    engines = [
        indexes.of_shard(unfiltered_ef, name=UNFILTERED),
        shard(ef),
        indexes.of_shard(ef, case.filters, cold, COLD),
        indexes.of_faiss(ef, case.masks),
    ]
    # These read so much that the others would find their caches empty.
    heavy = [indexes.of_hnswlib(ef, case.masks), indexes.of_numpy(case.masks)]
    timings = interleaved(engines, len(case.filters)) | interleaved(heavy, _HEAVY_QUERIES)
    basis_ms = timings[UNFILTERED].p50_ms
    matches = float(np.median([np.count_nonzero(mask) for mask in case.masks]))
    way = ways_taken(indexes.shard, indexes.queries, case.filters, ef)
    for engine, timing in timings.items():
        truth = indexes.truth.first(len(case.filters)) if engine == UNFILTERED else case.truth
        yield FilterFigures(
            case.name,
            matches,
            engine,
            unfiltered_ef if engine == UNFILTERED else ef,
            truth.recall(timing.found),
            timing.p50_ms,
            timing.p95_ms,
            timing.p50_ms / basis_ms,
            truth.short_share(timing.found),
            way if engine == SHARD else "",
        )


def ways_taken(replica: Replica, queries: Floats, filters: Sequence[Filter], ef: int) -> str:
    """How often each way was taken, and how often a graph was asked again."""
    ways: Counter[str] = Counter()
    for query, filter in zip(queries, filters, strict=False):
        _, explanation = replica.view().explained(VectorQuery(query, K, filter, ef), ALL)
        for segment in explanation.segments:
            ways[segment.way + (" widened" if segment.widened else "")] += 1
    total = sum(ways.values())
    return ", ".join(f"{way} {count / total:.0%}" for way, count in ways.most_common())


def corpus_rows(base: Floats) -> Rows:
    return Rows(base, corpus_payloads(base), [None] * len(base))
