"""Which rows of segments have the same ids: what attaching a segment needs to know."""

import numpy as np
from numpy.typing import NDArray

from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import hashes_of
from akidb_ray.segment.sealed import SealedSegment

_BLOCK_ROWS = 65_536


def rows_with_ids_of(
    segment: GrowingSegment | SealedSegment, other: SealedSegment
) -> NDArray[np.int64]:
    """Rows of `segment`, dead ones included, whose id is in `other` too: int64 (m,)."""
    if isinstance(segment, SealedSegment):
        shared = np.flatnonzero(np.isin(segment.hashes, other.hashes, assume_unique=False))
        rows = segment.hash_rows[shared].astype(np.int64)
        return np.array([row for row in rows.tolist() if _is_in(other, segment.id(row))], np.int64)
    found = []
    for start in range(0, len(segment), _BLOCK_ROWS):
        ids = [segment.id(row) for row in range(start, min(start + _BLOCK_ROWS, len(segment)))]
        found += [start + position for position, _ in other.find_many(ids, hashes_of(ids))]
    return np.array(found, np.int64)


def _is_in(segment: SealedSegment, document_id: str) -> bool:
    return segment.find(document_id, len(segment)) >= 0


def duplicate_ids(segment: SealedSegment) -> list[str]:
    """Ids that several rows have."""
    same = np.flatnonzero(segment.hashes[1:] == segment.hashes[:-1])
    pairs = [(segment.hash_rows[place], segment.hash_rows[place + 1]) for place in same.tolist()]
    ids = [(segment.id(int(left)), segment.id(int(right))) for left, right in pairs]
    return sorted({left for left, right in ids if left == right})
