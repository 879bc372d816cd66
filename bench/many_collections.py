"""Many small collections on one host: what each costs to make, to open and to hold.

    python -m bench.many_collections [--collections 10000] [--folder DIR]

Writes ten documents into each, starts anew on the same folder, and opens them one after the other.
Prints a table, and writes bench/results/many_collections.json.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardSearch, VectorQuery
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.os_filesystem import OsFileSystem

DIMENSION, DOCUMENTS = 384, 10
ALL = RowFilter()


def documents(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> DocumentBatch:
    ids = [f"document-{number}" for number in range(DOCUMENTS)]
    payloads = [b'{"n": %d, "kind": "small"}' % number for number in range(DOCUMENTS)]
    return DocumentBatch(ids, vectors, ["a short text"] * DOCUMENTS, payloads)


def measure(folder: Path, count: int) -> dict[str, float]:
    host = HostPolicy(max_open_replicas=256, close_idle_s=1e9)
    vectors = np.random.default_rng(1).normal(size=(DOCUMENTS, DIMENSION)).astype(np.float32)
    keys = [ShardKey(TenantId.new(), CollectionId.new(), 0) for _ in range(count)]
    replicas = Replicas(OsFileSystem(folder), ShardPolicy(), host)
    started = time.perf_counter()
    for key in keys:
        replicas.create(key, CollectionSpec(DIMENSION), {"collection": "small"})
        replicas.write(ShardUpsert(key, documents(vectors), ALL))
    made_s = time.perf_counter() - started
    replicas.close()

    started = time.perf_counter()
    replicas = Replicas(OsFileSystem(folder), ShardPolicy(), host)
    start_ms = (time.perf_counter() - started) * 1000
    process = psutil.Process()
    before, first_ms, warm_ms = process.memory_info().rss, [], []
    held = 0
    for number, key in enumerate(keys):
        for took_ms in (first_ms, warm_ms):
            began = time.perf_counter()
            hits = replicas.search(ShardSearch(key, VectorQuery(vectors[3], 1), ALL))
            took_ms.append((time.perf_counter() - began) * 1000)
            assert hits[0].id == "document-3"
        if number == 199:
            held = process.memory_info().rss - before
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    opened = replicas.open_count
    replicas.close()
    return {
        "collections": count,
        "made and filled per s": count / made_s,
        "host start ms": start_ms,
        "first search p50 ms": float(np.percentile(first_ms, 50)),
        "first search p95 ms": float(np.percentile(first_ms, 95)),
        "warm search p50 ms": float(np.percentile(warm_ms, 50)),
        "recall@1": 1.0,
        "KiB per open collection": held / 200 / 1024,
        "open at the end": opened,
        "file descriptors": descriptors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        figures = measure(Path(name), options.collections)
    for title, value in figures.items():
        print(f"{title:>24}  {value:,.2f}")
    target = Path(__file__).parent / "results" / "many_collections.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
