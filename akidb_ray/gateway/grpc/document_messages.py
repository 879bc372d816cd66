"""Documents and writes: messages as values, and values as messages."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from akidb_ray.domain.document import NEVER, DocumentBatch, StoredDocument, Times, Vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import Durability, UpsertMode, WriteOptions
from akidb_ray.gateway.grpc.fields import (
    choice,
    filter_of,
    given,
    object_of,
    vector_message,
    vector_of,
)
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.rest.document_bodies import PatchFields
from akidb_ray.gateway.rest.document_writes import check_count
from akidb_ray.service.incoming import IncomingDocument

Selecting = pb.PatchRequest | pb.DeleteRequest
Answer = TypeVar("Answer", pb.PatchResponse, pb.DeleteResponse)
# By their numbers in the messages.
_MODES = (UpsertMode.UPSERT, UpsertMode.INSERT, UpsertMode.UPDATE)
_DURABILITIES = (Durability.FSYNC, Durability.BUFFERED)
# More than either is read in a thread, so that others are answered between its parts. Measured:
# 15 µs for each document, whatever the form of its vector.
_MOST_AT_ONCE = 256
_MOST_AT_ONCE_BYTES = 256 * 1024


def mode_of(request: pb.UpsertRequest) -> UpsertMode:
    return choice(request.mode, _MODES, "mode")


def options_of(options: pb.WriteOptions) -> WriteOptions:
    """Fields are named as in REST, where they stand beside the others. Raises InvalidArgument."""
    return WriteOptions(
        choice(options.durability, _DURABILITIES, "durability"),
        given(options, "idempotency_key", None),
        dict(options.if_versions),
        filter_of(options.only_if, "only_if"),
    )


async def values_of(request: pb.UpsertRequest) -> DocumentBatch | list[IncomingDocument]:
    """The documents of a request. Raises InvalidArgument that names row and field."""
    many = len(request.documents) > _MOST_AT_ONCE
    # Of many, the size alone would take long to say.
    if many or request.ByteSize() > _MOST_AT_ONCE_BYTES:
        return await asyncio.to_thread(_values_of, request.documents)
    return _values_of(request.documents)


def _values_of(documents: Sequence[pb.NewDocument]) -> DocumentBatch | list[IncomingDocument]:
    batch = batch_of(documents)
    return incoming_of(documents) if batch is None else batch


def batch_of(documents: Sequence[pb.NewDocument]) -> DocumentBatch | None:
    """Documents that all have vectors of one width, column by column; None for others, of which
    `incoming_of` makes what can be looked at one by one.
    """
    vectors = _stacked(documents)
    if vectors is None:
        return None
    return DocumentBatch(
        [document.id for document in documents],
        vectors,
        [given(document, "text", None) for document in documents],
        [_payload_of(document) for document in documents],
        _expiries_of(documents),
    )


def _stacked(documents: Sequence[pb.NewDocument]) -> Vectors | None:
    """float32 (n, width)."""
    if not all(document.HasField("vector") for document in documents):
        return None
    vectors = [
        vector_of(document.vector, f"documents[{row}].vector")
        for row, document in enumerate(documents)
    ]
    if len({len(vector) for vector in vectors}) != 1:
        return None
    return np.stack(vectors)


def _payload_of(document: pb.NewDocument) -> bytes | None:
    return document.payload.encode() if document.HasField("payload") else None


def _expiries_of(documents: Sequence[pb.NewDocument]) -> Times | None:
    """float64 (n,), infinity for never; None when no document expires."""
    if not any(document.HasField("expires_at") for document in documents):
        return None
    return np.array([given(d, "expires_at", NEVER) for d in documents], np.float64)


def incoming_of(documents: Sequence[pb.NewDocument]) -> list[IncomingDocument]:
    """Raises InvalidArgument that names row and field."""
    return [_incoming(document, row) for row, document in enumerate(documents)]


def _incoming(document: pb.NewDocument, row: int) -> IncomingDocument:
    try:
        return IncomingDocument(
            document.id,
            vector_of(document.vector) if document.HasField("vector") else None,
            given(document, "text", None),
            object_of(document.payload, "payload") if document.HasField("payload") else None,
            given(document, "expires_at", None),
        )
    except InvalidArgument as error:
        raise error.inside(f"documents[{row}].", row) from None


def chosen(request: Selecting, max_ids: int, verb: str) -> Sequence[str] | Filter:
    """The ids or the filter that say what is changed. Raises InvalidArgument, TooLarge."""
    if bool(request.ids) == bool(request.filter):
        raise InvalidArgument("ids", "give exactly one of 'ids' and 'filter'")
    if request.ids:
        check_count("ids", len(request.ids), max_ids)
        return list(request.ids)
    filter = filter_of(request.filter)
    if filter.is_everything:
        raise InvalidArgument("filter", f"is empty, which would {verb} every document")
    return filter


def patch_of(request: pb.PatchRequest) -> PayloadPatch:
    """Raises InvalidArgument, before any shard is asked."""
    fields = PatchFields.model_construct(
        set=object_of(request.set, "set") if request.set else {},
        unset=list(request.unset),
        replace=request.replace,
        expires_at=given(request, "expires_at", None),
    )
    return fields.patch()


def document_message(document: StoredDocument, form: int) -> pb.Document:
    message = pb.Document(
        id=document.id,
        version=document.version,
        **contents(document.payload, document.text, document.vector, form),
    )
    if document.expires_at != NEVER:
        message.expires_at = document.expires_at
    return message


def document_messages(documents: Iterable[StoredDocument], form: int) -> list[pb.Document]:
    return [document_message(document, form) for document in documents]


def contents(
    payload: bytes | None, text: str | None, vector: Vectors | None, form: int
) -> dict[str, Any]:
    """What hits and documents have both. None is left out; payloads are stored as JSON already."""
    vector_field = None if vector is None else vector_message(vector, form)
    return {"payload": payload, "text": text, "vector": vector_field}


def json_text(value: object) -> str:
    """A value at a payload path."""
    return json.dumps(value, ensure_ascii=False)
