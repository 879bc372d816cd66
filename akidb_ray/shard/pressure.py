"""What holds writes back: graphs that lag behind, and a disk that fills up."""

from akidb_ray.domain.errors import Exhausted, StorageFull
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.storage.filesystem import FileSystem


def write_delay_s(unindexed_rows: int, policy: ShardPolicy) -> float:
    """How long a write of rows has to wait before it is carried out.

    It rises from nothing at `unindexed_slow_rows` to `max_write_delay_s` at `unindexed_max_rows`,
    where Exhausted is raised.
    """
    if unindexed_rows >= policy.unindexed_max_rows:
        raise Exhausted(
            f"{unindexed_rows} rows of this shard wait to be indexed, {policy.unindexed_max_rows} "
            "may; try again when some are done",
            unindexed_rows=unindexed_rows,
        )
    over = unindexed_rows - policy.unindexed_slow_rows
    if over <= 0:
        return 0.0
    span = policy.unindexed_max_rows - policy.unindexed_slow_rows
    return policy.max_write_delay_s * over / span


def check_room(fs: FileSystem, policy: ShardPolicy) -> None:
    """Raise StorageFull when less than the reserve, which deletes and merges need, is free."""
    if fs.free_bytes() < policy.disk_reserve_bytes:
        raise StorageFull(
            f"less than {policy.disk_reserve_bytes} bytes are free on the disk; "
            "delete documents or make room"
        )
