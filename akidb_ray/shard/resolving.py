"""What a write means now: which documents it changes, and what they become.

The writer resolves filters, conditions, patches and expiry once, against all writes before it, and
logs the outcome. Nothing here changes anything.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import check_vectors
from akidb_ray.domain.errors import Forbidden, PreconditionFailed
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.patch import PayloadPatch, check_patch, patched
from akidb_ray.domain.write import (
    ABSENT,
    ShardDelete,
    ShardPatch,
    ShardUpsert,
    ShardWrite,
    UpsertMode,
    check_options,
)
from akidb_ray.segment.rows import Rows, flat_of, rows_of
from akidb_ray.segment.view import StoredRow
from akidb_ray.shard.idempotency import Request, request_of
from akidb_ray.shard.operations import DeleteIds, Encoded, Operation, UpsertRows, encode_operation
from akidb_ray.shard.view import Place, View

# What a row of the growing segment takes beside its contents, measured.
_ROW_BYTES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """The outcome of a write. `affected` is None where applying it will tell."""

    operation: Operation
    encoded: Encoded
    affected: int | None
    skipped: int = 0

    @property
    def size_bytes(self) -> int:
        return _memory_of(self.operation.rows) if isinstance(self.operation, UpsertRows) else 0


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A write that was checked. `rows` are those of an upsert; `resolved` is there already when
    nothing depends on what is stored.
    """

    write: ShardWrite
    request: Request | None
    rows: Rows | None = None
    resolved: Resolved | None = None

    @property
    def size_bytes(self) -> int:
        """About how much memory its documents will take; a patch shows that later."""
        return 0 if self.rows is None else _memory_of(self.rows)


def _memory_of(rows: Rows) -> int:
    """About what rows take in the growing segment, and in the log's buffers on their way."""
    contents = sum(len(payload) for payload in rows.payloads if payload)
    texts = sum(len(text) for text in rows.texts if text)
    return 2 * rows.vectors.nbytes + 4 * contents + 2 * texts + _ROW_BYTES * len(rows)


def prepare(write: ShardWrite, dimension: int, metric: Metric) -> Prepared:
    """Check a write, and encode it when that is possible: this runs outside of the writer's lock.

    Raises InvalidArgument, TooLarge.
    """
    options = check_options(write.options)
    if isinstance(write, ShardPatch):
        check_patch(write.patch)
    request = request_of(write)
    blind = request is None and not options.if_versions and options.only_if.is_everything
    blind = blind and write.visible.visible.is_everything
    if isinstance(write, ShardUpsert):
        check_vectors(write.documents.vectors, dimension, metric)
        rows = rows_of(write.documents, metric)
        if blind and write.mode is UpsertMode.UPSERT:
            return Prepared(write, request, rows, _upsert(rows, 0))
        return Prepared(write, request, rows)
    if isinstance(write, ShardDelete) and write.ids is not None and blind:
        operation = DeleteIds(list(dict.fromkeys(write.ids)))
        return Prepared(write, request, None, _resolved(operation, None))
    return Prepared(write, request)


def resolve(prepared: Prepared, view: View) -> Resolved:
    """Decide a write against `view`, which holds every write before it, at the view's `now`.

    Raises PreconditionFailed, Forbidden, InvalidArgument, TooLarge; then nothing is to be done.
    """
    if prepared.resolved is not None:
        return prepared.resolved
    write = prepared.write
    _check_versions(write, view)
    if isinstance(write, ShardUpsert):
        assert prepared.rows is not None
        return _resolve_upsert(write, prepared.rows, view)
    if isinstance(write, ShardDelete):
        places, skipped = _chosen(write, view)
        ids = [place.segment.segment.id(place.row) for place in places]
        return _resolved(DeleteIds(ids), len(ids), skipped)
    return _resolve_patch(write, view)


def _resolved(operation: Operation, affected: int | None, skipped: int = 0) -> Resolved:
    return Resolved(operation, encode_operation(operation), affected, skipped)


def _upsert(rows: Rows, skipped: int) -> Resolved:
    return _resolved(UpsertRows(rows), len(rows), skipped)


def _check_versions(write: ShardWrite, view: View) -> None:
    for document_id, wanted in write.options.if_versions.items():
        place = next(view.find_visible([document_id], write.visible), None)
        found = ABSENT if place is None else place.stored().version
        if found != wanted:
            state = "does not exist" if found == ABSENT else f"has version {found}"
            asked = "it was to be missing" if wanted == ABSENT else f"version {wanted} was asked"
            raise PreconditionFailed(
                f"document {document_id!r} {state}, {asked}; read it again",
                id=document_id,
                version=found,
            )


def _resolve_upsert(write: ShardUpsert, rows: Rows, view: View) -> Resolved:
    kept = []
    visible, condition = write.visible.visible, write.options.only_if
    looks = not (visible.is_everything and condition.is_everything)
    for row, document_id in enumerate(rows.ids):
        if not passes(visible, rows.flats[row], document_id):
            raise Forbidden("a document of the batch is outside of what you may write")
        place = view.find(document_id)
        flat = flat_of(place.stored().payload) if place and looks else {}
        if place and not passes(visible, flat, document_id):
            raise Forbidden("a stored document of the batch is outside of what you may write")
        if write.mode is UpsertMode.INSERT and place:
            continue
        if write.mode is UpsertMode.UPDATE and not place:
            continue
        if not place or passes(condition, flat, document_id):
            kept.append(row)
    if len(kept) == len(rows):
        return _upsert(rows, 0)
    return _upsert(rows.take(kept), len(rows) - len(kept))


def _chosen(write: ShardDelete | ShardPatch, view: View) -> tuple[list[Place], int]:
    """The documents that a delete or a patch changes, and how many it leaves out."""
    condition = write.options.only_if
    if write.ids is None:
        found = list(view.matching(write.filter, write.visible))
        named = len(found)
    else:
        ids = list(dict.fromkeys(write.ids))
        found, named = list(view.find_visible(ids, write.visible)), len(ids)
    if not condition.is_everything:
        found = [place for place in found if _meets(place.stored(), condition)]
    return found, named - len(found)


def _meets(row: StoredRow, condition: Filter) -> bool:
    return passes(condition, flat_of(row.payload), row.id)


def _resolve_patch(write: ShardPatch, view: View) -> Resolved:
    places, skipped = _chosen(write, view)
    stored = [place.stored() for place in places]
    contents = [_patched_payload(write.patch, row.payload) for row in stored]
    flats = [flat_of(content) for content in contents]
    visible = write.visible.visible
    if not all(passes(visible, flat, row.id) for row, flat in zip(stored, flats, strict=True)):
        raise Forbidden("a patched document would be outside of what you may write")
    new_expiry = write.patch.expires_at
    rows = Rows(
        ids=[row.id for row in stored],
        vectors=_vectors(places, view.dimension),
        lengths=np.array([row.length for row in stored], np.float32),
        texts=[row.text for row in stored],
        payloads=contents,
        expires_at=np.array(
            [row.expires_at if new_expiry is None else new_expiry for row in stored], np.float64
        ),
        flats=flats,
    )
    return _upsert(rows, skipped)


def _patched_payload(patch: PayloadPatch, payload: bytes | None) -> bytes:
    # orjson would make floats of whole numbers of more than 64 bits.
    content = patched(json.loads(payload or b"{}"), patch)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _vectors(
    places: Sequence[Place], dimension: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    vectors = np.empty((len(places), dimension), np.float32)
    for position, place in enumerate(places):
        vectors[position] = place.segment.vectors[place.row]
    return vectors
