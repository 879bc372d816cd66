"""Distances, in the one form that all searches compare: float32, smaller is nearer.

cosine and dot: the negated inner product (cosine vectors have unit length when they get here);
l2: the squared Euclidean distance.
"""

import math

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import Metric

Floats = NDArray[np.float32]
RowNumbers = NDArray[np.int64]

# Differences of a block are a temporary array; this many rows keep it inside the cache.
_L2_BLOCK_ROWS = 1024


def distances(metric: Metric, vectors: Floats, query: Floats) -> Floats:
    """Distance of each row of `vectors` (n, d) to `query` (d,): float32 (n,)."""
    if metric is not Metric.L2:
        product: Floats = vectors @ query
        return np.negative(product, out=product)
    result = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _L2_BLOCK_ROWS):
        difference = vectors[start : start + _L2_BLOCK_ROWS] - query
        np.einsum("ij,ij->i", difference, difference, out=result[start : start + _L2_BLOCK_ROWS])
    return result


def score_of(metric: Metric, distance: float) -> float:
    """What users see: the cosine, the dot product, or the unsquared l2 distance."""
    return math.sqrt(max(distance, 0.0)) if metric is Metric.L2 else -distance


def nearest(found: Floats, limit: int) -> RowNumbers:
    """Positions of the `limit` smallest of `found`, nearest first; ties in order of position."""
    if limit < len(found):
        # Every row as near as the last winner takes part, so that ties do not depend on the
        # partition.
        border = np.partition(found, limit - 1)[limit - 1]
        candidates = np.flatnonzero(found <= border)
    else:
        candidates = np.arange(len(found))
    return candidates[np.argsort(found[candidates], kind="stable")][:limit]
