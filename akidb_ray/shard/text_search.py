"""Keyword search over all segments of a view.

How often a term occurs, in how many documents, and how long these are is summed over what is alive
in the whole view, at query time: scores do not depend on how documents are spread over segments,
and no merge or seal changes them. Filters leave these sums as they are.
"""

from collections.abc import Sequence

import numpy as np

from akidb_ray.domain.collection import Language
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
) -> list[Found]:
    """The best `limit` of the documents that are allowed, best first, ties by id.

    A document takes part when it has a term of `text`, and all its phrases. `allowed` has a mask
    for each segment. A text without any word finds nothing. Raises InvalidArgument for one with too
    many.
    """
    analyzer = analyzer_of(language)
    asked = parse_text(text, analyzer)
    if not asked.terms or limit < 1:
        return []
    parts: list[TextPart] = []
    totals = Totals()
    for view, mask in zip(segments, allowed, strict=True):
        of_view = list(parts_of(view, mask, now, analyzer))
        totals += _totals(view, of_view, now, analyzer)
        parts += of_view
    terms = _weighted(asked, parts, totals)
    return _best([part.with_phrases(asked.phrases) for part in parts], terms, totals, limit)


def _totals(view: SegmentView, parts: Sequence[TextPart], now: float, analyzer: Analyzer) -> Totals:
    """Of all alive rows of a view. While none expires they stay what they are."""
    known = view.text_totals.get(analyzer.analysis) if now < view.first_expiry else None
    if known is None:
        known = sum((part.totals() for part in parts), Totals())
        if now < view.first_expiry:
            view.text_totals[analyzer.analysis] = known
    return known


def _weighted(asked: AskedText, parts: Sequence[TextPart], totals: Totals) -> list[WeightedTerm]:
    """The terms that are in any document, from the largest weight to the smallest: this order is
    the same for the same documents, however they are spread.
    """
    weighted = []
    for term, times in asked.terms.items():
        documents = sum(part.documents_with(term) for part in parts)
        if documents:
            weighted.append(weigh(term, times, documents, totals))
    return sorted(weighted, key=lambda term: (-term.weight, term.term))


def _best(
    parts: Sequence[TextPart], terms: Sequence[WeightedTerm], totals: Totals, limit: int
) -> list[Found]:
    if not terms:
        return []
    mean_length = totals.words / totals.documents
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
