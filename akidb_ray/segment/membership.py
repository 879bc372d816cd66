"""Which rows of segments have the same ids: what attaching a segment needs to know."""

from collections import Counter

import numpy as np
import pyarrow.compute as pc
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
        places, others = other.id_index.pairs(segment.id_index.hashes)
        rows = segment.id_index.rows[places].astype(np.int64)
        same = pc.equal(segment.ids.take(rows), other.ids.take(others))
        return np.unique(rows[same.to_numpy(zero_copy_only=False)])
    found = []
    for start in range(0, len(segment), _BLOCK_ROWS):
        ids = [segment.id(row) for row in range(start, min(start + _BLOCK_ROWS, len(segment)))]
        found += [start + position for position, _ in other.find_many(ids, hashes_of(ids))]
    return np.array(found, np.int64)


def duplicate_ids(segment: SealedSegment) -> list[str]:
    """Ids that several rows have, sorted."""
    rows = segment.id_index.rows_with_shared_hashes()
    counts = Counter(segment.ids.take(rows).to_pylist())
    return sorted(document_id for document_id, count in counts.items() if count > 1)
