"""Opens and closes a shard with a graph, and tells what the process holds of it. For Linux.

Run as `python -m tests.crash.memory_child FOLDER`. The folder holds the shards LARGE, with a graph,
and SMALL. Only one of them may be open, so that each use closes the other. Each line on stdout is a
JSON object: megabytes of resident memory, and the files of LARGE that are open or mapped.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import ShardSearch, VectorQuery
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import vectors_for

TENANT, COLLECTION = TenantId(UUID(int=1)), CollectionId(UUID(int=2))
LARGE, SMALL = (ShardKey(TENANT, COLLECTION, number) for number in range(2))
POLICY = ShardPolicy(seal_rows=30_000, disk_reserve_bytes=0, build_threads=2)
DIMENSION = 64
ROUNDS = 3
NEAR_MB = 4
_PATIENCE_S = 20.0


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _held_files() -> list[str]:
    mapped = [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            opened.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # the one that listed them
    return sorted({name for name in (*mapped, *opened) if str(LARGE.path) in name})


def _use(replicas: Replicas, shard: ShardKey) -> None:
    for seed in range(20):
        query = VectorQuery(vectors_for(["q"], seed, DIMENSION)[0], exact=seed % 2 == 0)
        replicas.search(ShardSearch(shard, query, RowFilter()))


def _report() -> None:
    line = json.dumps({"resident_mb": _resident_mb(), "held": _held_files()})
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _wait_until_near(resident_mb: float) -> None:
    give_up_at, pause = time.monotonic() + _PATIENCE_S, threading.Event()
    while _resident_mb() > resident_mb + NEAR_MB and time.monotonic() < give_up_at:
        pause.wait(0.05)


def main() -> None:
    host = HostPolicy(max_open_replicas=1)
    replicas = Replicas(OsFileSystem(Path(sys.argv[1])), POLICY, host)
    _use(replicas, SMALL)
    before = _resident_mb()
    _report()
    for _ in range(ROUNDS):
        _use(replicas, LARGE)
        _report()
        _use(replicas, SMALL)
        _wait_until_near(before)
        _report()
    _use(replicas, LARGE)
    replicas.close()
    _wait_until_near(before)
    _report()


if __name__ == "__main__":
    main()
