"""Requests about the documents of a collection, and how their answers are read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from akidb.errors import NotFound
from akidb.requests import (
    Operation,
    encoded_request,
    given,
    json_request,
    to_json,
)
from akidb.values import Document, Page, Written, document_of
from akidb.vectors import encode_vector, rows_of

if TYPE_CHECKING:
    from akidb.search_operations import Filter
    from akidb.vectors import Vectors

Durability: TypeAlias = Literal["fsync", "buffered"]
UpsertMode: TypeAlias = Literal["upsert", "insert", "update"]
BASE64 = "base64"

# The bytes around and between documents in a body.
_FRAME_BYTES = 2
_MISSING = object()
# Servers take 255; the parts of a write add "-" and the number of a row.
_MAX_KEY_BYTES = 235


class WriteOptions(TypedDict, total=False):
    """`if_versions` holds the version that a document must have, 0 when it must not exist; one that
    differs refuses its whole request, and one for no document of the call is a ValueError.
    `only_if` is a filter: stored documents that do not pass it are skipped. A write is acknowledged
    once it is on disk (`fsync`), or, `buffered`, once it survives the end of the process.
    """

    if_versions: Mapping[str, int]
    only_if: Filter
    durability: Durability


class UpsertOptions(WriteOptions, total=False):
    """`mode`: write all documents (`upsert`), skip those that exist (`insert`), or those that do
    not (`update`).
    """

    mode: UpsertMode


class PayloadChanges(TypedDict, total=False):
    """`set` maps paths such as `awards.oscars` to values, `unset` names paths that go; with
    `replace` the values of `set` become the whole payload. `expires_at` is in seconds since 1970.
    """

    set: Mapping[str, Any]
    unset: Sequence[str]
    replace: bool
    expires_at: float


@dataclass(frozen=True)
class Reading:
    """How a read is carried out: having seen the write of `min_version`, and within `timeout_ms`,
    or not at all.
    """

    min_version: str | None = None
    timeout_ms: int | None = None

    def body(self) -> dict[str, Any]:
        return given(min_version=self.min_version, timeout_ms=self.timeout_ms)


@dataclass(frozen=True)
class BatchLimits:
    """How much goes into one request at most; a larger document goes alone."""

    documents: int = 1000
    size_bytes: int = 8 * 1024**2


@dataclass(frozen=True)
class Batch:
    """Documents of one request, encoded; `first_row` is the number of the first in the call."""

    first_row: int
    ids: Sequence[str]
    encoded: Sequence[bytes]


@dataclass(frozen=True)
class Target:
    """Which documents a write is about: exactly one of `ids` and `filter`. `first_row` is the
    number of the first id in the call.
    """

    ids: Iterable[str] | None
    filter: Filter | None
    first_row: int = 0

    def parts(self, limits: BatchLimits) -> Iterator[Target]:
        """As many as it takes. Raises TypeError unless exactly one of the two is given."""
        if (self.ids is None) == (self.filter is None):
            raise TypeError("give exactly one of ids and filter")
        if self.ids is None:
            yield self
            return
        ids = ids_of(self.ids)
        for start in range(0, len(ids), limits.documents):
            yield Target(ids[start : start + limits.documents], None, start)

    def body(self) -> dict[str, Any]:
        return {"filter": self.filter} if self.ids is None else {"ids": list(self.ids)}


def ids_of(ids: Iterable[str]) -> list[str]:
    """Raises TypeError for one id, whose characters would be taken for ids."""
    if isinstance(ids, str):
        raise TypeError("ids is a sequence of ids, not one id")
    return list(ids)


def encoded_documents(
    documents: Iterable[Document | Mapping[str, Any]] | None,
    ids: Iterable[str] | None,
    vectors: Vectors | None,
    texts: Iterable[str | None] | None,
    payloads: Iterable[Mapping[str, Any] | None] | None,
) -> Iterator[tuple[str, bytes]]:
    """Ids and JSON of documents that were given one by one, or in columns of equal length.

    Raises ValueError or TypeError, naming the row, for what is no document.
    """
    columns = (ids, vectors, texts, payloads)
    if documents is None:
        if ids is None:
            raise TypeError("give documents, or ids with vectors, texts or payloads")
        for name, column in (("ids", ids), ("texts", texts), ("payloads", payloads)):
            if isinstance(column, (str, Mapping)):
                raise TypeError(f"{name} has a value for each document, and is not one value")
        documents = _rows(ids, vectors, texts, payloads)
    elif any(column is not None for column in columns):
        raise TypeError("give either documents or columns, not both")
    if isinstance(documents, (Document, Mapping)):
        raise TypeError("documents is a sequence of documents, not one document")
    for row, document in enumerate(documents):
        try:
            shown = _document_body(document)
            encoded = to_json(shown)
        except TypeError as error:
            raise TypeError(f"row {row}: {error}") from error
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from error
        yield shown["id"], encoded


def batches(documents: Iterable[tuple[str, bytes]], limits: BatchLimits) -> Iterator[Batch]:
    """Documents, in their order, in as few batches as the limits allow."""
    ids: list[str] = []
    encoded: list[bytes] = []
    first_row = size_bytes = 0
    for row, (document_id, document) in enumerate(documents):
        full = len(ids) >= limits.documents or size_bytes + len(document) > limits.size_bytes
        if ids and full:
            yield Batch(first_row, ids, encoded)
            first_row, ids, encoded, size_bytes = row, [], [], 0
        ids.append(document_id)
        encoded.append(document)
        size_bytes += len(document) + _FRAME_BYTES
    if ids:
        yield Batch(first_row, ids, encoded)


def check_conditions(options: WriteOptions, ids: Iterable[str]) -> None:
    """Raises ValueError for `if_versions` of none of these ids, which no part would look at."""
    for document_id in (options.get("if_versions") or {}).keys() - set(ids):
        raise ValueError(f"if_versions: {document_id!r} is the id of no document in this call")


def upsert(
    collection: str, batch: Batch, options: UpsertOptions, idempotency_key: str
) -> Operation[Written]:
    rest = _options_of_part(options, batch.ids)
    members = [b'"documents":[' + b",".join(batch.encoded) + b"]"]
    if rest:
        members.append(to_json(rest)[1:-1])
    request = encoded_request(
        "PUT",
        f"{collection}/documents",
        b"{" + b",".join(members) + b"}",
        headers=_carried_out_once(idempotency_key),
    )
    return Operation(request, _written("acknowledged"))


def patch(
    collection: str,
    target: Target,
    changes: PayloadChanges,
    options: WriteOptions,
    idempotency_key: str,
) -> Operation[Written]:
    body = {**target.body(), **given(**changes), **_options_of_part(options, target.ids)}
    headers = _carried_out_once(idempotency_key)
    request = json_request("POST", f"{collection}/documents/patch", body, headers=headers)
    return Operation(request, _written("patched"))


def delete(
    collection: str, target: Target, options: WriteOptions, idempotency_key: str
) -> Operation[Written]:
    body = {**target.body(), **_options_of_part(options, target.ids)}
    headers = _carried_out_once(idempotency_key)
    request = json_request("POST", f"{collection}/documents/delete", body, headers=headers)
    return Operation(request, _written("deleted"))


def get(
    collection: str, document_id: str, with_vector: bool, reading: Reading
) -> Operation[Document]:
    """Asked for in a body, because not all that lies between takes any id in a path."""

    def parse(answer: Any) -> Document:
        if not answer["documents"]:
            detail = f"document {document_id!r} does not exist"
            raise NotFound(detail, status=404, fields={"kind": "document", "id": document_id})
        return document_of(answer["documents"][0])

    asked = get_many(collection, [document_id], with_vector, reading)
    return Operation(asked.request, parse)


def get_many(
    collection: str, ids: Iterable[str], with_vector: bool, reading: Reading
) -> Operation[list[Document]]:
    body = {
        "ids": list(ids),
        "with_vector": with_vector,
        "encoding_format": BASE64,
        **reading.body(),
    }
    return Operation(
        json_request("POST", f"{collection}/documents/get", body),
        lambda answer: [document_of(item) for item in answer["documents"]],
    )


def scroll(
    collection: str,
    filter: Filter | None,
    limit: int,
    with_payload: bool,
    with_vector: bool,
    reading: Reading,
    cursor: str | None,
) -> Operation[Page[Document]]:
    body = {
        "limit": limit,
        "with_payload": with_payload,
        "with_vector": with_vector,
        "encoding_format": BASE64,
        **given(filter=filter, cursor=cursor),
        **reading.body(),
    }

    def parse(answer: Any) -> Page[Document]:
        return Page([document_of(item) for item in answer["documents"]], answer["next_cursor"])

    return Operation(json_request("POST", f"{collection}/documents/scroll", body), parse)


def count(collection: str, filter: Filter | None, reading: Reading) -> Operation[int]:
    body = {**given(filter=filter), **reading.body()}
    request = json_request("POST", f"{collection}/count", body)
    return Operation(request, lambda answer: int(answer["count"]))


def idempotency_key_of(given_key: str | None) -> str:
    """The key of a whole write, to which each part of it adds where it begins. Raises ValueError
    for one that is too long for that, before anything is written.
    """
    if not given_key:
        return uuid.uuid4().hex
    if len(given_key.encode()) > _MAX_KEY_BYTES:
        raise ValueError(f"idempotency_key may have {_MAX_KEY_BYTES} bytes at most")
    return given_key


def _options_of_part(options: WriteOptions, ids: Iterable[str] | None) -> dict[str, Any]:
    """With the conditions of the documents in this part of a write; of one by filter, with all."""
    of_part: dict[str, Any] = given(**options)
    if ids is not None and "if_versions" in of_part:
        versions = of_part["if_versions"]
        of_part["if_versions"] = {each: versions[each] for each in ids if each in versions}
    return of_part


def _written(affected: str) -> Any:
    def parse(answer: Any) -> Written:
        return Written(
            int(answer[affected]),
            int(answer.get("skipped", 0)),
            (answer["version"],),
            tuple(answer.get("truncated_ids") or ()),
        )

    return parse


def _carried_out_once(idempotency_key: str) -> dict[str, str]:
    return {"idempotency-key": idempotency_key}


def _document_body(document: Document | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(document, Document):
        shown = given(
            id=document.id,
            vector=document.vector,
            text=document.text,
            payload=document.payload,
            expires_at=document.expires_at,
        )
    elif isinstance(document, Mapping):
        shown = dict(document)
    else:
        raise TypeError(f"a document is a Document or a mapping, not {type(document).__name__}")
    if not isinstance(shown.get("id"), str):
        raise TypeError(f"id must be a string, is {shown.get('id')!r}")
    if shown.get("vector") is not None:
        shown["vector"] = encode_vector(shown["vector"])
    return shown


def _rows(
    ids: Iterable[str],
    vectors: Vectors | None,
    texts: Iterable[str | None] | None,
    payloads: Iterable[Mapping[str, Any] | None] | None,
) -> Iterator[dict[str, Any]]:
    columns: dict[str, Iterator[Any]] = {"id": iter(ids)}
    if vectors is not None:
        columns["vector"] = rows_of(vectors)
    if texts is not None:
        columns["text"] = iter(texts)
    if payloads is not None:
        columns["payload"] = iter(payloads)
    row = 0
    while True:
        values = {name: next(column, _MISSING) for name, column in columns.items()}
        short = sorted(name for name, value in values.items() if value is _MISSING)
        if len(short) == len(columns):
            return
        if short:
            raise ValueError(f"the columns differ in length: {', '.join(short)} ends at row {row}")
        yield {name: value for name, value in values.items() if value is not None}
        row += 1
