"""What a build needs to know of all vectors before it adds the first."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from akidb_ray.index.distance import Floats

# A block's bits are widened to 8 bytes each; this many stay below 32 MB.
_BLOCK_VALUES = 4_000_000
_SEED = 100
# Vectors whose lengths are within this factor are compared by inner products much as by cosine.
_EVEN = 1.05


@dataclass(frozen=True, slots=True, eq=False)
class VectorScan:
    """Of n vectors: `lengths`, float64 (n,), and `firsts`, int64 (n,), the first row that is equal
    to each (or, once in a very long while, looks so).
    """

    lengths: NDArray[np.float64]
    firsts: NDArray[np.int64]

    @property
    def repeated(self) -> NDArray[np.bool_]:
        """Bool (n,): which rows are equal to an earlier one."""
        repeated: NDArray[np.bool_] = self.firsts != np.arange(len(self.firsts))
        return repeated

    @property
    def even(self) -> bool:
        """Whether all are about equally long."""
        longest = float(self.lengths.max(initial=0.0))
        return longest <= _EVEN * float(self.lengths.min(initial=longest))


def scan_vectors(vectors: Floats, between: Callable[[], None] = lambda: None) -> VectorScan:
    """Read `vectors`, float32 (n, d), once, in blocks; `between` is called before each."""
    rows, dimension = vectors.shape
    lengths, hashes = np.empty(rows, np.float64), np.empty(rows, np.uint64)
    factors = np.random.default_rng(_SEED).integers(0, 2**64, dimension, dtype=np.uint64)
    step = max(1, _BLOCK_VALUES // dimension)
    for start in range(0, rows, step):
        between()
        block = vectors[start : start + step]
        squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
        np.sqrt(squares, out=lengths[start : start + step])
        # Sums of whole numbers, unlike those of floats, do not depend on their order.
        hashes[start : start + step] = block.view(np.uint32).astype(np.uint64) @ factors
    order = np.argsort(hashes, kind="stable")
    # Equal ones are neighbours now, each group in the order of its rows.
    in_order = hashes[order]
    begins = np.ones(rows, np.bool_)
    begins[1:] = in_order[1:] != in_order[:-1]
    firsts = np.empty(rows, np.int64)
    firsts[order] = order[begins][np.cumsum(begins) - 1]
    return VectorScan(lengths, firsts)
