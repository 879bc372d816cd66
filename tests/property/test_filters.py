"""Filters mean the same in every kind of segment, whatever the payloads are."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import Condition, Filter, Match, Range, flatten, passes
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import decode_rows, encode_rows, rows_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.segment_writer import Source, write_segment
from tests.crash.faulty_filesystem import FaultyFileSystem

PATH = PurePosixPath("segments/s")
BORDERS = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, -(2**63)]

numbers = (
    st.sampled_from(BORDERS)
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1.0, 2.0**53, 2.0**63, 2.0**64, 1e308, 5e-324])
)
words = st.text(max_size=4) | st.sampled_from(["", "a", "A", "é", "e\u0301", "\U0001f600", "\0"])
scalars = st.none() | st.booleans() | numbers | words
keys = st.sampled_from(["a", "b", "c", "ü", "a.b", "a[]", ""]) | st.text(max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
payloads = st.none() | st.dictionaries(keys, values, max_size=4)


def _near(value: Any) -> list[Any]:
    """Values that equal it, or nearly do, or do in Python but not in a filter."""
    if isinstance(value, bool):
        return [value, not value, int(value), float(value)]
    if isinstance(value, str):
        return [value, value + "a", value[:-1], value.upper()]
    return [value, float(value), int(value), value + 1, value - 1, -value, bool(value)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[bytes | None], list[Condition]]:
    contents = draw(st.lists(payloads, min_size=1, max_size=8))
    encoded = [None if content is None else orjson.dumps(content) for content in contents]
    flats = [flatten(orjson.loads(raw)) for raw in encoded if raw]
    known = [(path, value) for flat in flats for path, found in flat.items() for value in found]
    conditions = []
    for _ in range(4):
        path = draw(st.sampled_from([path for path, _ in known]) | keys if known else keys)
        some = draw(st.sampled_from([value for _, value in known]) | numbers if known else numbers)
        near = _near(some)
        if draw(st.booleans()):
            wanted = st.sampled_from(near) | numbers | words | st.booleans()
            conditions.append(Match(path, tuple(draw(st.lists(wanted, max_size=4)))))
        else:
            bounds = [n for n in near if not isinstance(n, (str, bool))] or [0]
            bound = st.sampled_from(bounds) | numbers | st.just(float("inf")) | st.just(10**400)
            names = st.sampled_from(["gt", "gte", "lt", "lte"])
            conditions.append(Range(path, **draw(st.dictionaries(names, bound, max_size=3))))
    return encoded, conditions


@given(cases())
@settings(max_examples=200, deadline=None, print_blob=True)
def test_filters_mean_the_same_in_growing_and_sealed_segments(
    case: tuple[list[bytes | None], list[Condition]],
) -> None:
    encoded, conditions = case
    count = len(encoded)
    batch = DocumentBatch(
        [str(row) for row in range(count)],
        np.ones((count, 16), np.float32),
        [None] * count,
        encoded,
    )
    rows = decode_rows(memoryview(b"".join(encode_rows(rows_of(batch, Metric.L2)))))
    growing = GrowingSegment(16)
    growing.append(rows, version=1)
    fs = FaultyFileSystem()
    checksum = write_segment(fs, PATH, [Source(growing, np.arange(count))], 16)
    sealed = SealedSegment.open(fs, PATH, checksum)
    for condition in conditions:
        filter = Filter((condition,))
        naive = [passes(filter, flatten(orjson.loads(raw)) if raw else {}) for raw in encoded]
        assert growing.condition_mask(condition, count).tolist() == naive
        assert sealed.condition_mask(condition, count).tolist() == naive
