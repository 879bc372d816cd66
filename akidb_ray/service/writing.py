"""How the parts of a write are carried out.

Once it has begun it goes on to its end, although the caller goes away: a client that hangs up must
not leave behind what some of the shards were sent and others not.

A write with `if_versions` in several shards cannot be atomic over them, but it can be refused as a
whole in nearly all cases: the versions are looked at in all shards, and the parts that will be
refused, as it seems, are sent before all others. Is one refused, nothing else is written. Are they
taken after all, the others follow: so a write that failed in part is completed by its key, whose
first parts gave their documents other versions. Every shard still checks its own conditions. When
that refuses a part because something was written in between, the error names what is written.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import AkiDBError
from akidb_ray.domain.query import ShardVersions
from akidb_ray.domain.write import ABSENT, WriteOutcome
from akidb_ray.service.fan_out import ask_shards, fan_out, raise_first_error
from akidb_ray.service.ports import ShardHosts
from akidb_ray.service.split_writes import Write, raise_failed_writes

Answer = TypeVar("Answer")
# The event loop itself does not keep tasks from being collected.
_UNDER_WAY: set[asyncio.Task[Any]] = set()


async def carry_out(
    hosts: ShardHosts, place: CollectionPlace, writes: Sequence[Write]
) -> list[WriteOutcome]:
    """The outcomes of the parts, in their order. Raises as `raise_failed_writes` does."""
    return await _to_its_end(_carry_out(hosts, place, writes))


async def _to_its_end(work: Coroutine[Any, Any, Answer]) -> Answer:
    task = asyncio.create_task(work)
    _UNDER_WAY.add(task)
    task.add_done_callback(_UNDER_WAY.discard)
    return await asyncio.shield(task)


async def _carry_out(
    hosts: ShardHosts, place: CollectionPlace, writes: Sequence[Write]
) -> list[WriteOutcome]:
    doubtful = await _doubtful(hosts, place, writes)
    others = [number for number in range(len(writes)) if number not in doubtful]
    outcomes: dict[int, WriteOutcome | AkiDBError] = {}
    for numbers in (doubtful, others):
        parts = [writes[number] for number in numbers]
        outcomes.update(zip(numbers, await fan_out(parts, hosts.write), strict=True))
        raise_failed_writes([writes[number] for number in outcomes], list(outcomes.values()))
    return raise_first_error([outcomes[number] for number in range(len(writes))])


async def _doubtful(
    hosts: ShardHosts, place: CollectionPlace, writes: Sequence[Write]
) -> list[int]:
    """Numbers of the parts that may be refused by the versions of documents."""
    conditional = [n for n, (_, write) in enumerate(writes) if write.options.if_versions]
    if len(conditional) < 2:
        # Sent first, one alone is refused before others are sent.
        return conditional
    reads = [
        ShardVersions(write.shard, list(write.options.if_versions), write.visible)
        for _, write in (writes[number] for number in conditional)
    ]
    stored = raise_first_error(await ask_shards(hosts, place, reads))
    return [
        number
        for number, versions in zip(conditional, stored, strict=True)
        if any(
            versions.get(document_id, ABSENT) != wanted
            for document_id, wanted in writes[number][1].options.if_versions.items()
        )
    ]
