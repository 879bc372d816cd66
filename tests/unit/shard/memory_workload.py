"""Writes into four collections of a host with a small budget until it was refused, for Linux.

Run as `python -m tests.unit.shard.memory_workload FOLDER rows|graphs`: what fills the memory are
rows that the disk does not take, or graphs. Prints a JSON object: documents `written` and `found`,
how often it was `refused`, and the memory that the ledger and the system say the process took.
"""

import json
import logging
import sys
import threading
from pathlib import Path

import numpy as np

from akidb_ray.domain.collection import CollectionSpec, HnswEngine, Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import Exhausted, StorageFull
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardCount
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.storage.watched_filesystem import WatchedFileSystem

BUDGET_MB = 100
DIMENSION, BATCH, REFUSALS = 1024, 250, 20
ALL = RowFilter()
PAYLOAD = b'{"n": 1, "genre": "drama", "tags": ["a", "b"], "year": 1999}'
KEYS = [ShardKey(TenantId.new(), CollectionId.new(), number) for number in range(4)]
SPEC = CollectionSpec(
    DIMENSION,
    Metric.L2,
    hnsw_m=4,
    hnsw_ef_construction=8,
    hnsw_engine=HnswEngine.HNSWLIB,
)


class Watcher:
    """The largest memory of its own that the process had since it began, in MB."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._before = self._now()
        self.peak_mb = 0.0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak_mb = max(self.peak_mb, self._now() - self._before)

    def _now(self) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        (anonymous,) = [line for line in lines if line.startswith("RssAnon:")]
        return int(anonymous.split()[1]) / 1024

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _batch(number: int, random: np.random.Generator) -> DocumentBatch:
    ids = [f"document-{number}-{row}" for row in range(BATCH)]
    vectors = random.normal(size=(BATCH, DIMENSION)).astype(np.float32)
    return DocumentBatch(ids, vectors, ["some text"] * BATCH, [PAYLOAD] * BATCH)


def main() -> None:
    logging.disable()
    fs = WatchedFileSystem(OsFileSystem(Path(sys.argv[1])))
    graphs = sys.argv[2] == "graphs"
    if not graphs:
        fs.watch.fail("create_directory", "segments/", StorageFull("no room"), times=10**9)
    # Where graphs do not fit, more and more rows wait for one.
    policy = ShardPolicy(
        disk_reserve_bytes=0,
        seal_rows=2_000,
        unindexed_slow_rows=9_999,
        unindexed_max_rows=10_000 if graphs else 10**9,
        max_write_delay_s=0.0,
    )
    replicas = Replicas(fs, policy, HostPolicy(memory_budget_bytes=BUDGET_MB * 1024**2))
    for key in KEYS:
        replicas.create(key, SPEC, {})
    random, pause = np.random.default_rng(1), threading.Event()
    watcher, written, refused, counted_mb = Watcher(), 0, 0, 0.0
    while refused < REFUSALS:
        key = KEYS[(written // BATCH + refused) % len(KEYS)]
        try:
            replicas.write(ShardUpsert(key, _batch(written, random), ALL))
            written += BATCH
        except Exhausted:
            refused += 1
            pause.wait(0.05)
        counted_mb = max(counted_mb, replicas.memory.used_bytes / 1024**2)
    watcher.stop()
    found = sum(replicas.count(ShardCount(key, ALL)) for key in KEYS)
    told = {"written": written, "found": found, "refused": refused}
    sys.stdout.write(json.dumps({**told, "counted_mb": counted_mb, "peak_mb": watcher.peak_mb}))
    replicas.close()


if __name__ == "__main__":
    main()
