"""How a replica stands, for people and for whoever waits until it is indexed."""

import numpy as np

from akidb_ray.domain.query import ShardStatus
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.shard.merging import tasks_of
from akidb_ray.shard.replica import Replica


def status_of(replica: Replica) -> ShardStatus:
    view = replica.view()
    sealed = [live.segment for live in replica.live.sealed]
    return ShardStatus(
        sequence=view.sequence,
        documents=view.documents,
        unindexed=view.unindexed_rows if replica.has_graphs else 0,
        segments=len(view.segments),
        wal_bytes=replica.wal.size_bytes,
        indexing=replica.has_graphs and _has_work(replica),
        memory_bytes=replica.memory_bytes,
        mapped_bytes=sum(s.mapped_bytes for s in sealed if isinstance(s, SealedSegment)),
    )


def _has_work(replica: Replica) -> bool:
    growing = int(np.count_nonzero(replica.live.growing.live))
    enough = growing >= replica.policy.index_min_rows
    return enough or bool(replica.live.frozen) or bool(tasks_of(replica))
