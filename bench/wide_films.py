"""Any number of film vectors of any width, with texts and labels, made chunk by chunk.

The real films come first, then mixes of a film and one of its ten nearest among all films: vectors
by a seeded share, texts half of the one and half of the other. A seeded turn that keeps all angles
gives them their width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.engine_films import embedded_films, queried_films
from bench.vectors import SEED, Floats, film_corpus

CHUNK = 20_000
_NEIGHBOURS = 10
_BLOCK = 1000


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows from `first_row` on: unit vectors (n, d) and n texts."""

    first_row: int
    vectors: Floats
    texts: list[str]


class WideFilms:
    """`queries` are unit vectors (q, d), `titles` what was asked for in words."""

    def __init__(self, data: Path, rows: int, dimension: int, queries: int) -> None:
        texts = [film.text for film in embedded_films(data)]
        corpus = film_corpus(data, len(texts), queries)
        self._turn = _turn(corpus.base.shape[1], dimension)
        self._real = corpus.base
        self._texts = texts
        self._rows = rows
        self._near = _neighbours(self._real) if rows > len(texts) else None
        self.queries = corpus.queries @ self._turn
        self.titles = [film.title for film in queried_films(data)[:queries]]

    def chunks(self) -> Iterator[Chunk]:
        """The same ones each time."""
        real = len(self._real)
        for start in range(0, min(real, self._rows), CHUNK):
            end = min(start + CHUNK, real, self._rows)
            yield Chunk(start, self._real[start:end] @ self._turn, self._texts[start:end])
        for start in range(real, self._rows, CHUNK):
            yield self._mixes(start, min(CHUNK, self._rows - start))

    def _mixes(self, first_row: int, count: int) -> Chunk:
        assert self._near is not None
        random = np.random.default_rng([SEED, first_row])
        left = random.integers(len(self._real), size=count)
        right = self._near[left, random.integers(_NEIGHBOURS, size=count)]
        share = random.uniform(0.2, 0.8, size=(count, 1)).astype(np.float32)
        mixed = share * self._real[left] + (1 - share) * self._real[right]
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        pairs = zip(left.tolist(), right.tolist(), strict=True)
        texts = [_mixed_text(self._texts[a], self._texts[b]) for a, b in pairs]
        return Chunk(first_row, mixed @ self._turn, texts)


def _mixed_text(left: str, right: str) -> str:
    return f"{left[: len(left) // 2]} {right[len(right) // 2 :]}"


def _turn(width: int, dimension: int) -> Floats:
    """(width, dimension): its rows, or the columns of a narrow one, stand at right angles."""
    random = np.random.default_rng(11)
    square, _ = np.linalg.qr(random.normal(size=(max(width, dimension), min(width, dimension))))
    turn = square.T if dimension >= width else square
    return np.ascontiguousarray(turn, np.float32)


def _neighbours(vectors: Floats) -> NDArray[np.int64]:
    """The rows of the ten nearest others of each, in no order: (n, 10)."""
    found = np.empty((len(vectors), _NEIGHBOURS), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        near = vectors[start : start + _BLOCK] @ vectors.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf
        found[start : start + len(near)] = np.argpartition(-near, _NEIGHBOURS, axis=1)[
            :, :_NEIGHBOURS
        ]
    return found
