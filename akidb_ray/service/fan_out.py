"""One call per host, and one answer from many parts."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import orjson

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import AkiDBError, NotFound, Unavailable
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.placement import ShardKey, ShardPlacement
from akidb_ray.domain.write import ShardUpsert, ShardWrite, WriteOutcome

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)


def shard_key(place: CollectionPlace, number: int) -> ShardKey:
    return ShardKey(place.tenant.tenant_id, place.collection.collection_id, number)


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
    return [_as_seen(answers[position]) for position in range(len(items))]


def _as_seen(answer: Answer | AkiDBError) -> Answer | AkiDBError:
    """A shard that is not where our copy of the catalog says: the copy is about to learn better."""
    if isinstance(answer, NotFound) and answer.fields["kind"] == "shard":
        return Unavailable("the collection was just deleted, or made anew; try again")
    return answer


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


def raise_failed_writes(
    writes: Sequence[tuple[ShardPlacement, ShardWrite]],
    outcomes: Sequence[WriteOutcome | AkiDBError],
) -> None:
    """Raise the first error that no retry mends, else the first one.

    When other parts succeeded, it says which ids are written, or how many documents are deleted.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, AkiDBError)]
    if not errors:
        return
    error = next((error for error in errors if not error.retryable), errors[0])
    done = [
        (write, outcome)
        for (_, write), outcome in zip(writes, outcomes, strict=True)
        if isinstance(outcome, WriteOutcome)
    ]
    if done:
        _log.warning("a part of a batch failed: %s", error)
        if isinstance(done[0][0], ShardUpsert):
            error.fields["acknowledged_ids"] = [
                document_id
                for write, _ in done
                if isinstance(write, ShardUpsert)
                for document_id in write.documents.ids
            ]
        else:
            error.fields["deleted"] = sum(outcome.affected for _, outcome in done)
    raise error
