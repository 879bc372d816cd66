"""Documents: write, read, patch, delete and count them, over all shards of a collection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from akidb_ray.access.authorization import Action, Principal
from akidb_ray.domain.bounds import check_whole
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.document import DocumentBatch, StoredDocument
from akidb_ray.domain.errors import InvalidArgument, NotFound
from akidb_ray.domain.filter import EVERYTHING, Filter, RowFilter
from akidb_ray.domain.ids import check_document_id
from akidb_ray.domain.patch import PayloadPatch, check_patch
from akidb_ray.domain.query import MAX_LIMIT, ScrollQuery, ShardCount, ShardGet, ShardScroll
from akidb_ray.domain.scroll_cursor import read_cursor, scroll_cursor
from akidb_ray.domain.version_token import version_token
from akidb_ray.domain.write import (
    DEFAULT_OPTIONS,
    ShardDelete,
    ShardPatch,
    ShardUpsert,
    ShardWrite,
    UpsertMode,
    WriteOptions,
    check_options,
)
from akidb_ray.service.collections import CollectionRef, Collections
from akidb_ray.service.document_limits import DocumentLimits
from akidb_ray.service.fan_out import (
    Deadline,
    ask_shards,
    least_of,
    raise_first_error,
    shard_key,
    within,
)
from akidb_ray.service.incoming import (
    IncomingDocument,
    beside_others,
    check_batch,
    prepare_batch,
)
from akidb_ray.service.ports import Embedders, ShardHosts
from akidb_ray.service.scrolling import ScrollMerge
from akidb_ray.service.split_writes import Write, rows_by_shard, split_options
from akidb_ray.service.writing import carry_out

# The write to a shard of a collection, by its number, that names these ids of its documents.
OfShard = Callable[[CollectionPlace, int, Sequence[str], WriteOptions], ShardWrite]


@dataclass(frozen=True, slots=True)
class Written:
    """`affected` documents were changed; `skipped` were named or matched, but not changed.

    `version` is an opaque token: the sequence that each written shard has reached. `truncated` are
    ids of documents whose text was longer than the model reads.
    """

    affected: int
    version: str
    truncated: tuple[str, ...] = ()
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class ScrollPage:
    """Documents in the order of their ids, and the cursor of the next page; None at the end."""

    documents: Sequence[StoredDocument]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Documents:
    """Writes are carried out by each shard for itself: a shard's part is kept whole or not at all.

    When a part fails, the error names what the others acknowledged. The same request again, with
    the same idempotency key, completes it: shards that were done give their first answer.
    Acknowledged means on disk, unless `options` ask for less.
    """

    collections: Collections
    hosts: ShardHosts
    embedders: Embedders
    limits: DocumentLimits

    async def upsert(
        self,
        principal: Principal,
        ref: CollectionRef,
        documents: Sequence[IncomingDocument],
        mode: UpsertMode = UpsertMode.UPSERT,
        options: WriteOptions = DEFAULT_OPTIONS,
    ) -> Written:
        """Write all documents; the batch is checked whole before anything is written."""
        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        batch, truncated = await prepare_batch(place, documents, self.embedders)
        return await self._upsert(place, visible, batch, mode, options, truncated)

    async def upsert_batch(
        self,
        principal: Principal,
        ref: CollectionRef,
        batch: DocumentBatch,
        mode: UpsertMode = UpsertMode.UPSERT,
        options: WriteOptions = DEFAULT_OPTIONS,
    ) -> Written:
        """The same for documents that came column by column, all of them with vectors."""
        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        await beside_others(len(batch), check_batch, place, batch)
        return await self._upsert(place, visible, batch, mode, options, ())

    async def _upsert(
        self,
        place: CollectionPlace,
        visible: RowFilter,
        batch: DocumentBatch,
        mode: UpsertMode,
        options: WriteOptions,
        truncated: tuple[str, ...],
    ) -> Written:
        writes = await beside_others(
            len(batch), _parts_of_batch, place, visible, batch, mode, options
        )
        if mode is UpsertMode.UPDATE:
            return await self._write(place, writes, truncated)
        async with self.limits.room_for(place, batch.ids):
            return await self._write(place, writes, truncated)

    async def patch_ids(
        self,
        principal: Principal,
        ref: CollectionRef,
        patch: PayloadPatch,
        ids: Sequence[str],
        options: WriteOptions = DEFAULT_OPTIONS,
    ) -> Written:
        """Change the payloads of the documents with these ids, where there are any."""
        check_patch(patch)

        def of_shard(
            place: CollectionPlace, number: int, own: Sequence[str], options: WriteOptions
        ) -> ShardWrite:
            key = shard_key(place, number)
            return ShardPatch(key, visible, patch, own, EVERYTHING, options)

        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        return await self._write_ids(place, ids, options, of_shard)

    async def patch_matching(
        self,
        principal: Principal,
        ref: CollectionRef,
        patch: PayloadPatch,
        filter: Filter,
        options: WriteOptions = DEFAULT_OPTIONS,
    ) -> Written:
        """Change the payloads of all documents that pass the filter."""
        check_patch(patch)
        _check_no_versions(options)
        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        writes: list[Write] = [
            (p, ShardPatch(shard_key(place, p.number), visible, patch, None, filter, options))
            for p in place.placements
        ]
        return await self._write(place, writes)

    async def delete_ids(
        self,
        principal: Principal,
        ref: CollectionRef,
        ids: Sequence[str],
        options: WriteOptions = DEFAULT_OPTIONS,
    ) -> Written:
        """Delete the documents with these ids, where there are any."""

        def of_shard(
            place: CollectionPlace, number: int, own: Sequence[str], options: WriteOptions
        ) -> ShardWrite:
            return ShardDelete(shard_key(place, number), visible, own, EVERYTHING, options)

        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        return await self._write_ids(place, ids, options, of_shard)

    async def delete_matching(
        self,
        principal: Principal,
        ref: CollectionRef,
        filter: Filter,
        options: WriteOptions = DEFAULT_OPTIONS,
    ) -> Written:
        """Delete all documents that pass the filter."""
        _check_no_versions(options)
        place, visible = await self.collections.ready(principal, ref, Action.WRITE_DOCUMENTS)
        writes: list[Write] = [
            (p, ShardDelete(shard_key(place, p.number), visible, None, filter, options))
            for p in place.placements
        ]
        return await self._write(place, writes)

    async def _write_ids(
        self,
        place: CollectionPlace,
        ids: Sequence[str],
        options: WriteOptions,
        of_shard: OfShard,
    ) -> Written:
        writes = await beside_others(len(ids), _parts_of_ids, place, ids, options, of_shard)
        return await self._write(place, writes)

    async def _write(
        self, place: CollectionPlace, writes: Sequence[Write], truncated: tuple[str, ...] = ()
    ) -> Written:
        done = await carry_out(self.hosts, place, writes)
        reached = [(p, outcome.sequence) for (p, _), outcome in zip(writes, done, strict=True)]
        return Written(
            sum(outcome.affected for outcome in done),
            version_token(place.collection.collection_id, reached),
            truncated,
            sum(outcome.skipped for outcome in done),
        )

    async def get(
        self,
        principal: Principal,
        ref: CollectionRef,
        document_id: str,
        with_vector: bool = False,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> StoredDocument:
        """Raises NotFound, also for a document that the principal may not see."""
        check_document_id(document_id)
        found = await self.get_many(
            principal, ref, [document_id], with_vector, min_version, timeout_ms
        )
        if not found:
            raise NotFound("document", document_id)
        return found[0]

    async def get_many(
        self,
        principal: Principal,
        ref: CollectionRef,
        ids: Sequence[str],
        with_vector: bool = False,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> list[StoredDocument]:
        """Those documents that are there, each once, in the order of `ids`.

        This and all reads below raise Unavailable and DeadlineExceeded when a shard that is asked
        does not answer: no document is left out for that.
        """
        deadline = Deadline.after(timeout_ms)
        place, visible = await self._readable(principal, ref, deadline)
        least = least_of(place, min_version)

        def gets_of() -> tuple[list[str], list[ShardGet]]:
            _check_ids(ids)
            unique = list(dict.fromkeys(ids))
            rows = rows_by_shard(place, unique).items()
            return unique, [
                ShardGet(
                    shard_key(place, number),
                    [unique[row] for row in own],
                    visible,
                    with_vector,
                    least.get(number, 0),
                )
                for number, own in rows
            ]

        unique, gets = await within(
            deadline, beside_others(len(ids), gets_of), "no thread was free in time"
        )
        answers = raise_first_error(await ask_shards(self.hosts, place, gets, deadline))
        found = {document.id: document for part in answers for document in part}
        return [found[document_id] for document_id in unique if document_id in found]

    async def scroll(
        self,
        principal: Principal,
        ref: CollectionRef,
        filter: Filter = EVERYTHING,
        limit: int = 100,
        cursor: str | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> ScrollPage:
        """The next `limit` documents that pass, in the order of their ids (by code point).

        The page after goes on behind the last id, whatever was written meanwhile. Raises
        InvalidArgument that names `limit` or `cursor`.
        """
        check_whole("limit", limit, 1, MAX_LIMIT)
        after = read_cursor(cursor)
        deadline = Deadline.after(timeout_ms)
        place, visible = await self._readable(principal, ref, deadline)
        least = least_of(place, min_version)
        merge = ScrollMerge([p.number for p in place.placements], after, limit)
        while asked := merge.ask():
            scrolls = [
                ShardScroll(
                    shard_key(place, number),
                    ScrollQuery(count, behind, filter, with_payload, with_vector),
                    visible,
                    least.get(number, 0),
                )
                for number, (count, behind) in asked.items()
            ]
            parts = raise_first_error(await ask_shards(self.hosts, place, scrolls, deadline))
            for number, part in zip(asked, parts, strict=True):
                merge.take(number, part)
        page, last = merge.page()
        return ScrollPage(page, None if last is None else scroll_cursor(last))

    async def count(
        self,
        principal: Principal,
        ref: CollectionRef,
        filter: Filter = EVERYTHING,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> int:
        """How many documents pass, exactly."""
        deadline = Deadline.after(timeout_ms)
        place, visible = await self._readable(principal, ref, deadline)
        least = least_of(place, min_version)
        counts = [
            ShardCount(shard_key(place, p.number), visible, filter, least.get(p.number, 0))
            for p in place.placements
        ]
        return sum(raise_first_error(await ask_shards(self.hosts, place, counts, deadline)))

    async def _readable(
        self, principal: Principal, ref: CollectionRef, deadline: Deadline
    ) -> tuple[CollectionPlace, RowFilter]:
        ready = self.collections.ready(principal, ref, Action.READ_DOCUMENTS)
        return await within(deadline, ready, "the collection was not found in time")


def _parts_of_batch(
    place: CollectionPlace,
    visible: RowFilter,
    batch: DocumentBatch,
    mode: UpsertMode,
    options: WriteOptions,
) -> list[Write]:
    """One write for each shard that owns a document of the batch. Raises InvalidArgument."""
    _check_conditions(options, batch.ids)
    writes: list[Write] = []
    for number, rows in rows_by_shard(place, batch.ids).items():
        own = batch if len(rows) == len(batch) else batch.take(rows)
        key, part = shard_key(place, number), split_options(options, own.ids)
        writes.append((place.placements[number], ShardUpsert(key, own, visible, mode, part)))
    return writes


def _parts_of_ids(
    place: CollectionPlace, ids: Sequence[str], options: WriteOptions, of_shard: OfShard
) -> list[Write]:
    """The same for documents that are named by their ids."""
    _check_ids(ids)
    _check_conditions(options, ids)
    writes: list[Write] = []
    for number, rows in rows_by_shard(place, ids).items():
        own = [ids[row] for row in rows]
        write = of_shard(place, number, own, split_options(options, own))
        writes.append((place.placements[number], write))
    return writes


def _check_ids(ids: Sequence[str]) -> None:
    for row, document_id in enumerate(ids):
        check_document_id(document_id, f"ids[{row}]")


def _check_conditions(options: WriteOptions, ids: Sequence[str]) -> None:
    """A version is looked at by the shard of its document, which must have a part in the write."""
    check_options(options)
    for document_id in options.if_versions.keys() - set(ids):
        raise InvalidArgument(f"if_versions.{document_id}", "names no document of this request")


def _check_no_versions(options: WriteOptions) -> None:
    check_options(options)
    if options.if_versions:
        raise InvalidArgument("if_versions", "goes with ids, not with a filter; see only_if")
