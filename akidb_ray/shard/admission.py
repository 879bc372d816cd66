"""What a replica refuses to take: rows of somebody else, and more than the disk has room for."""

from akidb_ray.domain.errors import Forbidden, StorageFull
from akidb_ray.domain.filter import RowFilter, passes
from akidb_ray.domain.query import ShardUpsert
from akidb_ray.segment.rows import flat_of
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.view import View
from akidb_ray.storage.filesystem import FileSystem

_EVERYTHING = RowFilter()


def check_room(fs: FileSystem, policy: ShardPolicy) -> None:
    """Raise StorageFull when less than the reserve, which deletes and merges need, is free."""
    if fs.free_bytes() < policy.disk_reserve_bytes:
        raise StorageFull(
            f"less than {policy.disk_reserve_bytes} bytes are free on the disk; "
            "delete documents or make room"
        )


def check_visible(write: ShardUpsert, view: View) -> None:
    """Raise Forbidden unless the principal could see each row, before and after."""
    visible = write.visible.visible
    if not visible.must:
        return
    for payload in write.documents.payloads:
        if not passes(visible, flat_of(payload)):
            raise Forbidden("a document of the batch is outside of what you may write")
    stored = view.get(write.documents.ids, _EVERYTHING, with_vector=False)
    seen = view.get(write.documents.ids, write.visible, with_vector=False)
    if len(stored) != len(seen):
        raise Forbidden("a stored document of the batch is outside of what you may write")
