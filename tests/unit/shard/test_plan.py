"""What maintenance is planned, over a thousand made-up shards: no files, no threads."""

import random

import pytest

from akidb_ray.shard.plan import (
    BuildGraph,
    GrowingStats,
    Merge,
    SegmentStats,
    Task,
    plan,
    should_freeze,
)
from akidb_ray.shard.policy import ShardPolicy

POLICY = ShardPolicy(index_min_rows=1000, merge_factor=4, max_segment_rows=1_000_000)
IDLE = GrowingStats(rows=0, alive=0, size_bytes=0, idle_s=1e9, wal_bytes=0, wal_files=0)


def segment(
    name: str, rows: int, gone: int = 0, indexed: bool = True, settled: bool = True
) -> SegmentStats:
    return SegmentStats(name, rows, gone, rows * 1536, indexed, settled)


def planned(*segments: SegmentStats, graphs: bool = True) -> list[Task]:
    return plan(segments, POLICY, graphs)


def test_nothing_to_do_when_all_is_indexed_and_sizes_differ() -> None:
    assert planned(segment("a", 50_000), segment("b", 50_000), segment("c", 400_000)) == []
    assert planned() == []


def test_segment_without_graph_gets_one_the_largest_first() -> None:
    tasks = planned(segment("a", 2_000, indexed=False), segment("b", 50_000, indexed=False))
    assert tasks == [BuildGraph("b"), BuildGraph("a")]


def test_small_segment_and_flat_collection_get_no_graph() -> None:
    assert planned(segment("a", 999, indexed=False)) == []
    assert planned(segment("a", 50_000, indexed=False), graphs=False) == []


def test_four_of_a_size_are_merged_in_the_order_of_their_age_from_the_oldest_graph() -> None:
    tasks = planned(*(segment(name, 50_000 + n) for n, name in enumerate("bdac")))
    assert tasks == [Merge(("b", "d", "a", "c"), base="b")]
    tasks = planned(*(segment(name, 50_000 - n) for n, name in enumerate("bdac")))
    assert tasks == [Merge(("b", "d", "a", "c"), base="b")]


def test_base_is_nearly_as_large_as_the_largest_with_a_graph() -> None:
    rows = {"a": 44_999, "b": 45_000, "c": 50_000, "d": 51_000}
    segments = [segment(name, rows[name], indexed=name != "d") for name in "abcd"]
    assert plan(segments, POLICY, graphs=True)[-1] == Merge(("a", "b", "c", "d"), base="b")


def test_smallest_of_a_size_are_merged_first() -> None:
    rows = {"a": 50_000, "b": 60_000, "c": 40_000, "d": 45_000, "e": 42_000}
    tasks = planned(*(segment(name, rows[name]) for name in rows))
    assert tasks == [Merge(("a", "c", "d", "e"), base="a")]


def test_three_of_a_size_are_left_alone() -> None:
    assert planned(*(segment(name, 50_000) for name in "abc")) == []


@pytest.mark.parametrize(("idle_s", "merges"), [(0.0, 0), (29.9, 0), (30.0, 1), (1e9, 1)])
def test_two_of_a_size_are_merged_when_nothing_is_written(idle_s: float, merges: int) -> None:
    tasks = plan([segment("a", 50_000), segment("b", 60_000)], POLICY, True, idle_s)
    assert tasks == [Merge(("a", "b"), base="b")][:merges]


@pytest.mark.parametrize(
    ("rows", "together"),
    [
        # An eighth of the largest is worth writing it anew, and less is not.
        ([88_000, 11_000], "ab"),
        ([88_000, 10_999], ""),
        ([400_000, 30_000, 1_000, 19_000], "abcd"),
        ([400_000, 30_000, 1_000, 18_999], "bcd"),
        ([400_000, 3_000, 30_000, 200], ""),
        # The three would be larger than a segment may be.
        ([400_000, 900_000, 100_000], "ac"),
        ([5], ""),
    ],
)
def test_a_quiet_shard_has_as_few_segments_as_are_worth_writing(
    rows: list[int], together: str
) -> None:
    segments = [segment(name, count) for name, count in zip("abcd", rows, strict=False)]
    tasks = plan(segments, POLICY, True, POLICY.settle_s)
    merged = [task.segments for task in tasks if isinstance(task, Merge)]
    assert merged == ([tuple(together)] if together else [])


@pytest.mark.parametrize("seed", range(10))
def test_a_shard_that_is_quiet_after_each_batch_rests_with_few_segments_and_few_rewrites(
    seed: int,
) -> None:
    rng = random.Random(seed)
    segments: dict[str, SegmentStats] = {}
    sealed_rows = written_rows = 0
    for step in range(300):
        rows = rng.choice([rng.randint(1, 999), rng.randint(1_000, 9_999)])
        segments[f"s{step}"] = segment(f"s{step}", rows)
        sealed_rows += rows
        while tasks := plan(list(segments.values()), POLICY, True, POLICY.settle_s):
            (task,) = tasks
            assert isinstance(task, Merge)
            inputs = [segments.pop(name) for name in task.segments]
            rows = sum(s.alive for s in inputs)
            written_rows += rows
            name = f"m{written_rows}"
            segments[name] = segment(name, rows)
    assert sum(s.rows for s in segments.values()) == sealed_rows
    assert len(segments) <= 4
    assert written_rows <= 12 * sealed_rows


def test_segments_without_graphs_are_merged_before_they_are_indexed() -> None:
    tasks = planned(*(segment(name, 50_000, indexed=False) for name in "abcd"))
    assert tasks == [Merge(("a", "b", "c", "d"))]


def test_missing_graph_comes_before_a_merge_of_indexed_segments() -> None:
    indexed = [segment(name, 50_000) for name in "abcd"]
    tasks = planned(*indexed, segment("e", 3_000, indexed=False))
    assert tasks[0] == BuildGraph("e")
    assert tasks[1] == Merge(("a", "b", "c", "d"), base="a")


def test_wasteful_segment_is_written_anew_without_its_old_graph() -> None:
    assert planned(segment("a", 10_000, gone=3_001)) == [Merge(("a",))]
    assert planned(segment("a", 10_000, gone=3_000)) == []


def test_dead_segment_is_removed_however_small() -> None:
    assert planned(segment("a", 3, gone=3, indexed=False)) == [Merge(("a",))]


def test_segment_that_the_log_names_is_not_merged_yet() -> None:
    assert planned(segment("a", 10, gone=10, settled=False)) == []
    unsettled = [segment(name, 50_000, settled=name != "a") for name in "abcd"]
    assert planned(*unsettled) == []


def test_flat_collection_is_merged_without_a_base() -> None:
    tasks = planned(*(segment(name, 100, indexed=False) for name in "abcd"), graphs=False)
    assert tasks == [Merge(("a", "b", "c", "d"))]


def test_merged_segment_never_exceeds_the_limits() -> None:
    assert planned(*(segment(name, 300_000) for name in "abcd")) == []
    wide = [SegmentStats(name, 50_000, 0, POLICY.max_segment_bytes // 3, True) for name in "abcd"]
    assert plan(wide, POLICY, graphs=True) == []


@pytest.mark.parametrize("seed", range(20))
def test_any_history_of_seals_comes_to_rest_with_few_segments_and_few_rewrites(seed: int) -> None:
    rng = random.Random(seed)
    segments: dict[str, SegmentStats] = {}
    sealed_rows = written_rows = 0
    for step in range(300):
        rows = rng.choice([rng.randint(1, 999), rng.randint(1_000, 9_999), 10_000])
        segments[f"s{step}"] = segment(f"s{step}", rows, indexed=False)
        sealed_rows += rows
        while tasks := plan(list(segments.values()), POLICY, graphs=True):
            task = tasks[0]
            if isinstance(task, BuildGraph):
                old = segments[task.segment]
                segments[old.name] = segment(old.name, old.rows)
                continue
            inputs = [segments.pop(name) for name in task.segments]
            rows = sum(s.alive for s in inputs)
            written_rows += rows
            assert rows <= POLICY.max_segment_rows
            name = f"m{written_rows}-{step}"
            segments[name] = segment(name, rows, indexed=rows >= POLICY.index_min_rows)
    assert sum(s.rows for s in segments.values()) == sealed_rows
    # At most three in each tier of sizes from 1 to a million.
    assert len(segments) <= 3 * 7 + sealed_rows // (POLICY.max_segment_rows // 2)
    assert written_rows <= 7 * sealed_rows


def test_growing_segment_is_frozen_when_it_is_full() -> None:
    assert should_freeze(_growing(rows=POLICY.seal_rows), POLICY)
    assert should_freeze(_growing(size_bytes=POLICY.seal_bytes), POLICY)
    assert not should_freeze(_growing(rows=POLICY.seal_rows - 1), POLICY)


def test_idle_growing_segment_is_frozen_when_it_is_worth_a_graph() -> None:
    assert should_freeze(_growing(alive=1000, idle_s=2.0), POLICY)
    assert not should_freeze(_growing(alive=1000, idle_s=1.9), POLICY)
    assert not should_freeze(_growing(alive=999, idle_s=1e9), POLICY)


def test_long_log_is_checkpointed_even_when_nothing_grows() -> None:
    assert should_freeze(_growing(wal_bytes=POLICY.checkpoint_wal_bytes), POLICY)
    assert should_freeze(_growing(wal_files=POLICY.checkpoint_wal_files), POLICY)
    assert not should_freeze(IDLE, POLICY)


def _growing(
    rows: int = 0,
    alive: int = 0,
    size_bytes: int = 0,
    idle_s: float = 0.0,
    wal_bytes: int = 0,
    wal_files: int = 0,
) -> GrowingStats:
    return GrowingStats(rows, alive, size_bytes, idle_s, wal_bytes, wal_files)
