"""Columns that a merge makes from columns are those that the merged payloads would give."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from akidb_ray.domain.flattening import flatten
from akidb_ray.segment.column_files import decode_columns, encode_columns
from akidb_ray.segment.columns import Columns
from akidb_ray.segment.merged_columns import ColumnSource, can_merge, merge_columns
from tests.property.test_filters import payloads

Flats = list[dict[str, list[Any]]]


@st.composite
def wide_payloads(draw: st.DrawFn) -> dict[str, Any]:
    """Many paths, each with few values."""
    first, count = draw(st.integers(0, 60)), draw(st.integers(0, 30))
    value = draw(st.sampled_from([1, 1.0, True, "w", -0.0, 2**63, ["b", "a", "b"], [1, "1"]]))
    return {f"p{first + number}": value for number in range(count)}


@st.composite
def sources(draw: st.DrawFn) -> list[tuple[Flats, list[int]]]:
    """Segments, and for each row what becomes of it: 0 left behind, 1 carried on without its
    document, else kept.
    """
    found = []
    for _ in range(draw(st.integers(1, 3))):
        contents = draw(st.lists(payloads | wide_payloads(), max_size=8))
        flats = [flatten(orjson.loads(orjson.dumps(content or {}))) for content in contents]
        fate = st.sampled_from([0, 1, 2, 2, 2])
        found.append((flats, draw(st.lists(fate, min_size=len(flats), max_size=len(flats)))))
    return found


def _encoded(flats: Flats) -> bytes:
    return b"".join(encode_columns(flats))


def _columns(flats: Flats) -> Columns:
    return decode_columns(memoryview(_encoded(flats)), len(flats))


@given(sources())
@settings(max_examples=200, deadline=None, print_blob=True)
def test_merged_columns_are_those_of_the_merged_rows(
    segments: list[tuple[Flats, list[int]]],
) -> None:
    merged: Flats = []
    parts = []
    for flats, fates in segments:
        new_rows = np.full(len(flats), -1, np.int64)
        for row, fate in enumerate(fates):
            if fate == 2:
                new_rows[row] = len(merged)
            if fate:
                merged.append(flats[row] if fate == 2 else {})
        parts.append(ColumnSource(_columns(flats), new_rows))
    assert b"".join(merge_columns(parts)) == _encoded(merged)


@given(sources(), st.integers(1, 40))
@settings(max_examples=100, deadline=None, print_blob=True)
def test_columns_are_merged_only_when_they_hold_all_paths(
    segments: list[tuple[Flats, list[int]]], max_paths: int
) -> None:
    paths = {path for flats, _ in segments for flat in flats for path in flat}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("akidb_ray.segment.column_building.MAX_PATHS", max_paths)
        patch.setattr("akidb_ray.segment.merged_columns.MAX_PATHS", max_paths)
        assert can_merge([_columns(flats) for flats, _ in segments]) == (len(paths) <= max_paths)
