"""What is written to shards, under which conditions, and what they answer.

These values cross process borders. A write is atomic within its shard: all of it is kept, or
nothing. What it means is decided once, by the shard, against what is stored at that moment; a
document that has expired counts as missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import EVERYTHING, Filter, RowFilter
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.placement import ShardKey

MAX_IDEMPOTENCY_KEY_BYTES = 255
ABSENT = 0


class Durability(StrEnum):
    """When a write is acknowledged: `fsync`, once it survives a power loss; `buffered`, once the
    operating system has it, which survives the end of the process. A buffered write is synced
    within a second or so; a power loss before that takes it away, whole.
    """

    FSYNC = "fsync"
    BUFFERED = "buffered"


class UpsertMode(StrEnum):
    """Which documents of an upsert are written: all, only new ones, or only those stored."""

    UPSERT = "upsert"
    INSERT = "insert"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is carried out, and on which conditions.

    `if_versions` holds the version that a document must have, ABSENT (0) when it must not exist;
    one that differs refuses the whole write with PreconditionFailed. `only_if` skips stored
    documents that do not pass it. A write with an `idempotency_key` is carried out once in 24
    hours: sent again, it gets the first answer.
    """

    durability: Durability = Durability.FSYNC
    idempotency_key: str | None = None
    if_versions: Mapping[str, int] = field(default_factory=dict)
    only_if: Filter = EVERYTHING


DEFAULT_OPTIONS = WriteOptions()


@dataclass(frozen=True, slots=True, eq=False)
class ShardUpsert:
    """Put whole documents. Of documents with the same id the last one wins."""

    shard: ShardKey
    documents: DocumentBatch
    visible: RowFilter
    mode: UpsertMode = UpsertMode.UPSERT
    options: WriteOptions = DEFAULT_OPTIONS


@dataclass(frozen=True, slots=True, eq=False)
class ShardDelete:
    """Delete the given ids, or all documents that pass the filter when `ids` is None."""

    shard: ShardKey
    visible: RowFilter
    ids: Sequence[str] | None = None
    filter: Filter = EVERYTHING
    options: WriteOptions = DEFAULT_OPTIONS


@dataclass(frozen=True, slots=True, eq=False)
class ShardPatch:
    """Change the payloads of the given ids, or of all that pass the filter when `ids` is None."""

    shard: ShardKey
    visible: RowFilter
    patch: PayloadPatch
    ids: Sequence[str] | None = None
    filter: Filter = EVERYTHING
    options: WriteOptions = DEFAULT_OPTIONS


ShardWrite = ShardUpsert | ShardDelete | ShardPatch


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """`sequence` is the shard's position with this write in it. `affected` documents were changed;
    `skipped` were named or matched, but not changed: missing, or held back by mode or condition.
    """

    sequence: int
    affected: int
    skipped: int = 0


def check_options(options: WriteOptions) -> WriteOptions:
    """Raise InvalidArgument for a key that is too long or a version that cannot be."""
    key = options.idempotency_key
    if key is not None and not 1 <= len(key.encode()) <= MAX_IDEMPOTENCY_KEY_BYTES:
        reason = f"must be 1 to {MAX_IDEMPOTENCY_KEY_BYTES} bytes of UTF-8"
        raise InvalidArgument("idempotency_key", reason)
    for document_id, version in options.if_versions.items():
        if isinstance(version, bool) or version < 0:
            reason = f"must be a version, or 0 for a missing document, is {version!r}"
            raise InvalidArgument(f"if_versions.{document_id}", reason)
    return options
