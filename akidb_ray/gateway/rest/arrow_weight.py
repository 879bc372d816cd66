"""Columns of Arrow that become much larger when they are looked into than they were sent.

Views may name the same bytes again and again, runs repeat one value, and what holds nothing but
nulls has no bytes at all, however many rows and elements it says it has.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.types as kinds

# Honest tables have some: what is None in all rows has this type.
MAX_NULL_FIELDS = 64
_VIEWS = (kinds.is_string_view, kinds.is_binary_view, kinds.is_list_view, kinds.is_large_list_view)


def why_it_grows(kind: pa.DataType) -> str | None:
    """Why a column of this type is not taken; None for one that is."""
    weightless = 0
    for each in _inside(kind):
        if any(is_view(each) for is_view in _VIEWS) or kinds.is_run_end_encoded(each):
            return f"holds {each}; send the values themselves"
        if kinds.is_fixed_size_list(each) and _has_no_bytes(each.value_type):
            return "holds lists of nothing but nulls"
        weightless += _has_no_bytes(each)
    if weightless > MAX_NULL_FIELDS:
        return f"has more than {MAX_NULL_FIELDS} fields of nothing but nulls; leave them out"
    return None


def _inside(kind: pa.DataType) -> Iterator[pa.DataType]:
    """The type itself and all types in it."""
    yield kind
    for position in range(kind.num_fields):
        yield from _inside(kind.field(position).type)


def _has_no_bytes(kind: pa.DataType) -> bool:
    if kinds.is_null(kind):
        return True
    return kinds.is_struct(kind) and all(_has_no_bytes(field.type) for field in kind)
