"""Documents: write, read, delete and count them, over all shards of a collection."""

from collections.abc import Sequence
from dataclasses import dataclass

from akidb_ray.access.authorization import Action, Principal
from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.ids import check_document_id, slot_of
from akidb_ray.domain.placement import ShardPlacement, group_by_shard
from akidb_ray.domain.query import ShardCount, ShardGet
from akidb_ray.domain.write import ShardDelete, ShardUpsert, ShardWrite
from akidb_ray.service.collections import CollectionRef, Collections
from akidb_ray.service.document_limits import DocumentLimits
from akidb_ray.service.fan_out import (
    fan_out,
    raise_failed_writes,
    raise_first_error,
    shard_key,
    version_token,
)
from akidb_ray.service.incoming import IncomingDocument, prepare_batch
from akidb_ray.service.ports import Embedders, ShardHosts


@dataclass(frozen=True, slots=True)
class Written:
    """`version` is an opaque token: the sequence that each written shard has reached.

    `truncated` are ids of documents whose text was longer than the model reads.
    """

    affected: int
    version: str
    truncated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Documents:
    collections: Collections
    hosts: ShardHosts
    embedders: Embedders
    limits: DocumentLimits

    async def upsert(
        self, principal: Principal, ref: CollectionRef, documents: Sequence[IncomingDocument]
    ) -> Written:
        """Write all documents, each shard's part atomically; acknowledged means on disk.

        The batch is checked whole before anything is written. When a part fails, the error names
        the ids that were acknowledged; sending the batch again completes it.
        """
        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        batch, truncated = await prepare_batch(place, documents, self.embedders)
        groups = group_by_shard([slot_of(i) for i in batch.ids], len(place.placements))
        writes: list[tuple[ShardPlacement, ShardWrite]] = [
            (
                place.placements[number],
                ShardUpsert(shard_key(place, number), batch.take(rows), visible),
            )
            for number, rows in groups.items()
        ]
        async with self.limits.room_for(place, batch.ids):
            outcomes = await fan_out(writes, self.hosts.write)
        raise_failed_writes(writes, outcomes)
        return Written(len(batch), version_token(writes, outcomes), truncated)

    async def get(
        self, principal: Principal, ref: CollectionRef, document_id: str, with_vector: bool
    ) -> StoredDocument:
        place, visible = await self.collections.ready(principal, ref, Action.READ_DOCUMENTS)
        check_document_id(document_id)
        number = next(iter(group_by_shard([slot_of(document_id)], len(place.placements))))
        item = ShardGet(shard_key(place, number), [document_id], visible, with_vector)
        answers = await fan_out([(place.placements[number], item)], self.hosts.get)
        found = raise_first_error(answers)[0]
        if not found:
            raise NotFound("document", document_id)
        return found[0]

    async def delete_ids(
        self, principal: Principal, ref: CollectionRef, ids: Sequence[str]
    ) -> Written:
        """Delete the documents with these ids, where there are any."""
        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        for row, document_id in enumerate(ids):
            check_document_id(document_id, f"ids[{row}]")
        groups = group_by_shard([slot_of(i) for i in ids], len(place.placements))
        writes: list[tuple[ShardPlacement, ShardWrite]] = [
            (
                place.placements[number],
                ShardDelete(shard_key(place, number), visible, [ids[row] for row in rows]),
            )
            for number, rows in groups.items()
        ]
        return await self._delete(writes)

    async def delete_matching(
        self, principal: Principal, ref: CollectionRef, filter: Filter
    ) -> Written:
        """Delete all documents that pass the filter."""
        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        return await self._delete(
            [
                (p, ShardDelete(shard_key(place, p.number), visible, filter=filter))
                for p in place.placements
            ]
        )

    async def _delete(self, writes: list[tuple[ShardPlacement, ShardWrite]]) -> Written:
        outcomes = await fan_out(writes, self.hosts.write)
        raise_failed_writes(writes, outcomes)
        done = raise_first_error(outcomes)
        return Written(sum(o.affected for o in done), version_token(writes, outcomes))

    async def count(self, principal: Principal, ref: CollectionRef, filter: Filter) -> int:
        place, visible = await self.collections.ready(principal, ref, Action.READ_DOCUMENTS)
        items = [
            (p, ShardCount(shard_key(place, p.number), visible, filter)) for p in place.placements
        ]
        return sum(raise_first_error(await fan_out(items, self.hosts.count)))
