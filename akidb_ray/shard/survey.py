"""Which shards a store holds, read from its folders and their manifests, which stay as they are."""

from pathlib import PurePosixPath

from akidb_ray.domain.collection import MAX_SHARD_COUNT
from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.found_shards import FoundShard, Survey
from akidb_ray.domain.ids import CollectionId, DatabaseId, StoreId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.shard.checkpoint import SEGMENTS
from akidb_ray.shard.dropping import deletion_interrupted
from akidb_ray.shard.recovery import spec_of
from akidb_ray.shard.replicas import TENANTS
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import CURRENT, Manifest, read_manifest


def survey(fs: FileSystem, store_id: StoreId) -> Survey:
    """Look at every shard of a store, which may be open. Raises StorageFailed.

    What is found of a shard that is damaged is in its `problem`, and so is that what lies there is
    the rest of one whose deletion was interrupted. Documents are not verified here.
    """
    shards: list[FoundShard] = []
    strange: list[str] = []
    for tenant in fs.list(TENANTS):
        for collection in fs.list(TENANTS / tenant):
            for number in fs.list(TENANTS / tenant / collection):
                path = TENANTS / tenant / collection / number
                key = _key(tenant, collection, number)
                if key is None:
                    strange.append(str(path))
                else:
                    shards.append(_look(fs.subtree(path), key, store_id, str(path)))
    return Survey(tuple(shards), tuple(strange))


def _key(tenant: str, collection: str, number: str) -> ShardKey | None:
    try:
        key = ShardKey(TenantId.parse(tenant), CollectionId.parse(collection), int(number))
    except (InvalidArgument, ValueError):
        return None
    known = key.path == PurePosixPath(tenant, collection, number)
    return key if known and 0 <= key.number < MAX_SHARD_COUNT else None


def _look(fs: FileSystem, key: ShardKey, store_id: StoreId, folder: str) -> FoundShard:
    if not fs.exists(CURRENT):
        return FoundShard(key, store_id, folder, problem=_why_no_shard(fs))
    try:
        manifest = read_manifest(fs)
        spec = spec_of(manifest)
    except AkiDBError as error:
        return FoundShard(key, store_id, folder, problem=error.detail)
    gone = [e.segment for e in manifest.segments if not fs.exists(SEGMENTS / e.segment)]
    return FoundShard(
        key,
        store_id,
        folder,
        epoch=manifest.epoch,
        tenant=_text(manifest, "tenant"),
        database=_text(manifest, "database"),
        collection=_text(manifest, "collection"),
        database_id=_database_id(manifest),
        spec=spec,
        problem=f"lacks {len(gone)} of {len(manifest.segments)} segments" if gone else "",
    )


def _why_no_shard(fs: FileSystem) -> str:
    begun = "deletion" if deletion_interrupted(fs) else "creation"
    return f"is no shard: its {begun} was interrupted (there is no {CURRENT})"


def _text(manifest: Manifest, name: str) -> str:
    value = manifest.collection.get(name)
    return value if isinstance(value, str) else ""


def _database_id(manifest: Manifest) -> DatabaseId | None:
    """Replicas of before it was written down have none."""
    try:
        return DatabaseId.parse(_text(manifest, "database_id"))
    except InvalidArgument:
        return None
