"""Which shard owns a document, and which store holds a shard.

A document's id hashes to one of 4,096 slots; a collection's slots are cut into equal ranges, one
per shard. The stored placement decides where a shard lives; `place_shards` only proposes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from akidb_ray.domain.errors import Unavailable
from akidb_ray.domain.ids import SLOT_COUNT, CollectionId, StoreId, TenantId
from akidb_ray.domain.pickling import pickled_by_fields


@pickled_by_fields
@dataclass(frozen=True, slots=True, order=True)
class ShardKey:
    """Names one shard. The path in a store starts with the tenant, as isolation requires."""

    tenant_id: TenantId
    collection_id: CollectionId
    number: int

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(str(self.tenant_id), str(self.collection_id), f"{self.number:04d}")


@dataclass(frozen=True, slots=True)
class ShardPlacement:
    """One shard and the store that holds its primary replica, in its term `epoch`."""

    number: int
    store_id: StoreId
    epoch: int = 1


def shard_of(slot: int, shard_count: int) -> int:
    """The number of the shard that owns a slot, in a collection cut into equal slot ranges."""
    return slot * shard_count // SLOT_COUNT


def place_shards(shard_count: int, shards_by_store: Mapping[StoreId, int]) -> list[ShardPlacement]:
    """Propose a store for each shard: the one with the fewest, ties by id.

    Raises Unavailable when no store is known.
    """
    if not shards_by_store:
        raise Unavailable("no shard host has registered a store yet")
    load = dict(shards_by_store)
    placed = []
    for number in range(shard_count):
        store_id = min(load, key=lambda store: (load[store], store))
        load[store_id] += 1
        placed.append(ShardPlacement(number, store_id))
    return placed


def group_by_shard(slots: Sequence[int], shard_count: int) -> dict[int, list[int]]:
    """Positions of a batch by the shard that owns them, in the order of the batch."""
    groups: dict[int, list[int]] = {}
    for position, slot in enumerate(slots):
        # As `shard_of`, without a call for each of many.
        groups.setdefault(slot * shard_count // SLOT_COUNT, []).append(position)
    return groups
