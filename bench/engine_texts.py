"""Keyword and hybrid search over the films."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from akidb_ray.domain.collection import CollectionSpec, IndexKind
from akidb_ray.domain.filter import EVERYTHING
from akidb_ray.domain.query import HybridQuery, Query, TextQuery, VectorQuery
from akidb_ray.shard.replica import Replica
from bench.engine_films import Film, all_films, queried_films
from bench.engine_filters import random_filter
from bench.engine_indexes import (
    ALL,
    SHARD,
    Indexes,
    Rows,
    build_shard,
    one_segment,
    open_shard,
)
from bench.engine_measuring import Engine, K, interleaved
from bench.vectors import SEED

_SHARES = (0.5, 0.1, 0.01)
# Keyword search looks at no vectors, so the films get small ones.
_DIMENSION = 16
_WORDS = 12


@dataclass(frozen=True)
class TextFigures:
    """`short` is the share of queries with fewer than ten hits: few films may have any word."""

    search: str
    query: str
    filter: str
    words: float
    p50_ms: float
    p95_ms: float
    short: float


def texts(films: Indexes, data: Path, folder: Path) -> list[TextFigures]:
    asked = queried_films(data)[: len(films.queries)]
    queries = {
        "title": [film.title for film in asked],
        f"{_WORDS} words": [_beginning(film) for film in asked],
    }
    path = folder / "texts.shard"
    replica = _text_shard(all_films(data), path, films.threads)
    rows = replica.view().documents
    filters = {"none": EVERYTHING}
    filters |= {f"random {share:.0%}": random_filter(rows, share) for share in _SHARES}
    figures = []
    for kind, words in queries.items():
        searches: dict[str, Callable[[int], Query]] = {
            name: lambda number, words=words, filter=filter: TextQuery(words[number], K, filter)
            for name, filter in filters.items()
        }
        figures += _measured("BM25", kind, words, replica, searches)
    replica.close()
    shutil.rmtree(path)
    return figures + _hybrids(films, queries)


def _beginning(film: Film) -> str:
    return " ".join(film.extract.split()[:_WORDS]) or film.title


def _text_shard(films: Sequence[Film], path: Path, threads: int) -> Replica:
    random = np.random.default_rng(SEED)
    vectors = random.standard_normal((len(films), _DIMENSION)).astype(np.float32)
    payloads = [b'{"n": %d}' % number for number in random.permutation(len(films)).tolist()]
    rows = Rows(vectors, payloads, [film.text for film in films])
    build_shard(rows, path, threads, CollectionSpec(_DIMENSION, index_kind=IndexKind.FLAT))
    return open_shard(path, one_segment(len(films), threads))


def _hybrids(films: Indexes, queries: dict[str, list[str]]) -> list[TextFigures]:
    """Beside its two parts, each for as many documents as are fused."""
    ef, vectors, figures = films.equal_ef[SHARD], films.queries, []
    depth = HybridQuery(vectors[0], "").candidates
    for kind, words in queries.items():
        searches: dict[str, Callable[[int], Query]] = {
            "hybrid": lambda n, words=words: HybridQuery(vectors[n], words[n], limit=K, ef=ef),
            "its vector part": lambda n: VectorQuery(vectors[n], depth, ef=ef, with_payload=False),
            "its text part": lambda n, words=words: TextQuery(words[n], depth, with_payload=False),
        }
        for name, ask in searches.items():
            figures += _measured(name, kind, words, films.shard, {"none": ask})
    return figures


def _measured(
    search: str,
    kind: str,
    words: Sequence[str],
    replica: Replica,
    searches: dict[str, Callable[[int], Query]],
) -> list[TextFigures]:
    engines = [
        Engine(name, lambda n, ask=ask: replica.view().search(ask(n), ALL), list)
        for name, ask in searches.items()
    ]
    mean_words = float(np.mean([len(text.split()) for text in words]))
    return [
        TextFigures(
            search,
            kind,
            name,
            mean_words,
            timing.p50_ms,
            timing.p95_ms,
            float(np.mean([len(hits) < K for hits in timing.found])),
        )
        for name, timing in interleaved(engines, len(words)).items()
    ]
