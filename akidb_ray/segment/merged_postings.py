"""Postings of a merged segment, made from those of its sources without reading their texts.

The result is what `build_postings` gives for the merged rows. Nothing is sorted but the terms: the
entries of a term stand together in each source, in the order that they keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.segment.column_building import sorted_words
from akidb_ray.segment.postings import Postings, build_postings, no_postings, smallest
from akidb_ray.segment.terms import Analyzer
from akidb_ray.segment.tokens import blocks_of

# Numbers of 8 bytes for each of its words are made several times.
_BLOCK_CHARACTERS = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class PostingsSource:
    """Postings, and the new number of each of their rows, -1 for those left behind.

    New numbers rise with the old ones, and from one source to the next.
    """

    postings: Postings
    new_rows: NDArray[np.int64]


def postings_of(texts: Sequence[str | None], analyzer: Analyzer) -> Postings:
    """Postings of rows with these texts, made in parts, so that it takes little memory."""
    known = ["" if text is None else text for text in texts]
    if not any(known):
        return no_postings(len(known), analyzer.analysis)
    sources, start = [], 0
    for block in blocks_of(known, _BLOCK_CHARACTERS):
        rows = np.arange(start, start + len(block))
        sources.append(PostingsSource(build_postings(block, analyzer), rows))
        start += len(block)
    return merge_postings(sources, len(known), analyzer.analysis)


def merge_postings(sources: Sequence[PostingsSource], rows: int, analysis: str) -> Postings:
    """The postings of `rows` merged rows. The sources are of this analysis."""
    if len(sources) == 1 and np.array_equal(sources[0].new_rows, np.arange(rows)):
        return sources[0].postings
    lengths = np.zeros(rows, np.int32)
    for source in sources:
        kept = source.new_rows >= 0
        lengths[source.new_rows[kept]] = source.postings.lengths[kept]
    words, numbers = sorted_words(
        pa.concat_arrays([pa.array([], pa.large_string()), *(s.postings.terms for s in sources)])
    )
    ends = np.cumsum([0, *(len(source.postings.terms) for source in sources)])
    parts = [
        _moved(source, numbers[start:end])
        for source, start, end in zip(sources, ends, ends[1:], strict=False)
    ]
    entries = _Places([part.numbers for part in parts], len(words))
    used = entries.total > 0
    if not used.any():
        return no_postings(rows, analysis)
    of_positions = _Places([np.repeat(p.numbers, p.counts) for p in parts], len(words))
    return Postings(
        analysis,
        words.filter(pa.array(used)),
        entries.starts(used),
        entries.gathered([part.rows for part in parts]),
        smallest(entries.gathered([part.counts for part in parts])),
        of_positions.starts(used),
        smallest(of_positions.gathered([part.positions for part in parts])),
        lengths,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The entries of a source that are kept: new numbers of their terms, rising, their new rows and
    counts, and all their positions.
    """

    numbers: NDArray[np.int32]
    rows: NDArray[np.int32]
    counts: NDArray[Any]
    positions: NDArray[Any]


def _moved(source: PostingsSource, numbers: NDArray[np.int64]) -> _Part:
    postings = source.postings
    of_entries = np.repeat(numbers.astype(np.int32), np.diff(postings.starts))
    rows = source.new_rows.astype(np.int32)[postings.rows]
    kept = rows >= 0
    if kept.all():
        return _Part(of_entries, rows, postings.counts, postings.positions)
    positions = postings.positions[np.repeat(kept, postings.counts)]
    return _Part(of_entries[kept], rows[kept], postings.counts[kept], positions)


class _Places:
    """Where the items of several parts go when they are put together by their terms."""

    def __init__(self, numbers: Sequence[NDArray[np.int32]], terms: int) -> None:
        self._numbers = numbers
        self._counts = [np.bincount(of_part, minlength=terms) for of_part in numbers]
        self.total = np.zeros(terms, np.int64)
        for counts in self._counts:
            self.total += counts

    def starts(self, used: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Where those of each of the `used` terms begin, and where the last ends."""
        return np.concatenate([[0], np.cumsum(self.total[used])])

    def gathered(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        result = np.empty(self.total.sum(), np.result_type(*parts))
        begin = np.cumsum(self.total) - self.total
        for items, numbers, counts in zip(parts, self._numbers, self._counts, strict=True):
            before = np.cumsum(counts) - counts
            result[np.arange(len(items)) + (begin - before)[numbers]] = items
            begin = begin + counts
        return result
