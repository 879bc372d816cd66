"""Keyword search over all segments of a view.

How often a term occurs, in how many documents, and how long these are is summed over what is alive
in the whole view, at query time: scores do not depend on how documents are spread over segments,
and no merge or seal changes them. Filters leave these sums as they are. Where a collection has
several shards, the sums of each are asked for first, and the search gets those of all.
"""

from collections.abc import Sequence

import numpy as np

from akidb_ray.domain.collection import Language
from akidb_ray.domain.query import TextStatistics
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.postings import Totals
from akidb_ray.segment.terms import Analyzer, analyzer_of
from akidb_ray.segment.text_query import AskedText, parse_text
from akidb_ray.segment.text_search import (
    TextPart,
    WeightedTerm,
    best_rows,
    least_of_best,
    parts_of,
    weigh,
)
from akidb_ray.segment.view import SegmentView

# Negated score, id, and where the document is.
Found = tuple[float, str, SegmentView, int]


def search_text(
    segments: Sequence[SegmentView],
    allowed: Sequence[RowMask],
    now: float,
    language: Language,
    text: str,
    limit: int,
    statistics: TextStatistics | None = None,
) -> list[Found]:
    """The best `limit` of the documents that are allowed, best first, ties by id.

    A document takes part when it has a term of `text`, and all its phrases. `allowed` has a mask
    for each segment; `statistics` are those that scores are made of, None for the view's own. A
    text without any word finds nothing. Raises InvalidArgument for one with too many.
    """
    analyzer = analyzer_of(language)
    asked = parse_text(text, analyzer)
    if not asked.terms or limit < 1:
        return []
    parts = [list(parts_of(s, m, now, analyzer)) for s, m in zip(segments, allowed, strict=True)]
    if statistics is None:
        statistics = _statistics(asked, segments, parts, now, analyzer)
    phrased = [part.with_phrases(asked.phrases) for of_view in parts for part in of_view]
    return _best(phrased, _weighted(asked, statistics), statistics, limit)


def text_statistics(
    segments: Sequence[SegmentView], now: float, language: Language, text: str
) -> TextStatistics:
    """Of the terms of `text`, over all alive rows. Raises InvalidArgument as `search_text`."""
    analyzer = analyzer_of(language)
    asked = parse_text(text, analyzer)
    parts = [list(parts_of(view, view.live, now, analyzer)) for view in segments]
    return _statistics(asked, segments, parts, now, analyzer)


def _statistics(
    asked: AskedText,
    segments: Sequence[SegmentView],
    parts: Sequence[Sequence[TextPart]],
    now: float,
    analyzer: Analyzer,
) -> TextStatistics:
    """`parts` are those of each segment."""
    totals = Totals()
    for view, of_view in zip(segments, parts, strict=True):
        totals += _totals(view, of_view, now, analyzer)
    frequencies = {
        term: sum(part.documents_with(term) for of_view in parts for part in of_view)
        for term in asked.terms
    }
    return TextStatistics(totals.documents, totals.words, frequencies)


def _totals(view: SegmentView, parts: Sequence[TextPart], now: float, analyzer: Analyzer) -> Totals:
    """Of all alive rows of a view. While none expires they stay what they are."""
    known = view.text_totals.get(analyzer.analysis) if now < view.first_expiry else None
    if known is None:
        known = sum((part.totals() for part in parts), Totals())
        if now < view.first_expiry:
            view.text_totals[analyzer.analysis] = known
    return known


def _weighted(asked: AskedText, statistics: TextStatistics) -> list[WeightedTerm]:
    """The terms that are in any document, from the largest weight to the smallest: this order is
    the same for the same documents, however they are spread.
    """
    weighted = [
        weigh(term, times, statistics)
        for term, times in asked.terms.items()
        if statistics.frequencies.get(term)
    ]
    return sorted(weighted, key=lambda term: (-term.weight, term.term))


def _best(
    parts: Sequence[TextPart],
    terms: Sequence[WeightedTerm],
    statistics: TextStatistics,
    limit: int,
) -> list[Found]:
    if not terms:
        return []
    mean_length = statistics.words / statistics.documents
    candidates, best, floor = [], np.empty(0), 0.0
    for part in parts:
        rows, scores = best_rows(part, terms, mean_length, limit, floor)
        candidates.append((part.view, rows, scores))
        best = np.concatenate([best, scores])
        floor = least_of_best(best, limit)
        best = best[best >= floor]
    found = [
        (-score, view.segment.id(row), view, row)
        for view, rows, scores in candidates
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        if score >= floor
    ]
    found.sort(key=lambda candidate: candidate[:2])
    return found[:limit]
