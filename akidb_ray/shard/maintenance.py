"""What happens behind the writes: sealing frozen segments and building their graphs.

Both run beside reads and writes, and take the commit lock only to swap the result in. A crash at
any point leaves files that no manifest names; the next opening removes them.
"""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from akidb_ray.domain.collection import IndexKind
from akidb_ray.domain.errors import AkiDBError
from akidb_ray.index.hnsw import HnswGraph
from akidb_ray.segment.sealed import SealedSegment, Source, write_segment
from akidb_ray.shard.live import LiveSegment
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.manifest import SegmentEntry

SEGMENTS = PurePosixPath("segments")
INDEXES = PurePosixPath("indexes")
GRAPH = "graph.hnsw"


def maintain(replica: Replica) -> bool:
    """Do one piece of work; return whether there was any. One thread at a time does."""
    with replica.maintenance_lock:
        replica.freeze_if_idle()
        if replica.failed:
            return False
        if replica.live.frozen:
            seal_oldest(replica)
            return True
        if replica.manifest.collection["spec"]["index_kind"] == IndexKind.FLAT:
            return False
        for live in replica.live.sealed:
            if live.graph is None and len(live.live) >= replica.policy.index_min_rows:
                build_graph(replica, live)
                return True
        return False


@contextlib.contextmanager
def _whole_or_removed(replica: Replica, folder: PurePosixPath) -> Iterator[None]:
    """What is tried again and again on a full disk must not fill it with its remains."""
    try:
        yield
    except Exception:
        with contextlib.suppress(AkiDBError):
            replica.fs.remove_tree(folder)
        raise


def seal_oldest(replica: Replica) -> None:
    """Write the oldest frozen segment to disk, without its dead rows, and put it in the other's
    place.

    Rows that die while the files are written are marked dead in the new segment at the swap.
    """
    with replica.commit_lock:
        frozen = replica.live.frozen[0]
        rows = np.flatnonzero(frozen.live)
    name = str(uuid.uuid4())
    sealed = None
    if len(rows):
        sealed = _write_sealed(replica, frozen, rows, name)
    with replica.commit_lock:
        if sealed is not None:
            sealed.kill(np.flatnonzero(~frozen.live[rows]).tolist())
        segments = [*replica.live.sealed, *([sealed] if sealed else [])]
        assert frozen.frozen_at is not None
        replica.checkpoint(segments, frozen.frozen_at)
        replica.live.sealed = segments
        replica.live.frozen.remove(frozen)
        replica.publish()


def _write_sealed(
    replica: Replica,
    frozen: LiveSegment,
    rows: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    name: str,
) -> LiveSegment:
    path = SEGMENTS / name
    source = Source(frozen.segment, rows)
    with _whole_or_removed(replica, path):
        checksum = write_segment(replica.fs, path, [source], replica.dimension)
        segment = SealedSegment.open(replica.fs, path, checksum)
    sealed = LiveSegment(segment, np.ones(len(rows), np.bool_))
    sealed.entry = SegmentEntry(name, len(rows), checksum)
    return sealed


def build_graph(replica: Replica, live: LiveSegment) -> None:
    """Build and save the graph of a sealed segment, then let searches use it."""
    spec = replica.manifest.collection["spec"]
    graph = HnswGraph.build(
        replica.metric,
        live.segment.vectors,
        spec["hnsw_m"],
        spec["hnsw_ef_construction"],
        replica.policy.build_threads,
    )
    name = str(uuid.uuid4())
    folder = INDEXES / name
    with _whole_or_removed(replica, folder):
        replica.fs.create_directory(folder)
        replica.fs.import_file(folder / GRAPH, graph.save)
        replica.fs.sync_directory(folder)
        checksum = crc32c(replica.fs.map(folder / GRAPH))
    with replica.commit_lock:
        assert live.entry is not None
        live.entry = replace(live.entry, graph=name, graph_checksum=checksum)
        replica.checkpoint(replica.live.sealed, replica.manifest.checkpoint)
        live.set_graph(graph)
        replica.publish()
