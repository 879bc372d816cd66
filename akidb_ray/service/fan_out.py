"""One call per host, until a deadline, and one answer from many parts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import (
    AkiDBError,
    Corrupt,
    DeadlineExceeded,
    NotFound,
    Unavailable,
)
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.placement import ShardKey, ShardPlacement
from akidb_ray.domain.query import ShardRead
from akidb_ray.domain.version_token import least_sequences
from akidb_ray.service.ports import ShardHosts
from akidb_ray.service.search_request import check_timeout

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Call = Callable[[StoreId, Sequence[Item]], Awaitable[list[Answer | AkiDBError]]]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time of the event loop's clock, in seconds; None: only the calls' own limits hold."""

    at: float | None = None

    @classmethod
    def after(cls, timeout_ms: int | None) -> "Deadline":
        """Raises InvalidArgument that names `timeout_ms`."""
        check_timeout(timeout_ms)
        if timeout_ms is None:
            return NO_DEADLINE
        return cls(asyncio.get_running_loop().time() + timeout_ms / 1000)

    def left_s(self) -> float | None:
        if self.at is None:
            return None
        return max(0.0, self.at - asyncio.get_running_loop().time())

    def halfway(self) -> "Deadline":
        """Half of the time that is left: for a step that may do without those who are late, when
        others are to come after it.
        """
        left_s = self.left_s()
        if left_s is None:
            return self
        return Deadline(asyncio.get_running_loop().time() + left_s / 2)


NO_DEADLINE = Deadline()


async def within(deadline: Deadline, work: Awaitable[Answer], late: str) -> Answer:
    """What `work` gives. Raises DeadlineExceeded, which says what is `late`."""
    try:
        return await _until(deadline, work)
    except TimeoutError:
        raise DeadlineExceeded(late) from None


async def _until(deadline: Deadline, work: Awaitable[Answer]) -> Answer:
    """What `work` gives. Raises TimeoutError."""
    if deadline.at is None:
        return await work
    async with asyncio.timeout_at(deadline.at):
        return await work


def shard_key(place: CollectionPlace, number: int) -> ShardKey:
    return ShardKey(place.tenant.tenant_id, place.collection.collection_id, number)


def least_of(place: CollectionPlace, min_version: str | None) -> Mapping[int, int]:
    """The sequence that each shard must have reached. Raises InvalidArgument."""
    return least_sequences(min_version, place.collection.collection_id, len(place.placements))


async def ask_shards(
    hosts: ShardHosts,
    place: CollectionPlace,
    reads: Sequence[ShardRead[Answer]],
    deadline: Deadline = NO_DEADLINE,
) -> list[Answer | AkiDBError]:
    """What the shards of a collection answer, in the order of `reads`."""
    items = [(place.placements[read.shard.number], read) for read in reads]
    return await fan_out(items, hosts.ask, deadline)


async def fan_out(
    items: Sequence[tuple[ShardPlacement, Item]],
    call: Call[Item, Answer],
    deadline: Deadline = NO_DEADLINE,
) -> list[Answer | AkiDBError]:
    """Send each item to the host of its shard, one call per host, and give the answers in order.

    The items of a host that has not answered by the deadline are answered by DeadlineExceeded. Its
    call is given up then, and so is every call when the caller is cancelled.
    """
    if not items:
        return []
    by_store: dict[StoreId, list[int]] = {}
    for position, (placement, _) in enumerate(items):
        by_store.setdefault(placement.store_id, []).append(position)
    if len(by_store) == 1:
        # Most collections have one shard: a call without a task of its own costs half.
        (store,) = by_store
        alone = await _call_until(deadline, store, [item for _, item in items], call)
        return [_as_seen(answer) for _, answer in zip(items, alone, strict=True)]
    parts = await _call_all(
        deadline, {s: [items[p][1] for p in own] for s, own in by_store.items()}, call
    )
    answers = {
        position: _as_seen(answer)
        for store, positions in by_store.items()
        for position, answer in zip(positions, parts[store], strict=True)
    }
    return [answers[position] for position in range(len(items))]


async def _call_until(
    deadline: Deadline, store: StoreId, items: Sequence[Item], call: Call[Item, Answer]
) -> Sequence[Answer | AkiDBError]:
    try:
        return await _until(deadline, call(store, items))
    except TimeoutError:
        return [_late(store)] * len(items)


async def _call_all(
    deadline: Deadline, items: Mapping[StoreId, Sequence[Item]], call: Call[Item, Answer]
) -> dict[StoreId, Sequence[Answer | AkiDBError]]:
    calls = {store: asyncio.ensure_future(call(store, own)) for store, own in items.items()}
    try:
        await asyncio.wait(calls.values(), timeout=deadline.left_s())
    finally:
        # Those that are done are not harmed by it.
        for future in calls.values():
            future.cancel()
    return {
        store: future.result() if future.done() else [_late(store)] * len(items[store])
        for store, future in calls.items()
    }


def _late(store: StoreId) -> AkiDBError:
    return DeadlineExceeded(f"the shard host of store {store} did not answer in time")


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


def present(
    numbers: Sequence[int],
    answers: Sequence[Answer | AkiDBError],
    partial: bool,
    all_may_miss: bool = False,
) -> tuple[dict[int, Answer], tuple[int, ...]]:
    """The answers by the numbers of their shards, and the numbers of those that gave none.

    Shards may be missing when `partial` allows it, and only because they cannot answer now: what is
    wrong with the request is wrong everywhere. All of them must not, unless `all_may_miss`. Else
    raises the error, one that no retry mends before all others.
    """
    found: dict[int, Answer] = {}
    errors: dict[int, AkiDBError] = {}
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, AkiDBError):
            errors[number] = answer
        else:
            found[number] = answer
    fatal = [error for error in errors.values() if not _is_absence(error)]
    if fatal or (errors and not (partial and (found or all_may_miss))):
        raise (fatal or list(errors.values()))[0]
    return found, tuple(sorted(errors))


def _is_absence(error: AkiDBError) -> bool:
    return error.retryable or isinstance(error, Corrupt)
