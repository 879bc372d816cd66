"""Writes cut into the parts of their shards, and what is said when a part fails."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import AkiDBError
from akidb_ray.domain.ids import slots_of
from akidb_ray.domain.placement import ShardPlacement, group_by_shard
from akidb_ray.domain.write import (
    ShardDelete,
    ShardUpsert,
    ShardWrite,
    WriteOptions,
    WriteOutcome,
)

Write = tuple[ShardPlacement, ShardWrite]
_log = logging.getLogger(__name__)


def rows_by_shard(place: CollectionPlace, ids: Sequence[str]) -> Mapping[int, Sequence[int]]:
    """Positions in `ids` by the number of the shard that owns them. Shards that own none of them
    are left out.
    """
    shard_count = len(place.placements)
    if shard_count == 1:
        return {0: range(len(ids))} if ids else {}
    return group_by_shard(slots_of(ids), shard_count)


def split_options(options: WriteOptions, ids: Sequence[str]) -> WriteOptions:
    """The options for the shard that owns these ids."""
    if not options.if_versions:
        return options
    versions = options.if_versions
    return replace(options, if_versions={id: versions[id] for id in ids if id in versions})


def raise_failed_writes(
    writes: Sequence[Write], outcomes: Sequence[WriteOutcome | AkiDBError]
) -> None:
    """Raise the first error that no retry mends, else the first one.

    When other parts succeeded, it says in `acknowledged_ids` which ids are done, and in `deleted`
    or `patched` how many documents were.
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
        _log.warning("a part of a write failed: %s", error)
        ids = [id for write, _ in done for id in _ids_of(write)]
        if ids:
            error.fields["acknowledged_ids"] = ids
        if not isinstance(done[0][0], ShardUpsert):
            what = "deleted" if isinstance(done[0][0], ShardDelete) else "patched"
            error.fields[what] = sum(outcome.affected for _, outcome in done)
    raise error


def _ids_of(write: ShardWrite) -> Sequence[str]:
    return write.documents.ids if isinstance(write, ShardUpsert) else write.ids or ()
