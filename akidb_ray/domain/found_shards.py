"""Shards as they are found on disk, when no catalog says what there is."""

from dataclasses import dataclass

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.ids import DatabaseId, StoreId
from akidb_ray.domain.placement import ShardKey


@dataclass(frozen=True, slots=True)
class FoundShard:
    """A shard's folder in a store, and what its manifest says of the collection.

    Names are those that things had when the collection was made, "" where none was written down;
    `tenant` is a slug. `problem` says why nobody can use the shard, "" for a usable one; `spec` is
    known then.
    """

    key: ShardKey
    store_id: StoreId
    folder: str
    epoch: int = 1
    tenant: str = ""
    database: str = ""
    collection: str = ""
    database_id: DatabaseId | None = None
    spec: CollectionSpec | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """All shards of a store, and the folders that are named like no shard's."""

    shards: tuple[FoundShard, ...]
    strange: tuple[str, ...]
