"""Rows of a file, and the documents that they become.

A row is judged here, before it is sent: one wrong row costs a message, not a request that fails.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import check_document_id


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Which fields of a row are not payload."""

    id: str = "id"
    text: str = "text"
    vector: str = "vector"


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a collection takes. `dimension` is None while it is not known."""

    dimension: int | None = None
    embeds_text: bool = True


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as a format gives it: its fields, or in `values` why there are none.

    `line` is the physical line where it begins, or the row's number in a Parquet file, from 1.
    `read_bytes` says how much of the file was read by then.
    """

    line: int
    values: dict[str, Any] | str
    read_bytes: int


@dataclass(frozen=True, slots=True)
class Row:
    """A document, encoded in JSON as the API takes it, and where it came from."""

    file: str
    line: int
    id: str
    body: bytes
    read_bytes: int


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not a document, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


def to_row(raw: RawRow, file: str, names: FieldNames, accepts: Accepts) -> Row | BadRow:
    """The document that a row holds; or why it holds none."""
    if isinstance(raw.values, str):
        return BadRow(file, raw.line, raw.values)
    try:
        document = to_document(raw.values, names, accepts)
        return Row(file, raw.line, document["id"], encode_document(document), raw.read_bytes)
    except InvalidArgument as error:
        return BadRow(file, raw.line, error.detail)


def to_document(values: Mapping[str, Any], names: FieldNames, accepts: Accepts) -> dict[str, Any]:
    """`id`, `text`, `vector` and `payload` of one row. Raises InvalidArgument that names the
    field.
    """
    document: dict[str, Any] = {"id": _id_of(values, names.id)}
    text, vector = values.get(names.text), values.get(names.vector)
    if text is not None:
        if not isinstance(text, str):
            raise InvalidArgument(names.text, f"must be a string, is {_shown(text)}")
        document["text"] = text
    if vector is not None:
        document["vector"] = _check_vector(vector, names.vector, accepts.dimension)
    elif not accepts.embeds_text:
        reason = (
            "is missing, and the collection has no embedding_model that could make it of a text"
        )
        raise InvalidArgument(names.vector, reason)
    elif text is None:
        raise InvalidArgument(names.text, f"is missing, and so is the vector ({names.vector!r})")
    special = {names.id, names.text, names.vector}
    payload = {name: value for name, value in values.items() if name not in special}
    if payload:
        document["payload"] = payload
    return document


def encode_document(document: Mapping[str, Any]) -> bytes:
    """The document in JSON. Raises InvalidArgument for what JSON cannot hold."""
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise InvalidArgument("row", f"is not valid JSON: {error}") from None


def _id_of(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None:
        raise InvalidArgument(name, "is missing; it is the id of the document")
    # Numbered rows are common, and the number's digits are as good an id.
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return check_document_id(value, name)


def _check_vector(value: Any, name: str, dimension: int | None) -> list[float]:
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise InvalidArgument(name, f"must be a list of numbers, is {_shown(value)}")
    if dimension is not None and len(value) != dimension:
        raise InvalidArgument(name, f"must have {dimension} numbers, has {len(value)}")
    if not all(map(math.isfinite, value)):
        raise InvalidArgument(name, "has NaN or infinity")
    return value


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
