"""Postings of a growing segment: made by the keyword searches that want them, each row once.

They are blocks of rows that never change, and a search that meets rows behind the last block adds
one. Blocks of about the same size are merged, as in a log-structured merge tree, so there are few
of them, and a row is moved a few times only. Readers get a tuple of blocks and hold no lock.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from akidb_ray.segment.merged_postings import PostingsSource, merge_postings, postings_of
from akidb_ray.segment.postings import TextBlock
from akidb_ray.segment.terms import Analyzer

# A sealed segment without postings may have a million texts, which must not be in memory at once.
_ROWS_AT_A_TIME = 50_000
Blocks = tuple[TextBlock, ...]
# The texts of the rows from one up to another.
TextsBetween = Callable[[int, int], Sequence[str | None]]


class GrowingText:
    """What is known of the texts of rows that only get more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: Blocks = ()

    @property
    def size_bytes(self) -> int:
        return sum(block.postings.size_bytes for block in self._blocks)

    def known(self, analyzer: Analyzer) -> Blocks:
        """The blocks that are there."""
        blocks = self._blocks
        return blocks if blocks and blocks[0].postings.analysis == analyzer.analysis else ()

    def blocks(self, texts: TextsBetween, rows: int, analyzer: Analyzer) -> Blocks:
        """Blocks of the first `rows` rows at least; there may be more."""
        blocks = self.known(analyzer)
        if _end(blocks) >= rows:
            return blocks
        with self._lock:
            blocks = self.known(analyzer)
            while (start := _end(blocks)) < rows:
                end = min(rows, start + _ROWS_AT_A_TIME)
                added = TextBlock(start, postings_of(texts(start, end), analyzer))
                self._blocks = blocks = _with(blocks, added)
        return blocks


def _end(blocks: Blocks) -> int:
    return blocks[-1].end if blocks else 0


def _with(blocks: Blocks, added: TextBlock) -> Blocks:
    """All of them, each with at least twice as many rows as the next."""
    size, kept = len(added.postings), len(blocks)
    while kept and len(blocks[kept - 1].postings) < 2 * size:
        kept -= 1
        size += len(blocks[kept].postings)
    joined = (*blocks[kept:], added)
    start = joined[0].start
    sources = [
        PostingsSource(block.postings, np.arange(block.start, block.end) - start)
        for block in joined
    ]
    merged = merge_postings(sources, added.end - start, added.postings.analysis)
    return (*blocks[:kept], TextBlock(start, merged))
