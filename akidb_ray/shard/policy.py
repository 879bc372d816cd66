"""When a replica seals, indexes and refuses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShardPolicy:
    """Limits of one replica.

    A growing segment is sealed at `seal_rows` or `seal_bytes`, or after `seal_idle_s` without a
    write when it has at least `index_min_rows`. Smaller segments get no graph: comparing is as
    fast.
    """

    seal_rows: int = 50_000
    seal_bytes: int = 256 * 1024**2
    seal_idle_s: float = 2.0
    index_min_rows: int = 1_000
    build_threads: int = 1
    disk_reserve_bytes: int = 256 * 1024**2
    lock_wait_s: float = 60.0
    wal_retention_bytes: int = 1024**3
