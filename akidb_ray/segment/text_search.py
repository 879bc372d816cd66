"""Keyword search in one block of a segment's rows, by BM25.

BM25 is that of Robertson and Zaragoza (The Probabilistic Relevance Framework, 2009): a term that a
document of l words has f times adds

    idf * f * (k1 + 1) / (f + k1 * (1 - b + b * l / mean))
    idf = ln(1 + (N - df + 0.5) / (df + 0.5))

with Lucene's idf, which is never negative. N, df and the mean are those of the whole view, or of
the whole collection, and come from outside. Terms are added in one order everywhere, so that a
document has the same score to the last bit, whichever segment or shard it is in.

Rows that cannot get among the best any more are dropped early: the rule of MaxScore (Turtle and
Flood, Query Evaluation: Strategies and Optimizations, 1995).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.query import TextStatistics
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.phrases import phrase_rows
from akidb_ray.segment.postings import TextBlock, Totals
from akidb_ray.segment.terms import Analyzer
from akidb_ray.segment.view import SegmentView

K1, B = 0.9, 0.4
# From so many entries on it pays to ask whether a row that only this term has can win.
_MANY_ENTRIES = 1024
# Bounds are rounded otherwise than scores are.
_ABOVE_ROUNDING = 1 + 1e-9
Scores = NDArray[np.float64]
RowNumbers = NDArray[np.int64]
Entries = tuple[NDArray[np.int32], NDArray[np.unsignedinteger]]


@dataclass(frozen=True, slots=True)
class WeightedTerm:
    """A term to score; `weight` is its idf, times k1 + 1, times how often it is asked for."""

    term: str
    weight: float


def weigh(term: str, asked: int, statistics: TextStatistics) -> WeightedTerm:
    """By how many documents there are, and how many of them have the term."""
    documents = statistics.frequencies[term]
    idf = math.log(1 + (statistics.documents - documents + 0.5) / (documents + 0.5))
    return WeightedTerm(term, asked * idf * (K1 + 1))


@dataclass(frozen=True, slots=True, eq=False)
class TextPart:
    """The rows of a block that a view sees: which are `alive` and which may be found, both bool
    (n,). `whole` says that all are alive.
    """

    view: SegmentView
    block: TextBlock
    alive: RowMask
    allowed: RowMask
    whole: bool
    _entries: dict[str, Entries] = field(default_factory=dict)

    def entries(self, term: str) -> Entries:
        """Rows that have the term, rising, and how often."""
        found = self._entries.get(term)
        if found is None:
            found = self._entries[term] = self._find(term)
        return found

    def _find(self, term: str) -> Entries:
        postings = self.block.postings
        number = postings.find(term)
        if number < 0:
            return postings.rows[:0], postings.counts[:0]
        rows, counts, _ = postings.places(number)
        end = len(rows)
        if len(self.alive) < len(postings):
            end = int(np.searchsorted(rows, len(self.alive)))
        return rows[:end], counts[:end]

    def documents_with(self, term: str) -> int:
        """How many alive rows have the term."""
        rows, _ = self.entries(term)
        return len(rows) if self.whole else int(np.count_nonzero(self.alive.take(rows)))

    def totals(self) -> Totals:
        """Alive rows that have words, and these words."""
        postings, rows = self.block.postings, len(self.alive)
        if self.whole and rows == len(postings):
            return postings.totals
        lengths = postings.lengths[:rows][self.alive]
        return Totals(int(np.count_nonzero(lengths)), int(lengths.sum(dtype=np.int64)))

    def with_phrases(self, phrases: Sequence[Sequence[str]]) -> "TextPart":
        """Of the rows that may be found only those that have all the phrases."""
        allowed = self.allowed
        for phrase in phrases:
            rows = phrase_rows(self.block.postings, phrase, allowed)
            allowed = np.zeros(len(allowed), np.bool_)
            allowed[rows] = True
        return replace(self, allowed=allowed)


def parts_of(
    view: SegmentView, allowed: RowMask, now: float, analyzer: Analyzer
) -> Iterator[TextPart]:
    """The rows of a view, of which `allowed` may be found, by blocks."""
    alive = view.alive(now)
    whole = view.alive_count(now) == view.rows
    for block in view.segment.text_blocks(view.rows, analyzer):
        rows = slice(block.start, min(block.end, view.rows))
        if rows.start < rows.stop:
            yield TextPart(view, block, alive[rows], allowed[rows], whole)


def best_rows(
    part: TextPart, terms: Sequence[WeightedTerm], mean_length: float, limit: int, floor: float
) -> tuple[RowNumbers, Scores]:
    """Rows of the segment that may be found and have one of the terms, and their scores: the best
    `limit`, and all that score the same as the last of them, in no order. Those below `floor` are
    left out.

    `terms` stand from the largest weight to the smallest.
    """
    # What a row can get, at most, from each term and those behind it.
    bounds = np.cumsum([term.weight for term in reversed(terms)])[::-1] * _ABOVE_ROUNDING
    scoring = _Scoring(part, mean_length)
    rows: RowNumbers | None = None
    for term, bound in zip(terms, bounds.tolist(), strict=True):
        if rows is None and scoring.is_worth_asking(term):
            rows = scoring.rows_above(bound, limit, floor)
        if rows is None:
            scoring.add(term)
        else:
            scoring.add_to(rows, term)
    rows = scoring.touched() if rows is None else rows
    scores = scoring.scores[rows]
    kept = scores >= max(floor, least_of_best(scores, limit))
    return rows[kept] + part.block.start, scores[kept]


def least_of_best(scores: Scores, limit: int) -> float:
    """The score of number `limit`, 0 when there are fewer."""
    if len(scores) < limit:
        return 0.0
    place = len(scores) - limit
    return float(np.partition(scores, place)[place])


class _Scoring:
    """Scores of a part's rows while term after term is added: float64 (n,), 0 for a row that has
    none so far or may not be found.
    """

    def __init__(self, part: TextPart, mean_length: float) -> None:
        self.scores: Scores = np.zeros(len(part.allowed))
        self._part = part
        self._all_allowed = bool(part.allowed.all())
        self._base, self._slope = K1 * (1 - B), K1 * B / mean_length
        self._touched: list[RowNumbers] = []
        self._touched_count = 0

    def touched(self) -> RowNumbers:
        """Rows with a score."""
        return np.concatenate([np.empty(0, np.int64), *self._touched])

    def add(self, term: WeightedTerm) -> None:
        entries, counts = self._part.entries(term.term)
        rows = entries.astype(np.int64)
        if not self._all_allowed:
            allowed = self._part.allowed.take(rows)
            rows, counts = rows[allowed], counts[allowed]
        before = self.scores.take(rows)
        self.scores[rows] = before + self._gains(rows, counts, term)
        # What a term adds is never 0.
        self._touched.append(rows[before == 0.0] if self._touched_count else rows)
        self._touched_count += len(self._touched[-1])

    def is_worth_asking(self, term: WeightedTerm) -> bool:
        count = len(self._part.entries(term.term)[0])
        return count >= _MANY_ENTRIES and 2 * count > self._touched_count

    def rows_above(self, bound: float, limit: int, floor: float) -> RowNumbers | None:
        """Rows that may get among the best `limit` when they get `bound` more at most; None when
        rows may that have no score yet. They rise.
        """
        rows = self.touched()
        scores = self.scores[rows]
        least = max(floor, least_of_best(scores, limit))
        if least <= bound:
            return None
        rows = rows[scores + bound >= least]
        rows.sort()
        return rows

    def add_to(self, rows: RowNumbers, term: WeightedTerm) -> None:
        """Add the term to these rows only, which rise."""
        entries, counts = self._part.entries(term.term)
        if len(entries):
            # In the type of the entries: these are copied otherwise.
            places = np.searchsorted(entries, rows.astype(np.int32))
            places = np.minimum(places, len(entries) - 1)
            found = entries[places] == rows
            rows, counts = rows[found], counts[places[found]]
            self.scores[rows] += self._gains(rows, counts, term)

    def _gains(
        self, rows: RowNumbers, counts: NDArray[np.unsignedinteger], term: WeightedTerm
    ) -> Scores:
        frequencies = counts.astype(np.float64)
        lengths = self._part.block.postings.lengths.take(rows)
        gains: Scores = frequencies / (frequencies + (self._base + self._slope * lengths))
        return gains * term.weight
