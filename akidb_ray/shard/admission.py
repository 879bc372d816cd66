"""What a replica refuses to take: too many documents, rows of somebody else, a full disk."""

from collections.abc import Mapping
from typing import Any

from akidb_ray.domain.errors import Forbidden, QuotaExceeded, StorageFull
from akidb_ray.domain.filter import RowFilter, passes
from akidb_ray.domain.query import ShardUpsert
from akidb_ray.segment.rows import flat_of
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.view import View
from akidb_ray.storage.filesystem import FileSystem

_EVERYTHING = RowFilter()


def share_of_documents(spec: Mapping[str, Any]) -> int:
    """The part of the collection's `max_doc_count` that each of its shards holds, rounded up."""
    return -(-int(spec["max_doc_count"]) // int(spec["shard_count"]))


def check_upsert(write: ShardUpsert, view: View, max_documents: int) -> None:
    """Raise QuotaExceeded or Forbidden when `view`, the present state, does not allow the write."""
    _check_count(write, view, max_documents)
    _check_visible(write, view)


def check_room(fs: FileSystem, policy: ShardPolicy) -> None:
    """Raise StorageFull when less than the reserve, which deletes and merges need, is free."""
    if fs.free_bytes() < policy.disk_reserve_bytes:
        raise StorageFull(
            f"less than {policy.disk_reserve_bytes} bytes are free on the disk; "
            "delete documents or make room"
        )


def _check_count(write: ShardUpsert, view: View, max_documents: int) -> None:
    if view.documents + len(write.documents) <= max_documents:
        return
    ids = list(dict.fromkeys(write.documents.ids))
    replaced = len(view.get(ids, _EVERYTHING, with_vector=False))
    if view.documents + len(ids) - replaced > max_documents:
        raise QuotaExceeded("max_doc_count", max_documents, view.documents)


def _check_visible(write: ShardUpsert, view: View) -> None:
    """A principal may write only rows that it could see, before and after."""
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
