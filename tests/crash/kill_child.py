"""Embeds one shard and writes numbered batches until it is killed.

Run as `python -m tests.crash.kill_child FOLDER FIRST`. Each line on stdout acknowledges one write:
`upsert N` or `delete N`, N being the number of its batch.
"""

import sys
import threading
from pathlib import Path

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.write import ShardDelete, ShardUpsert
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import NAMES, SHARD, batch

SPEC = CollectionSpec(16, Metric.COSINE, hnsw_m=8, hnsw_ef_construction=16, wal_retention_seconds=0)
POLICY = ShardPolicy(seal_rows=120, index_min_rows=100, disk_reserve_bytes=0)
BATCH = 8


def ids_of_batch(number: int) -> list[str]:
    """Its own documents, and one that every batch overwrites."""
    return [*(f"{number}-{position}" for position in range(BATCH)), "shared"]


def is_deleted_later(number: int) -> bool:
    return number % 3 == 0


def _write(replica: Replica, first: int) -> None:
    for number in range(first, 10**9):
        ids = ids_of_batch(number)
        payloads = [{"batch": number, "n": position} for position in range(len(ids))]
        documents = batch(ids, seed=number, payloads=payloads)
        replica.write(ShardUpsert(SHARD, documents, RowFilter()))
        _say(f"upsert {number}")
        if is_deleted_later(number):
            replica.write(ShardDelete(SHARD, RowFilter(), ids=ids[:BATCH]))
            _say(f"delete {number}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _maintain(replica: Replica) -> None:
    pause = threading.Event()
    while True:
        if not maintain(replica):
            pause.wait(0.002)


def main() -> None:
    fs = OsFileSystem(Path(sys.argv[1]))
    create_replica(fs, SPEC, NAMES)
    replica = open_replica(fs, POLICY)
    threading.Thread(target=_maintain, args=(replica,), daemon=True).start()
    _write(replica, first=int(sys.argv[2]))


if __name__ == "__main__":
    main()
