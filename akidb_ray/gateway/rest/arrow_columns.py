"""Columns of Arrow tables as the values that documents and queries are made of.

Each function takes a column of n rows and gives n values, and raises InvalidArgument that names the
column, and the row where one is wrong.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds
from numpy.typing import NDArray

from akidb_ray.domain.document import NEVER, Times, Vectors
from akidb_ray.domain.errors import InvalidArgument


def strings_of(table: pa.Table, name: str) -> list[str | None]:
    """None for null. A column that is not there is all null."""
    if name not in table.column_names:
        return [None] * table.num_rows
    column = table.column(name)
    _check_kind(name, column.type, _is_text(column.type), "string")
    values: list[str | None] = column.to_pylist()
    return values


def ids_of(table: pa.Table) -> list[str]:
    ids = strings_of(table, "id")
    for row, document_id in enumerate(ids):
        if document_id is None:
            raise InvalidArgument(f"documents[{row}].id", "is required", row)
    return [str(document_id) for document_id in ids]


def vectors_of(table: pa.Table) -> tuple[Vectors, NDArray[np.bool_]]:
    """float32 (n, width), rows without a vector zero, and bool (n,): which rows have one."""
    if "vector" not in table.column_names:
        return np.zeros((table.num_rows, 0), np.float32), np.zeros(table.num_rows, np.bool_)
    column = table.column("vector")
    is_vector = kinds.is_fixed_size_list(column.type) and kinds.is_float32(column.type.value_type)
    _check_kind("vector", column.type, is_vector, "fixed_size_list<float32>")
    array = column.combine_chunks()
    given: NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    numbers = array.flatten()
    width = column.type.list_size
    if numbers.null_count:
        bad = int(np.flatnonzero(~numbers.is_valid().to_numpy(zero_copy_only=False))[0])
        row = int(np.flatnonzero(given)[bad // width])
        raise InvalidArgument(f"documents[{row}].vector", "has a null", row)
    flat = numbers.to_numpy(zero_copy_only=True)
    if given.all():
        return flat.reshape(table.num_rows, width), given
    vectors = np.zeros((table.num_rows, width), np.float32)
    vectors[given] = flat.reshape(-1, width) if width else 0
    return vectors, given


def payloads_of(table: pa.Table) -> list[bytes | None]:
    """JSON objects as they came, from strings; structs written as JSON."""
    if "payload" not in table.column_names:
        return [None] * table.num_rows
    column = table.column("payload")
    if _is_text(column.type):
        return [None if text is None else text.encode() for text in column.to_pylist()]
    _check_kind("payload", column.type, kinds.is_struct(column.type), "string of JSON, or struct")
    try:
        payloads = column.to_pylist()
    except ValueError as error:
        # Names of fields that are no UTF-8, and times that Python has no value for.
        raise InvalidArgument("payload", f"has no form in JSON: {error}") from None
    return [_encoded(payload, row) for row, payload in enumerate(payloads)]


def expiries_of(table: pa.Table) -> Times | None:
    """float64 (n,), in seconds since 1970, infinity for null."""
    if "expires_at" not in table.column_names:
        return None
    column = table.column("expires_at")
    _check_kind("expires_at", column.type, kinds.is_float64(column.type), "float64")
    times: Sequence[float | None] = column.to_pylist()
    return np.array([NEVER if time is None else time for time in times], np.float64)


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind))


def _check_kind(name: str, kind: pa.DataType, fits: bool, wanted: str) -> None:
    if not fits:
        raise InvalidArgument(name, f"must be a column of {wanted}, is another")


def _encoded(payload: dict[str, Any] | None, row: int) -> bytes | None:
    if payload is None:
        return None
    try:
        return json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"documents[{row}].payload", f"is not JSON: {error}", row) from None
