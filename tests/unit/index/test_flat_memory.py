"""What the exact index takes while it searches."""

import tracemalloc

import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.index.flat import FlatIndex


def test_batch_that_leaves_out_a_few_rows_copies_a_part_of_the_vectors_at_a_time() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((500_000, 64), np.float32)
    queries = rng.standard_normal((200, 64), np.float32)
    allowed = np.arange(len(vectors)) % 100 != 7
    index = FlatIndex(Metric.DOT, vectors)
    tracemalloc.start()
    try:
        found = index.search_many(queries, 5, 0, 1, allowed)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 0.8 * vectors.nbytes
    for query, rows in list(zip(queries, found, strict=True))[::40]:
        assert rows.tolist() == index.search(query, 5, 0, allowed).tolist()
