"""What maintenance a replica needs, decided apart from doing it.

Merging is by tiers of size, as in log-structured merge trees: when `merge_factor` segments of about
the same size are there, they become one of the next tier, so each row is written a few times at
most, and a search meets few segments. When nothing has been written for a while, searches count
more than what merges cost: all become one, as far as that is worth writing the largest anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from akidb_ray.shard.policy import ShardPolicy

# In a quiet shard, a segment is written anew for others that have at least this share of its
# documents. A search takes about as long for a small segment as for half of a large one.
_WORTH = 1 / 8
# A base has at least this share of the documents of the largest segment with a graph. It bounds
# what is indexed anew for the sake of the order: a ninth of the base at most.
_AS_LARGE = 0.9


@dataclass(frozen=True, slots=True)
class SegmentStats:
    """A sealed segment. `gone` of its `rows` are deleted or expired; `settled` says that no record
    of the log which a crash would replay names it."""

    name: str
    rows: int
    gone: int
    size_bytes: int
    indexed: bool
    settled: bool = True

    @property
    def alive(self) -> int:
        return self.rows - self.gone

    @property
    def gone_share(self) -> float:
        return self.gone / self.rows if self.rows else 1.0


@dataclass(frozen=True, slots=True)
class GrowingStats:
    """The growing segment and the log behind it. `rows` counts all rows, `alive` the live ones."""

    rows: int
    alive: int
    size_bytes: int
    idle_s: float
    wal_bytes: int
    wal_files: int


@dataclass(frozen=True, slots=True)
class BuildGraph:
    segment: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Make one segment of these, oldest first. `base`, one of them, gives the graph to build on."""

    segments: tuple[str, ...]
    base: str | None = None


Task = BuildGraph | Merge


def should_freeze(growing: GrowingStats, policy: ShardPolicy) -> bool:
    """Whether the growing segment is to take no more rows, and be written to disk."""
    full = growing.rows >= policy.seal_rows or growing.size_bytes >= policy.seal_bytes
    idle = growing.alive >= policy.index_min_rows and growing.idle_s >= policy.seal_idle_s
    long_log = (
        growing.wal_bytes >= policy.checkpoint_wal_bytes
        or growing.wal_files >= policy.checkpoint_wal_files
    )
    return full or idle or long_log


def plan(
    segments: Sequence[SegmentStats], policy: ShardPolicy, graphs: bool, idle_s: float = 0.0
) -> list[Task]:
    """What to do with sealed segments, most urgent first. Without `graphs` none are built. `idle_s`
    is the time since the last write.

    `segments` come oldest first. So do those of a merge: what a graph finds depends on the order in
    which it got its rows, and theirs should be that in which they were written.
    """
    merges = [_rewrite(s) for s in segments if s.settled and _is_wasteful(s, policy)]
    rewritten = {merge.segments[0] for merge in merges}
    left = [s for s in segments if s.name not in rewritten]
    merged = _gathered if idle_s >= policy.settle_s else _tiered_merges
    together = merged([s for s in left if s.settled], policy, graphs)
    missing = [s for s in left if graphs and not s.indexed and s.alive >= policy.index_min_rows]
    # Rows that no graph holds yet are merged first, and indexed once.
    by_name = {s.name: s for s in left}
    fresh = [m for m in together if not any(by_name[name].indexed for name in m.segments)]
    merged_first = {name for merge in fresh for name in merge.segments}
    builds = sorted(
        (s for s in missing if s.name not in merged_first), key=lambda s: (-s.alive, s.name)
    )
    later = [merge for merge in together if merge not in fresh]
    return [*fresh, *(BuildGraph(s.name) for s in builds), *merges, *later]


def _is_wasteful(segment: SegmentStats, policy: ShardPolicy) -> bool:
    return segment.gone_share > policy.merge_gone_share


def _rewrite(segment: SegmentStats) -> Merge:
    # Its graph is full of rows that are gone, so it is no base.
    return Merge((segment.name,))


def _tiered_merges(
    segments: Sequence[SegmentStats], policy: ShardPolicy, graphs: bool
) -> list[Merge]:
    tiers: dict[int, list[SegmentStats]] = {}
    for segment in segments:
        if segment.alive < policy.max_segment_rows // 2:
            tiers.setdefault(_tier(segment.alive, policy), []).append(segment)
    merges = []
    for _, members in sorted(tiers.items()):
        smallest = sorted(members, key=lambda s: s.alive)
        fitting = _fitting(smallest[: policy.merge_factor], policy)
        if len(fitting) == policy.merge_factor:
            merges.append(_merge([s for s in members if s in fitting], graphs))
    return merges


def _gathered(segments: Sequence[SegmentStats], policy: ShardPolicy, graphs: bool) -> list[Merge]:
    """One merge, of as many as are worth it."""
    fitting = _fitting(sorted(segments, key=lambda s: s.alive), policy)
    while len(fitting) > 1:
        others = sum(s.alive for s in fitting[:-1])
        if others >= _WORTH * fitting[-1].alive:
            return [_merge([s for s in segments if s in fitting], graphs)]
        fitting.pop()
    return []


def _merge(chosen: Sequence[SegmentStats], graphs: bool) -> Merge:
    return Merge(tuple(s.name for s in chosen), _base(chosen) if graphs else None)


def _tier(rows: int, policy: ShardPolicy) -> int:
    smallest = max(policy.index_min_rows, 1)
    return max(0, int(math.log(max(rows, 1) / smallest, policy.merge_factor) + 1))


def _fitting(members: Sequence[SegmentStats], policy: ShardPolicy) -> list[SegmentStats]:
    """As many of `members`, smallest first, as one segment may hold."""
    chosen: list[SegmentStats] = []
    for segment in members:
        rows = sum(s.alive for s in chosen) + segment.alive
        size_bytes = sum(s.size_bytes for s in chosen) + segment.size_bytes
        if rows > policy.max_segment_rows or size_bytes > policy.max_segment_bytes:
            break
        chosen.append(segment)
    return chosen


def _base(chosen: Sequence[SegmentStats]) -> str | None:
    """The oldest of them that has a graph and is about as large as the largest that has one."""
    indexed = [s for s in chosen if s.indexed]
    enough = _AS_LARGE * max((s.alive for s in indexed), default=0)
    return next((s.name for s in indexed if s.alive >= enough), None)
