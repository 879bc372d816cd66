"""Columns of Arrow that would become much larger than they were sent are refused by their type."""

import pyarrow as pa
import pytest

from akidb_ray.gateway.rest.arrow_weight import MAX_NULL_FIELDS, why_it_grows


@pytest.mark.parametrize(
    "kind",
    [
        pa.string_view(),
        pa.binary_view(),
        pa.struct({"a": pa.struct({"b": pa.string_view()})}),
        pa.struct({"a": pa.list_view(pa.int64())}),
        pa.struct({"a": pa.large_list_view(pa.int64())}),
        pa.struct({"a": pa.run_end_encoded(pa.int32(), pa.string())}),
        pa.struct({"a": pa.list_(pa.null(), 1_000_000)}),
        pa.list_(pa.struct({"a": pa.struct([])}), 1_000_000),
        pa.struct({f"f{number}": pa.null() for number in range(MAX_NULL_FIELDS + 1)}),
    ],
    ids=str,
)
def test_types_that_grow_are_refused_wherever_they_stand(kind: pa.DataType) -> None:
    assert why_it_grows(kind)


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.list_(pa.float32(), 384),
        pa.struct({"year": pa.int64(), "tags": pa.list_(pa.string()), "none": pa.null()}),
    ],
    ids=str,
)
def test_types_of_honest_tables_are_taken(kind: pa.DataType) -> None:
    assert why_it_grows(kind) is None
