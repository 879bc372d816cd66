"""Fields of messages as values, and values as fields."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np

from akidb_ray.domain.document import Vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.tenancy import DEFAULT_NAME
from akidb_ray.gateway.grpc.calls import Call
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.service.collections import CollectionRef

Choice = TypeVar("Choice", bound=StrEnum)
Value = TypeVar("Value")
_LITTLE_ENDIAN = np.dtype("<f4")
_VALUES_TAG = b"\x12"


class Addressed(Protocol):
    """A request that names a collection."""

    tenant: str
    database: str
    collection: str


def ref_of(request: Addressed, call: Call) -> CollectionRef:
    """Raises InvalidArgument when no collection is named."""
    if not request.collection:
        raise InvalidArgument("collection", "is required")
    return CollectionRef(
        request.tenant or call.own_tenant, request.database or DEFAULT_NAME, request.collection
    )


def given(message: Any, field: str, default: Value) -> Value:
    """An optional field, the default when it was left out."""
    if not message.HasField(field):
        return default
    value: Value = getattr(message, field)
    return value


def choice(number: int, choices: Sequence[Choice], field: str) -> Choice:
    """The member of an enumeration. Raises InvalidArgument for a number that is none."""
    if not 0 <= number < len(choices):
        raise InvalidArgument(field, f"{number} is not known here")
    return choices[number]


def json_of(text: str, field: str) -> Any:
    """What a field in JSON says. Raises InvalidArgument."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        # `json` takes more (NaN, halves of surrogate pairs), of which others say what is wrong.
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(field, f"is not JSON: {error}") from None


def object_of(text: str, field: str) -> Mapping[str, Any]:
    """A JSON object. Raises InvalidArgument."""
    value = json_of(text, field)
    if not isinstance(value, dict):
        raise InvalidArgument(field, "must be a JSON object")
    return value


def filter_of(text: str, field: str = "filter") -> Filter:
    """Of no text: everything. Raises InvalidArgument that names the part."""
    return parse_filter(json_of(text, field) if text else None, field)


def vector_of(vector: pb.Vector, field: str = "vector") -> Vectors:
    """float32 (n,). Raises InvalidArgument."""
    if not vector.float32:
        return np.array(vector.values, np.float32)
    if vector.values:
        raise InvalidArgument(field, "give either 'float32' or 'values'")
    if len(vector.float32) % _LITTLE_ENDIAN.itemsize:
        reason = f"has {len(vector.float32)} bytes, which are no whole number of float32"
        raise InvalidArgument(field, reason)
    return np.frombuffer(vector.float32, _LITTLE_ENDIAN).astype(np.float32, copy=False)


def vector_message(vector: Vectors, form: int) -> pb.Vector:
    """float32 (n,) as a message. No number is touched one by one."""
    raw = pb.Vector(float32=vector.astype(_LITTLE_ENDIAN, copy=False).tobytes())
    if form == pb.VECTOR_FORMAT_FLOAT32 or not len(vector):
        return raw
    # Packed numbers are written as bytes are, under the tag of their own field.
    message = pb.Vector()
    message.ParseFromString(_VALUES_TAG + raw.SerializeToString()[1:])
    return message


def check_format(form: int) -> int:
    """Raises InvalidArgument for a form of vectors that is none."""
    if form not in (pb.VECTOR_FORMAT_VALUES, pb.VECTOR_FORMAT_FLOAT32):
        raise InvalidArgument("vector_format", f"{form} is not known here")
    return form
