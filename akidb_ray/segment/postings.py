"""Postings: for each term of a segment's texts the rows that have it, how often, and where.

All terms stand sorted in one Arrow array, and what belongs to a term is a slice of the arrays
behind it, so that a search reads no more of a mapped file than the slices of its own terms.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.segment.column_building import sorted_words
from akidb_ray.segment.terms import Analyzer
from akidb_ray.segment.tokens import tokenize

Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Totals:
    """`documents` have `words` together."""

    documents: int = 0
    words: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(self.documents + other.documents, self.words + other.words)


@dataclass(frozen=True, eq=False)
class Postings:
    """Term t has the rows rows[starts[t]:starts[t+1]], rising, each counts[...] times, and its
    places in their texts are positions[position_starts[t]:position_starts[t+1]], in this order.

    `lengths` int32 (n,) says how many words the text of each row has, 0 for a row without one.
    `counts` and `positions` have the smallest unsigned type that holds them. `analysis` names what
    made terms of texts, see `Analyzer`.
    """

    analysis: str
    terms: pa.Array
    starts: NDArray[np.int64]
    rows: Rows
    counts: NDArray[np.unsignedinteger]
    position_starts: NDArray[np.int64]
    positions: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def totals(self) -> Totals:
        """Rows that have words, and these words."""
        return Totals(int(np.count_nonzero(self.lengths)), int(self.lengths.sum(dtype=np.int64)))

    @property
    def size_bytes(self) -> int:
        arrays = (self.starts, self.rows, self.counts, self.position_starts, self.positions)
        return int(self.terms.nbytes) + self.lengths.nbytes + sum(a.nbytes for a in arrays)

    def find(self, term: str) -> int:
        """The number of a term, -1 for one that no row has."""
        terms = self.terms
        if not len(terms):
            return -1
        prefixes = self._prefixes
        prefix = np.uint64(int.from_bytes(term.encode()[:8].ljust(8, b"\0"), "big"))
        first = int(prefixes.searchsorted(prefix))
        if first == len(terms) or prefixes[first] != prefix:
            return -1
        end = int(prefixes.searchsorted(prefix, "right"))
        place = bisect_left(
            range(len(terms)), term, first, end, key=lambda number: terms[number].as_py()
        )
        return place if place < end and terms[place].as_py() == term else -1

    @cached_property
    def _prefixes(self) -> NDArray[np.uint64]:
        """The first eight bytes of each term as a number: numpy searches these in a tenth of the
        time, and few terms share them.
        """
        _, offsets, data = self.terms.buffers()
        bounds = np.frombuffer(offsets, np.int64)[self.terms.offset :][: len(self.terms) + 1]
        padded = np.append(np.frombuffer(data, np.uint8), np.zeros(8, np.uint8))
        first = np.lib.stride_tricks.sliding_window_view(padded, 8)[bounds[:-1]]
        outside = np.arange(8) >= np.diff(bounds)[:, None]
        return np.where(outside, 0, first).astype(np.uint8).view(">u8").ravel().astype(np.uint64)

    def places(self, number: int) -> tuple[Rows, NDArray[Any], NDArray[Any]]:
        """Rows of the term, how often each has it, and all its positions."""
        entries = slice(self.starts[number], self.starts[number + 1])
        places = slice(self.position_starts[number], self.position_starts[number + 1])
        return self.rows[entries], self.counts[entries], self.positions[places]


@dataclass(frozen=True, slots=True, eq=False)
class TextBlock:
    """Postings of a segment's rows from `start` on; they count from 0."""

    start: int
    postings: Postings

    @property
    def end(self) -> int:
        return self.start + len(self.postings)


def no_postings(rows: int, analysis: str) -> Postings:
    """Those of so many rows without a text. They take no memory."""
    return Postings(
        analysis,
        pa.array([], pa.large_string()),
        np.zeros(1, np.int64),
        np.empty(0, np.int32),
        np.empty(0, np.uint8),
        np.zeros(1, np.int64),
        np.empty(0, np.uint8),
        np.broadcast_to(np.int32(0), rows),
    )


def build_postings(texts: Sequence[str], analyzer: Analyzer) -> Postings:
    """Postings of rows with these texts.

    Words are sorted as whole numbers, term above place, since that is what numpy sorts fastest.
    """
    tokens = tokenize(texts)
    if not len(tokens.codes):
        return no_postings(len(texts), analyzer.analysis)
    stems = pa.array(analyzer.terms_of(tokens.words.to_pylist()), pa.large_string())
    terms, numbers = sorted_words(stems)
    keys = numbers[tokens.codes] << 32 | np.arange(len(tokens.codes))
    keys.sort()
    codes, places = keys >> 32, keys & 0xFFFFFFFF
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), tokens.lengths)[places]
    positions = places - (np.cumsum(tokens.lengths, dtype=np.int64) - tokens.lengths)[rows]
    first = np.flatnonzero(_changes(codes) | _changes(rows))
    counts = np.diff(first, append=len(keys))
    numbers_of_terms = np.arange(len(terms) + 1)
    return Postings(
        analyzer.analysis,
        terms,
        np.searchsorted(codes[first], numbers_of_terms),
        rows[first],
        smallest(counts),
        np.searchsorted(codes, numbers_of_terms),
        smallest(positions),
        tokens.lengths,
    )


def _changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    changes = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes


def smallest(numbers: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    """The numbers in the smallest unsigned type that holds them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))
