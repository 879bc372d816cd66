"""Vectors for benches: real film embeddings, filled up with mixes of neighbours. Never noise.

Uniform noise has no near neighbours, so no graph works on it and no figure means anything.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SEED = 7
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Corpus:
    """Unit vectors (n, d), queries (q, d), the rows of each query's exact nearest (q, k), and the
    breadth with which graphs are searched.
    """

    base: Floats
    queries: Floats
    nearest: NDArray[np.int64]
    ef: int = 64

    def recall(self, found: list[list[int]]) -> float:
        """Mean share of the exact nearest that `found` holds, over the first queries."""
        k = len(found[0])
        pairs = zip(self.nearest[: len(found), :k], found, strict=True)
        return float(np.mean([len(set(exact) & set(rows)) / k for exact, rows in pairs]))


def add_data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="folder that holds wiki_movies/"
    )


def film_corpus(data: Path, rows: int, queries: int, k: int = 10) -> Corpus:
    """`rows` vectors: the 34,032 real ones, then seeded convex mixes of pairs of neighbours."""
    folder = data / "wiki_movies"
    real = _unit(np.load(folder / "minilm_base.npy").astype(np.float32))
    asked = _unit(np.load(folder / "minilm_queries.npy").astype(np.float32))[:queries]
    base = real[:rows] if rows <= len(real) else np.vstack([real, _mixes(real, rows - len(real))])
    return Corpus(base, asked, exact_nearest(base, asked, k))


def _mixes(real: Floats, count: int) -> Floats:
    """Points between a film and one of its ten nearest among a random sample."""
    random = np.random.default_rng(SEED)
    sample = real[random.choice(len(real), 4000, replace=False)]
    order = np.argpartition(-(sample @ sample.T), 11, axis=1)[:, 1:11]
    left = random.integers(len(sample), size=count)
    right = order[left, random.integers(10, size=count)]
    share = random.uniform(0.2, 0.8, size=(count, 1)).astype(np.float32)
    return _unit(share * sample[left] + (1 - share) * sample[right])


def exact_nearest(base: Floats, queries: Floats, k: int) -> NDArray[np.int64]:
    """Rows of the `k` largest inner products of each query, best first."""
    products = queries @ base.T
    rows = np.argpartition(-products, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(products, rows, axis=1), axis=1)
    return np.take_along_axis(rows, order, axis=1)


def _unit(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def fresh_films(data: Path, rows: int, count: int) -> Floats:
    """`count` vectors of the same kind that `film_corpus` of so many rows does not have."""
    folder = data / "wiki_movies"
    real = _unit(np.load(folder / "minilm_base.npy").astype(np.float32))
    # As many mixes as no corpus of this size has: other draws, so other mixes.
    others = _mixes(real, rows + count)[rows:]
    return np.vstack([real[rows:], others])[:count]
