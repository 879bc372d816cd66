"""When a replica seals, merges, indexes, slows down and refuses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShardPolicy:
    """Limits of one replica.

    A growing segment is sealed at `seal_rows` or `seal_bytes`, after `seal_idle_s` without a write
    when it has at least `index_min_rows`, or when the log behind it is long, so that opening stays
    quick. Segments below `index_min_rows` get no graph: comparing is as fast.

    `merge_factor` segments of about the same size become one, up to `max_segment_rows` and
    `max_segment_bytes`; after `settle_s` without a write, all become one as far as that is worth
    it, since each segment costs every search about as much again. A segment of which more than
    `merge_gone_share` is deleted or expired is written anew.

    From `unindexed_slow_rows` on, each write waits longer, up to `max_write_delay_s`; at
    `unindexed_max_rows` it is refused, until graphs have caught up.
    """

    seal_rows: int = 50_000
    seal_bytes: int = 256 * 1024**2
    seal_idle_s: float = 2.0
    index_min_rows: int = 1_000
    merge_factor: int = 4
    settle_s: float = 30.0
    merge_gone_share: float = 0.3
    max_segment_rows: int = 1_000_000
    max_segment_bytes: int = 8 * 1024**3
    unindexed_slow_rows: int = 300_000
    unindexed_max_rows: int = 600_000
    max_write_delay_s: float = 0.5
    build_threads: int = 1
    disk_reserve_bytes: int = 256 * 1024**2
    lock_wait_s: float = 60.0
    wal_retention_bytes: int = 1024**3
    checkpoint_wal_bytes: int = 512 * 1024**2
    checkpoint_wal_files: int = 64
    buffered_sync_s: float = 1.0
    idempotency_s: float = 86_400.0
    max_idempotency_keys: int = 1_000_000


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Limits of all replicas of a store together.

    Memory counts what is the host's own (growing rows, graphs, keys), not mapped files, which the
    operating system drops when it needs room. A replica that nobody used for `close_idle_s` is
    closed, and the one used longest ago when `max_open_replicas` are open. When memory is short,
    those go that nobody used for `cool_s`. After a failure, maintenance leaves a replica alone for
    `back_off_s`, and a damaged one is not verified again. Masks of filters are kept beside all
    that, up to `mask_cache_bytes`.
    """

    memory_budget_bytes: int = 2 * 1024**3
    mask_cache_bytes: int = 64 * 1024**2
    max_open_replicas: int = 256
    close_idle_s: float = 300.0
    cool_s: float = 2.0
    back_off_s: float = 5.0
