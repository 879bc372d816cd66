"""Vectors in JSON: an array of numbers, or the base64 of little-endian float32."""

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import numpy as np
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from akidb_ray.domain.document import Vectors

_LITTLE_ENDIAN = np.dtype("<f4")
_NUMBERS = core_schema.list_schema(core_schema.float_schema(strict=True), fail_fast=True)


class EncodingFormat(StrEnum):
    """How vectors are answered: as arrays of numbers, or as base64 of little-endian float32."""

    FLOAT = "float"
    BASE64 = "base64"


def encode_vector(vector: Vectors, encoding: EncodingFormat) -> Any:
    """float32 (dimension,) as orjson takes it: no number is touched one by one."""
    if encoding is EncodingFormat.BASE64:
        return base64.b64encode(vector.astype(_LITTLE_ENDIAN, copy=False).tobytes()).decode()
    return np.ascontiguousarray(vector)


def decode_base64(text: str) -> Vectors:
    """float32 (n,). Raises ValueError that says what is wrong."""
    try:
        raw = _base64_bytes(text)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"is not base64: {error}") from None
    if len(raw) % _LITTLE_ENDIAN.itemsize:
        raise ValueError(f"has {len(raw)} bytes, which are no whole number of float32")
    return np.frombuffer(raw, _LITTLE_ENDIAN).astype(np.float32, copy=False)


def _base64_bytes(text: str) -> bytes:
    try:
        # In half the time. It is stricter, and does not say what is wrong.
        return msgspec.convert(text, bytes)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return base64.b64decode(text.encode(), validate=True)


def _decode(given: Any, check_each: core_schema.ValidatorFunctionWrapHandler) -> Vectors:
    if isinstance(given, str):
        try:
            return decode_base64(given)
        except ValueError as error:
            raise PydanticCustomError("vector", "{reason}", {"reason": str(error)}) from None
    if not isinstance(given, list) or not set(map(type, given)) <= {float, int}:
        # This knows how to name the element; it makes floats of what may stand for one.
        given = check_each(given)
    try:
        with np.errstate(over="ignore"):
            return np.array(given, np.float32)
    except OverflowError:
        raise PydanticCustomError("vector", "has a number that is larger than any float") from None


class _VectorShape:
    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_decode, _NUMBERS)

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> Any:
        return {
            "description": "Numbers, or the base64 of little-endian float32.",
            "anyOf": [
                {"type": "array", "items": {"type": "number"}},
                {"type": "string", "contentEncoding": "base64"},
            ],
            "examples": [[0.1, 0.2, 0.3]],
        }


Vector = Annotated[Any, _VectorShape()]
"""Decoded as float32 (n,). NaN and infinity pass here, so that one place tells of them."""
