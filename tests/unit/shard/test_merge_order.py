"""What a graph finds depends on the order in which it got its rows; merges keep that of writes."""

from dataclasses import replace

import numpy as np
import pytest

from akidb_ray.domain.collection import HnswEngine
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.contract.graphs import exactly
from tests.unit.shard.shards import DIMENSION, INDEXED, SPEC, Vectors, opened, seal, upsert

# Few links, so that a small graph misses what a large one of many links misses.
NARROW = replace(SPEC, hnsw_ef_construction=32)
PAIRED = replace(INDEXED, merge_factor=2)
QUERIES, K, EF = 200, 10, 50


def _scattered(rows: int, seed: int) -> Vectors:
    return np.random.default_rng(seed).normal(size=(rows, DIMENSION)).astype(np.float32)


def _crowded(rows: int, among: Vectors) -> Vectors:
    """Points between pairs of `among`, which is few: they lie close together."""
    rng = np.random.default_rng(3)
    left, right = among[rng.integers(len(among), size=(2, rows))]
    share = rng.uniform(0.2, 0.8, size=(rows, 1)).astype(np.float32)
    return share * left + (1 - share) * right


def _filled(parts: list[Vectors], engine: HnswEngine, policy: ShardPolicy) -> Replica:
    """Each part is sealed and indexed before the next is written."""
    replica = opened(MemoryFileSystem(), policy, replace(NARROW, hnsw_engine=engine))
    start = 0
    for part in parts:
        upsert(replica, *map(str, range(start, start + len(part))), vectors=part)
        seal(replica)
        start += len(part)
    return replica


def _recall(replica: Replica, queries: Vectors) -> float:
    """Of the only graph, whatever other ways there are to search its segment."""
    (live,) = replica.live.sealed
    vectors, graph = live.segment.vectors, live.graph
    assert graph is not None
    hits = [
        len(np.intersect1d(graph.search(query, K, EF), exactly(SPEC.metric, vectors, query, K)))
        for query in queries
    ]
    return sum(hits) / (K * len(queries))


@pytest.mark.parametrize("engine", HnswEngine)
def test_merged_graph_finds_what_one_finds_that_was_built_in_one_go(engine: HnswEngine) -> None:
    scattered, queries = _scattered(1_000, 1), _scattered(QUERIES, 2)
    # A little more, as after some deletions: the larger graph would be the wrong one to start from.
    crowded = _crowded(1_050, among=scattered[:20])
    recalls = {
        name: _recall(_filled(parts, engine, PAIRED), queries)
        for name, parts in {
            "in one go": [np.vstack([scattered, crowded])],
            "merged": [scattered, crowded],
            "the other way round": [np.vstack([crowded, scattered])],
        }.items()
    }
    assert abs(recalls["merged"] - recalls["in one go"]) < 0.01, recalls
    # Else the order would make no difference here, and this test none.
    assert recalls["in one go"] - recalls["the other way round"] > 0.04, recalls


def test_rows_of_merged_segments_lie_in_the_order_of_the_writes() -> None:
    parts = [_scattered(rows, rows) for rows in (30, 29, 31, 30)]
    replica = _filled(parts, HnswEngine.FAISS, INDEXED)
    (merged,) = replica.live.sealed
    assert np.array_equal(merged.segment.vectors, np.vstack(parts))


def test_merged_segment_is_as_old_as_the_oldest_in_it() -> None:
    replica = _filled([_scattered(rows, rows) for rows in (30, 500, 30)], HnswEngine.FAISS, PAIRED)
    assert [len(live.live) for live in replica.live.sealed] == [60, 500]
