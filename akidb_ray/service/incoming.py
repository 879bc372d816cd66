"""From what a client sent to a batch that a shard can store: checked whole, texts embedded."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np

from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.document import NEVER, DocumentBatch, Times, Vectors, check_vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import check_document_id
from akidb_ray.domain.json_values import check_json
from akidb_ray.segment.rows import flat_of
from akidb_ray.service.ports import Embedders

Answer = TypeVar("Answer")
Given = ParamSpec("Given")

# Prepared in some 5 ms, of 384 numbers and a small payload each; checked in 2 ms.
_MANY_ROWS = 250


@dataclass(frozen=True, slots=True)
class IncomingDocument:
    """A document as a client sent it: with a vector, or with a text to embed.

    `expires_at` is in seconds since 1970; None: never.
    """

    id: str
    vector: Sequence[float] | Vectors | None = None
    text: str | None = None
    payload: Mapping[str, object] | None = None
    expires_at: float | None = None


async def prepare_batch(
    place: CollectionPlace, documents: Sequence[IncomingDocument], embedders: Embedders
) -> tuple[DocumentBatch, tuple[str, ...]]:
    """The checked batch, and the ids of documents whose text was cut by the model.

    Raises InvalidArgument that names row and field, before any text is embedded.
    """
    payloads, expires_at, vectors, to_embed = await beside_others(
        len(documents), _prepared, place, documents
    )
    truncated: tuple[str, ...] = ()
    if to_embed:
        model = _in_row(to_embed[0], _model_of, place)
        texts = [str(documents[row].text) for row in to_embed]
        embedded = await embedders.embed(model, texts, "document")
        vectors[to_embed] = embedded.vectors
        cuts = zip(to_embed, embedded.truncated, strict=True)
        truncated = tuple(documents[row].id for row, cut in cuts if cut)
    batch = DocumentBatch(
        ids=[document.id for document in documents],
        vectors=vectors,
        texts=[document.text for document in documents],
        payloads=payloads,
        expires_at=expires_at,
    )
    return batch, truncated


async def beside_others(
    rows: int, work: Callable[Given, Answer], *arguments: Given.args, **named: Given.kwargs
) -> Answer:
    """What `work` on so many documents gives: done in a thread when it would hold up others."""
    if rows < _MANY_ROWS:
        return work(*arguments, **named)
    return await asyncio.to_thread(work, *arguments, **named)


def check_batch(place: CollectionPlace, batch: DocumentBatch) -> None:
    """Raises InvalidArgument that names row and field of a document that no shard can store."""
    if batch.vectors.ndim != 2 or len(batch.vectors) != len(batch):
        raise InvalidArgument("documents", f"must have a vector each, {len(batch)} in all")
    spec = place.collection.spec
    if batch.vectors.shape[1] != spec.dimension:
        reason = f"must have {spec.dimension} numbers, has {batch.vectors.shape[1]}"
        raise InvalidArgument("documents[0].vector", reason, 0)
    for row, document_id in enumerate(batch.ids):
        _in_row(row, check_document_id, document_id, "id")
        _check_text(batch.texts[row], row)
        _in_row(row, flat_of, batch.payloads[row])
    _check_rows(batch.vectors, list(range(len(batch))), place)
    if batch.expires_at is not None:
        _check_expiry(batch.expires_at)


def _prepared(
    place: CollectionPlace, documents: Sequence[IncomingDocument]
) -> tuple[list[bytes | None], Times | None, Vectors, list[int]]:
    """Payloads, times, vectors as far as they were sent, and the rows that need embedding."""
    payloads = [_checked_payload(document, row) for row, document in enumerate(documents)]
    return payloads, _expiry_of(documents), *_given_vectors(place, documents)


def _expiry_of(documents: Sequence[IncomingDocument]) -> Times | None:
    """float64 (n,), None when no document expires."""
    if all(document.expires_at is None for document in documents):
        return None
    given = [NEVER if d.expires_at is None else d.expires_at for d in documents]
    expires_at: Times = np.array(given, np.float64)
    _check_expiry(expires_at)
    return expires_at


def _check_expiry(expires_at: Times) -> None:
    bad = np.flatnonzero(~(expires_at >= 0))
    if len(bad):
        row = int(bad[0])
        raise InvalidArgument(f"documents[{row}].expires_at", "must be seconds since 1970", row)


def _checked_payload(document: IncomingDocument, row: int) -> bytes | None:
    _in_row(row, check_document_id, document.id, "id")
    _check_text(document.text, row)
    return _encode_payload(document.payload, row)


def _given_vectors(
    place: CollectionPlace, documents: Sequence[IncomingDocument]
) -> tuple[Vectors, list[int]]:
    """float32 (n, dimension) with the vectors that were sent, and the rows that need embedding."""
    spec = place.collection.spec
    vectors = np.zeros((len(documents), spec.dimension), np.float32)
    given, to_embed = [], []
    for row, document in enumerate(documents):
        if document.vector is not None:
            vectors[row] = _in_row(row, as_vector, document.vector, spec.dimension, "vector")
            given.append(row)
        elif document.text is None:
            raise InvalidArgument(f"documents[{row}]", "needs a vector or a text", row)
        else:
            to_embed.append(row)
    _check_rows(vectors, given, place)
    return vectors, to_embed


def as_vector(numbers: Sequence[float] | Vectors, dimension: int, field: str) -> Vectors:
    """float32 (dimension,). Raises InvalidArgument for a wrong length."""
    if len(numbers) != dimension:
        raise InvalidArgument(field, f"must have {dimension} numbers, has {len(numbers)}")
    if isinstance(numbers, np.ndarray) and numbers.dtype == np.float32:
        return numbers
    with np.errstate(over="ignore"):
        return np.asarray(numbers, np.float32)


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
        encoded = json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
        flat_of(encoded)
    except (TypeError, ValueError, RecursionError) as error:
        # This takes its time, and says where.
        _in_row(row, check_json, payload, "payload")
        raise InvalidArgument(f"documents[{row}].payload", f"is not JSON: {error}", row) from None
    except InvalidArgument as error:
        _in_row(row, check_json, payload, "payload")
        raise error.inside(f"documents[{row}].", row) from None
    return encoded


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
