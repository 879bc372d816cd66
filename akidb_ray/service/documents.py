"""Documents: write, read, delete and count them, over all shards of a collection."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import orjson

from akidb_ray.access.authorization import Action, Principal
from akidb_ray.domain.directory import CollectionPlace, check_ready
from akidb_ray.domain.document import DocumentBatch, StoredDocument, Vectors, check_vectors
from akidb_ray.domain.errors import AkiDBError, InvalidArgument, NotFound, Unavailable
from akidb_ray.domain.filter import Filter, RowFilter
from akidb_ray.domain.ids import StoreId, check_document_id, slot_of
from akidb_ray.domain.placement import ShardKey, ShardPlacement, group_by_shard
from akidb_ray.domain.query import (
    ShardCount,
    ShardDelete,
    ShardGet,
    ShardUpsert,
    ShardWrite,
    WriteOutcome,
)
from akidb_ray.service.collections import CollectionRef, Collections
from akidb_ray.service.ports import Embedders, ShardHosts
from akidb_ray.service.tenants import check_active

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class IncomingDocument:
    """A document as a client sent it: with a vector, or with a text to embed."""

    id: str
    vector: Sequence[float] | None = None
    text: str | None = None
    payload: Mapping[str, object] | None = None


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

    async def upsert(
        self, principal: Principal, ref: CollectionRef, documents: Sequence[IncomingDocument]
    ) -> Written:
        """Write all documents, each shard's part atomically; acknowledged means on disk.

        The batch is checked whole before anything is written. When a part fails, the error names
        the ids that were acknowledged; sending the batch again completes it.
        """
        place, visible = await self._ready(principal, ref, Action.WRITE_DOCUMENTS)
        batch, truncated = await self._prepare(place, documents)
        groups = group_by_shard([slot_of(i) for i in batch.ids], len(place.placements))
        writes: list[tuple[ShardPlacement, ShardWrite]] = [
            (
                place.placements[number],
                ShardUpsert(shard_key(place, number), batch.take(rows), visible),
            )
            for number, rows in groups.items()
        ]
        outcomes = await self._write(writes)
        _raise_failed(writes, outcomes)
        return Written(len(batch), version_token(writes, outcomes), truncated)

    async def _prepare(
        self, place: CollectionPlace, documents: Sequence[IncomingDocument]
    ) -> tuple[DocumentBatch, tuple[str, ...]]:
        """The checked batch, and the ids of documents whose text was cut by the model."""
        spec = place.collection.spec
        for row, document in enumerate(documents):
            _in_row(row, check_document_id, document.id, "id")
            _check_text(document.text, row)
        vectors = np.zeros((len(documents), spec.dimension), np.float32)
        to_embed = []
        truncated: tuple[str, ...] = ()
        for row, document in enumerate(documents):
            if document.vector is not None:
                vectors[row] = _in_row(row, as_vector, document.vector, spec.dimension, "vector")
            elif document.text is None:
                raise InvalidArgument(f"documents[{row}]", "needs a vector or a text", row)
            else:
                to_embed.append(row)
        given = [row for row, document in enumerate(documents) if document.vector is not None]
        _check_rows(vectors, given, place)
        payloads = [_encode_payload(d.payload, row) for row, d in enumerate(documents)]
        if to_embed:
            model = _in_row(to_embed[0], _model_of, place)
            texts = [str(documents[row].text) for row in to_embed]
            embedded = await self.embedders.embed(model, texts, "document")
            vectors[to_embed] = embedded.vectors
            truncated = tuple(
                documents[row].id
                for row, cut in zip(to_embed, embedded.truncated, strict=True)
                if cut
            )
        batch = DocumentBatch(
            ids=[document.id for document in documents],
            vectors=vectors,
            texts=[document.text for document in documents],
            payloads=payloads,
        )
        return batch, truncated

    async def get(
        self, principal: Principal, ref: CollectionRef, document_id: str, with_vector: bool
    ) -> StoredDocument:
        place, visible = await self._ready(principal, ref, Action.READ_DOCUMENTS)
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
        place, visible = await self._ready(principal, ref, Action.WRITE_DOCUMENTS)
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
        place, visible = await self._ready(principal, ref, Action.WRITE_DOCUMENTS)
        return await self._delete(
            [
                (p, ShardDelete(shard_key(place, p.number), visible, filter=filter))
                for p in place.placements
            ]
        )

    async def _delete(self, writes: list[tuple[ShardPlacement, ShardWrite]]) -> Written:
        outcomes = await self._write(writes)
        done = raise_first_error(outcomes)
        return Written(sum(o.affected for o in done), version_token(writes, outcomes))

    async def count(self, principal: Principal, ref: CollectionRef, filter: Filter) -> int:
        place, visible = await self._ready(principal, ref, Action.READ_DOCUMENTS)
        items = [
            (p, ShardCount(shard_key(place, p.number), visible, filter)) for p in place.placements
        ]
        return sum(raise_first_error(await fan_out(items, self.hosts.count)))

    async def _write(
        self, writes: list[tuple[ShardPlacement, ShardWrite]]
    ) -> list[WriteOutcome | AkiDBError]:
        return await fan_out(writes, self.hosts.write)

    async def _ready(
        self, principal: Principal, ref: CollectionRef, action: Action
    ) -> tuple[CollectionPlace, RowFilter]:
        place, visible = await self.collections.authorized(principal, ref, action)
        check_active(place.tenant)
        check_ready(place)
        return place, visible


def shard_key(place: CollectionPlace, number: int) -> ShardKey:
    return ShardKey(place.tenant.tenant_id, place.collection.collection_id, number)


def as_vector(numbers: Sequence[float], dimension: int, field: str) -> Vectors:
    """float32 (dimension,). Raises InvalidArgument for a wrong length."""
    if len(numbers) != dimension:
        raise InvalidArgument(field, f"must have {dimension} numbers, has {len(numbers)}")
    with np.errstate(over="ignore"):
        return np.asarray(numbers, np.float32)


async def fan_out(
    items: Sequence[tuple[ShardPlacement, Item]],
    call: Callable[[StoreId, Sequence[Item]], Awaitable[list[Answer | AkiDBError]]],
) -> list[Answer | AkiDBError]:
    """Send each item to the host of its shard, one call per host, and give the answers in order."""
    by_store: dict[StoreId, list[int]] = {}
    for position, (placement, _) in enumerate(items):
        by_store.setdefault(placement.store_id, []).append(position)
    calls = [call(store, [items[p][1] for p in positions]) for store, positions in by_store.items()]
    answers: dict[int, Answer | AkiDBError] = {}
    for positions, part in zip(by_store.values(), await asyncio.gather(*calls), strict=True):
        answers.update(zip(positions, part, strict=True))
    return [answers[position] for position in range(len(items))]


def raise_first_error(answers: Sequence[Answer | AkiDBError]) -> list[Answer]:
    """The answers, when none of them is an error."""
    values = []
    for answer in answers:
        if isinstance(answer, AkiDBError):
            raise answer
        values.append(answer)
    return values


def version_token(
    writes: Sequence[tuple[ShardPlacement, ShardWrite]],
    outcomes: Sequence[WriteOutcome | AkiDBError],
) -> str:
    """Opaque to clients: (shard, epoch, sequence) of each written shard."""
    reached = [
        [placement.number, placement.epoch, outcome.sequence]
        for (placement, _), outcome in zip(writes, outcomes, strict=True)
        if isinstance(outcome, WriteOutcome)
    ]
    return base64.urlsafe_b64encode(orjson.dumps(reached)).decode().rstrip("=")


def _raise_failed(
    writes: Sequence[tuple[ShardPlacement, ShardWrite]],
    outcomes: Sequence[WriteOutcome | AkiDBError],
) -> None:
    """Raise the first error; when other parts succeeded, say which ids are written."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, AkiDBError)]
    if not errors:
        return
    acknowledged = [
        document_id
        for (_, write), outcome in zip(writes, outcomes, strict=True)
        if isinstance(outcome, WriteOutcome) and isinstance(write, ShardUpsert)
        for document_id in write.documents.ids
    ]
    if not acknowledged:
        raise errors[0]
    failed = Unavailable(f"a part of the batch was not written ({errors[0]}); send it again")
    failed.fields["acknowledged_ids"] = acknowledged
    raise failed


def _check_rows(vectors: Vectors, rows: list[int], place: CollectionPlace) -> None:
    spec = place.collection.spec
    try:
        check_vectors(vectors[rows], spec.dimension, spec.metric)
    except InvalidArgument as error:
        row = rows[error.fields["row"]]
        raise InvalidArgument(f"documents[{row}].vector", error.fields["reason"], row) from None


def _model_of(place: CollectionPlace) -> str:
    model = place.collection.spec.embedding_model
    if model is None:
        raise InvalidArgument(
            "vector",
            "is required: this collection was made without an embedding_model, so it takes no text",
        )
    return model


def _encode_payload(payload: Mapping[str, object] | None, row: int) -> bytes | None:
    if payload is None:
        return None
    try:
        # orjson would write NaN as null; this refuses it.
        return json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"documents[{row}].payload", f"is not JSON: {error}", row) from None


def _check_text(text: str | None, row: int) -> None:
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"documents[{row}].text", "is not valid Unicode", row) from None


def _in_row(row: int, check: Callable[..., Answer], *arguments: object) -> Answer:
    """What `check` gives; a complaint of it names the row of the batch too."""
    try:
        return check(*arguments)
    except InvalidArgument as error:
        raise error.inside(f"documents[{row}].", row) from None
