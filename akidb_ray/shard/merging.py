"""Merging sealed segments and building their graphs, while reads and writes go on.

A merge reads the segments as they are at one moment and remembers which row went where. What dies
while it works is marked dead in the new segment at the swap, under the commit lock. It may start
from the graph of one segment, whose rows then come first and in their old order, dead ones
included: a graph cannot forget a row. Of those only the vector is carried on.
"""

import contextlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import HnswEngine
from akidb_ray.domain.errors import AkiDBError, Corrupt, Exhausted, StorageFull
from akidb_ray.index.building import BuildStopped, GraphJob
from akidb_ray.index.graph_files import base_graph, load_graph, write_graph
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.sealed import VECTORS, SealedSegment
from akidb_ray.segment.segment_writer import Source
from akidb_ray.shard.checkpoint import INDEXES, SEGMENTS, entry_of
from akidb_ray.shard.live import LiveSegment
from akidb_ray.shard.plan import Merge, SegmentStats, Task, plan
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import removed_when_full, whole_or_removed, write_live_segment

_log = logging.getLogger(__name__)


def improve(replica: Replica) -> bool:
    """Do the most urgent merge or build that there is memory for; return whether one was done.

    Raises Exhausted when there is none for any.
    """
    refused: Exhausted | None = None
    with replica.merge_lock:
        for task in tasks_of(replica):
            try:
                _execute(replica, task)
                return True
            except BuildStopped:
                return False
            except Exhausted as error:
                # Another one may be smaller, and free some.
                refused = refused or error
    if refused is not None:
        raise refused
    return False


def tasks_of(replica: Replica) -> list[Task]:
    """What the sealed segments need, most urgent first."""
    with replica.commit_lock:
        if replica.failed:
            return []
        now, checkpoint = replica.around.clock(), replica.manifest.checkpoint
        stats = [_stats(live, now, checkpoint) for live in replica.live.sealed]
        idle_s = now - replica.last_write_at
    return plan(stats, replica.policy, replica.has_graphs, idle_s)


def _stats(live: LiveSegment, now: float, checkpoint: int) -> SegmentStats:
    entry, view = entry_of(live), live.view()
    return SegmentStats(
        name=entry.segment,
        rows=view.rows,
        gone=view.rows - view.alive_count(now),
        size_bytes=_sealed(live).mapped_bytes,
        indexed=live.graph is not None,
        settled=entry.attached_at <= checkpoint,
    )


def _execute(replica: Replica, task: Task) -> None:
    with replica.commit_lock:
        by_name = {entry_of(live).segment: live for live in replica.live.sealed}
        names = task.segments if isinstance(task, Merge) else (task.segment,)
        inputs = [by_name[name] for name in names]
        # A graph that is built upon, or over a segment as it is, has the dead rows too.
        whole = by_name.get(task.base or "") if isinstance(task, Merge) else inputs[0]
        rows = sum(len(s.live) if s is whole else s.view().live_count for s in inputs)
    documents = sum(_sealed(s).mapped_bytes - s.segment.vectors.nbytes for s in inputs)
    with replica.around.reserve(_graph_bytes(replica, rows) + 2 * documents):
        if isinstance(task, Merge):
            merge(replica, inputs, whole)
        else:
            build_graph(replica, inputs[0])


def _graph_bytes(replica: Replica, rows: int) -> int:
    """About what a graph of so many rows takes in memory."""
    if not replica.has_graphs or rows < replica.policy.index_min_rows:
        return 0
    spec = replica.spec
    # While the links are read from hnswlib's own file, its index is still there.
    links_bytes = (9 if spec.hnsw_engine is HnswEngine.HNSWLIB else 18) * spec.hnsw_m
    return rows * (4 * spec.dimension + links_bytes + 105) + 3 * 1024**2


def _sealed(live: LiveSegment) -> SealedSegment:
    assert isinstance(live.segment, SealedSegment)
    return live.segment


def build_graph(replica: Replica, live: LiveSegment) -> None:
    """Build and save the graph of a sealed segment, then let searches use it."""
    name, checksum, graph = _new_graph(replica, live, None)
    with replica.commit_lock:
        former = live.entry
        live.entry = replace(entry_of(live), graph=name, graph_checksum=checksum)
        try:
            replica.checkpoint(replica.live.sealed, replica.manifest.checkpoint)
        except BaseException as error:
            live.entry = former
            if isinstance(error, StorageFull):
                # The former manifest is the live one, and does not name the graph.
                with contextlib.suppress(AkiDBError):
                    replica.fs.remove_tree(INDEXES / name)
            raise
        live.set_graph(graph)
        replica.publish()


def merge(replica: Replica, inputs: Sequence[LiveSegment], base: LiveSegment | None) -> None:
    """Write the rows of `inputs`, oldest first, as one segment with one graph, and put it in the
    place of the oldest.
    """
    parts = _snapshot(replica, inputs, base)
    merged = None
    if any(len(part.rows) for part in parts):
        sources = [Source(p.live.segment, p.rows, p.alive) for p in parts]
        merged = write_live_segment(replica, sources)
        enough = np.count_nonzero(merged.live) >= replica.policy.index_min_rows
        # What no graph held yet may be merged once more before it is indexed.
        if replica.has_graphs and enough and any(live.graph for live in inputs):
            _index_merged(replica, merged, base)
    with replica.commit_lock:
        if merged is not None:
            _repeat_deaths(parts, merged, replica.around.clock())
        place = replica.live.sealed.index(inputs[0])
        kept = [live for live in replica.live.sealed if live not in inputs]
        added = [merged] if merged is not None else []
        with removed_when_full(replica.fs, added):
            sealed = [*kept[:place], *added, *kept[place:]]
            replica.checkpoint(sealed, replica.manifest.checkpoint)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What a merge takes of a segment: `rows`, of which `before` were live when it began.

    `alive` says which of them go on as documents; None means all.
    """

    live: LiveSegment
    rows: NDArray[np.int64]
    before: RowMask
    alive: RowMask | None = None


def _snapshot(
    replica: Replica, inputs: Sequence[LiveSegment], base: LiveSegment | None
) -> list[_Part]:
    with replica.commit_lock:
        views = [(live, live.view()) for live in inputs]
    now = replica.around.clock()
    parts = []
    for live, view in sorted(views, key=lambda pair: pair[0] is not base):
        alive = view.alive(now)
        if live is base:
            parts.append(_Part(live, np.arange(view.rows), alive, alive))
        else:
            rows = np.flatnonzero(alive)
            parts.append(_Part(live, rows, alive[rows]))
    return parts


def _repeat_deaths(parts: Sequence[_Part], merged: LiveSegment, now: float) -> None:
    start = 0
    for part in parts:
        died = part.before & ~part.live.live[part.rows]
        merged.kill((start + np.flatnonzero(died)).tolist(), now)
        start += len(part.rows)


def _index_merged(replica: Replica, merged: LiveSegment, base: LiveSegment | None) -> None:
    try:
        name, checksum, graph = _new_graph(replica, merged, base)
    except BaseException:
        replica.fs.remove_tree(SEGMENTS / entry_of(merged).segment)
        raise
    merged.entry = replace(entry_of(merged), graph=name, graph_checksum=checksum)
    merged.set_graph(graph)


def _new_graph(
    replica: Replica, live: LiveSegment, base: LiveSegment | None
) -> tuple[str, int, VectorIndex]:
    """Name, checksum and graph over the vectors of a sealed segment. Raises BuildStopped."""
    fs = replica.fs
    name = str(uuid.uuid4())
    folder = INDEXES / name
    with whole_or_removed(fs, folder):
        try:
            checksum = _write_graph(replica, live, base, folder)
        except Corrupt:
            if base is None:
                raise
            _log.exception("the graph to start from is damaged; building anew")
            checksum = _write_graph(replica, live, None, folder)
        return name, checksum, load_graph(fs, folder, checksum, live.segment.vectors)


def _write_graph(
    replica: Replica, live: LiveSegment, base: LiveSegment | None, folder: PurePosixPath
) -> int:
    spec, fs = replica.spec, replica.fs
    started = None
    if base is not None:
        entry = entry_of(base)
        started = base_graph(fs, INDEXES / str(entry.graph), entry.graph_checksum)
    job = GraphJob(
        metric=spec.metric,
        dimension=spec.dimension,
        rows=len(live.live),
        vectors_path=fs.library_path(SEGMENTS / entry_of(live).segment / VECTORS),
        m=spec.hnsw_m,
        ef_construction=spec.hnsw_ef_construction,
        threads=replica.policy.build_threads,
        engine=spec.hnsw_engine,
        base=started,
    )

    def stopped() -> bool:
        return replica.failed or replica.around.stopping()

    return write_graph(fs, folder, job, replica.around.builder, stopped)
