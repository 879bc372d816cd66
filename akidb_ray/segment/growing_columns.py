"""Columns of growing rows: in blocks of 512 rows, made when filters first meet them.

Eight blocks that are equally large become one, so that many rows have few. Rows never change, so
neither do blocks: there are only others. Readers that come while one of them makes a block do not
wait for it: rows without a block are read from their flattened payloads.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from akidb_ray.domain.filter import KeyCondition, Scalar
from akidb_ray.domain.flattening import Flat
from akidb_ray.segment.column_building import columns_of
from akidb_ray.segment.columns import Columns, RowMask
from akidb_ray.segment.filtering import condition_mask_of_rows
from akidb_ray.segment.merged_columns import ColumnSource, can_merge, merged_columns
from akidb_ray.segment.value_counting import count_in_columns, count_in_flats

BLOCK_ROWS = 512
_MERGED_BLOCKS = 8
# A block takes longer to make than to filter: one reader makes no more at a time.
_BLOCKS_AT_A_TIME = 4
_NO_COLUMNS = Columns(0, {}, complete=False)


class GrowingColumns:
    """The columns of `flats`, to which one writer appends while others read."""

    def __init__(self, flats: Sequence[Flat]) -> None:
        self._flats = flats
        self._blocks: list[Columns] = []
        self._making = threading.Lock()
        self.size_bytes = 0

    def mask(self, condition: KeyCondition, candidates: RowMask) -> RowMask:
        """Which of the first len(candidates) rows meet the condition, if they are candidates."""
        masks = [
            condition_mask_of_rows(condition, columns, part, flat)
            for columns, part, flat in self._parts(candidates)
        ]
        return np.concatenate(masks)[: len(candidates)]

    def value_counts(self, key: str, allowed: RowMask) -> Counter[tuple[str, Scalar]]:
        """For each scalar at `key` the number of allowed rows that have it."""
        counts: Counter[tuple[str, Scalar]] = Counter()
        for columns, part, flat in self._parts(allowed):
            if columns.knows(key):
                counts.update(count_in_columns(key, columns, part))
            else:
                counts.update(count_in_flats(key, part, flat))
        return counts

    def _parts(self, chosen: RowMask) -> Iterator[tuple[Columns, RowMask, Callable[[int], Flat]]]:
        """Block by block, and last the rows behind them: the columns, the part of `chosen`, and
        the flattened payload of a row. A block that has more rows than were asked for has a part
        as long as itself.
        """
        start = 0
        for block in self._blocks_for(len(chosen)):
            end = start + block.row_count
            part = chosen[start:end]
            yield block, np.pad(part, (0, block.row_count - len(part))), self._from(start)
            start = end
        yield _NO_COLUMNS, chosen[start:], self._from(start)

    def _from(self, start: int) -> Callable[[int], Flat]:
        return lambda row: self._flats[start + row]

    def _blocks_for(self, rows: int) -> Iterator[Columns]:
        """The blocks that start in the first `rows` rows, after making some that were lacking."""
        if self._making.acquire(blocking=False):
            try:
                self._make(rows)
            finally:
                self._making.release()
        start = 0
        for block in self._blocks:
            if start < rows:
                yield block
            start += block.row_count

    def _make(self, rows: int) -> None:
        for _ in range(_BLOCKS_AT_A_TIME):
            first = sum(block.row_count for block in self._blocks)
            if first + BLOCK_ROWS > rows:
                return
            added = columns_of(self._flats[first : first + BLOCK_ROWS])
            # A new list: readers go on with the one that they have.
            self._blocks = _joined([*self._blocks, added])
            self.size_bytes = sum(block.size_bytes for block in self._blocks)


def _joined(blocks: list[Columns]) -> list[Columns]:
    """The same rows in fewer blocks, when the last ones are equally large."""
    last = blocks[-_MERGED_BLOCKS:]
    sizes = {block.row_count for block in last}
    if len(last) < _MERGED_BLOCKS or len(sizes) > 1 or not can_merge(last):
        return blocks
    rows = np.split(np.arange(sum(block.row_count for block in last)), _MERGED_BLOCKS)
    merged = merged_columns([ColumnSource(*part) for part in zip(last, rows, strict=True)])
    return _joined([*blocks[:-_MERGED_BLOCKS], merged])
