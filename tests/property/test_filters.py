"""Filters mean the same in every kind of segment, whatever the payloads are."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import (
    Clause,
    Condition,
    DateRange,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    HasId,
    IsNull,
    Match,
    MatchExcept,
    MatchText,
    Range,
    ValuesCount,
)
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.flattening import flatten
from akidb_ray.domain.words import words_of
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.mask_cache import MaskCache
from akidb_ray.segment.rows import decode_rows, encode_rows, rows_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.segment_writer import Source, write_segment
from akidb_ray.segment.view import Segment
from akidb_ray.storage.filesystem import FileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem

PATH = PurePosixPath("segments/s")
BORDERS = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, -(2**63)]
TEXTS = [
    "Red shoes", "red", "Shoes, RED!", "don't", "don’t", "ＲＥＤ", "ﬁre", "fire", "Straße",
    "STRASSE", "İstanbul", "naïve", "naïve red", "日本語の本", "本", "κόσμος ΚΌΣΜΟΣ", "\u212a", "k",
    "a_b", "ヾ",
]  # fmt: skip
DATES = [
    "2024-02-29", "2024-02-29T12:00:00Z", "2024-02-29t12:00", "2024-02-29 14:00:00.0000019+02:00",
    "2023-02-29", "2024-02-29T", "0001-01-01", "9999-12-31T23:59:59.999999-23:59", "2024-02-29x",
]  # fmt: skip
NOON = 1_709_208_000_000_000

numbers = (
    st.sampled_from(BORDERS)
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1.0, 2.0**53, 2.0**63, 2.0**64, 1e308, 5e-324])
)
words = (
    st.text(max_size=4)
    | st.sampled_from(["", "a", "A", "é", "e\u0301", "\U0001f600", "\0"])
    | st.sampled_from(TEXTS)
    | st.sampled_from(DATES)
)
lons = st.sampled_from([-180, -180.0, -179.9, -1, 0, 0.5, 1, 179.9, 180]) | st.floats(-180, 180)
lats = st.sampled_from([-90, -1, -0.0, 0, 0.5, 1, 89.9, 90]) | st.floats(-90, 90)
points = st.fixed_dictionaries({"lon": lons | st.just(181), "lat": lats})
scalars = st.none() | st.booleans() | numbers | words
keys = st.sampled_from(["a", "b", "c", "ü", "a.b", "a[]", ""]) | st.text(max_size=2)
values = st.recursive(
    scalars | points,
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
    if isinstance(value, int | float):
        return [value, float(value), int(value), value + 1, value - 1, -value, bool(value)]
    return [0, 1, "", True]


def _bounds(draw: st.DrawFn, bound: st.SearchStrategy[Any]) -> dict[str, Any]:
    names = st.sampled_from(["gt", "gte", "lt", "lte"])
    return draw(st.dictionaries(names, bound, max_size=3))


@st.composite
def _value_conditions(draw: st.DrawFn, key: str, near: list[Any]) -> Condition:
    """One on scalars, near to those that there are."""
    kind = draw(st.sampled_from([Match, MatchExcept, Range, MatchText]))
    if kind is Range:
        some = [n for n in near if not isinstance(n, (str, bool))] or [0]
        large = st.sampled_from([float("inf"), 10**400])
        return Range(key, **_bounds(draw, st.sampled_from(some) | numbers | large))
    if kind is MatchText:
        texts = st.sampled_from([n for n in near if isinstance(n, str)] or ["red"]) | words
        found = words_of(draw(texts)) + draw(st.sampled_from([[], ["red"], ["don't"]]))
        return MatchText(key, tuple(found), draw(st.booleans()))
    wanted = st.sampled_from(near) | numbers | words | st.booleans() | st.just("\ud800")
    size = draw(st.sampled_from([4, 4, 12]))
    found = tuple(draw(st.lists(wanted, max_size=size)))
    return Match(key, found) if kind is Match else MatchExcept(key, found)


@st.composite
def _other_conditions(draw: st.DrawFn, key: str) -> Condition:
    kind = draw(st.sampled_from([Exists, IsNull, ValuesCount, DateRange, GeoRadius, GeoBox, HasId]))
    if kind is HasId:
        return HasId(tuple(draw(st.lists(st.sampled_from([*"0123456789", "x"]), max_size=3))))
    if kind is ValuesCount:
        return ValuesCount(key, **_bounds(draw, st.integers(-1, 4)))
    if kind is DateRange:
        bound = st.sampled_from([NOON - 1, NOON, NOON + 1, 10**30, -(10**30)]) | st.integers()
        return DateRange(key, **_bounds(draw, bound))
    if kind is GeoRadius:
        radius = st.sampled_from([0.0, 1.0, 111_000.0, 157_300.0, 2e7, 3e7]) | st.floats(0, 1e6)
        return GeoRadius(key, draw(lons), draw(lats), draw(radius))
    if kind is GeoBox:
        return GeoBox(key, draw(lats), draw(lons), draw(lats), draw(lons))
    wanted = draw(st.booleans())
    return Exists(key, wanted) if kind is Exists else IsNull(key, wanted)


@st.composite
def _trees(draw: st.DrawFn, conditions: list[Condition], depth: int = 2) -> Filter:
    clause: st.SearchStrategy[Clause] = st.sampled_from(conditions)
    if depth:
        clause = clause | _trees(conditions, depth - 1)
    some = st.lists(clause, max_size=2).map(tuple)
    return Filter(draw(some), draw(some), draw(some))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[bytes | None], list[Filter]]:
    contents = draw(st.lists(payloads, min_size=1, max_size=8))
    encoded = [None if content is None else orjson.dumps(content) for content in contents]
    flats = [flatten(orjson.loads(raw)) for raw in encoded if raw]
    known = [(path, value) for flat in flats for path, found in flat.items() for value in found]
    conditions: list[Condition] = []
    for _ in range(4):
        path = draw(st.sampled_from([path for path, _ in known]) | keys if known else keys)
        some = draw(st.sampled_from([value for _, value in known]) | numbers if known else numbers)
        conditions.append(draw(_value_conditions(path, _near(some)) | _other_conditions(path)))
    filters = [Filter((condition,)) for condition in conditions]
    return encoded, [*filters, draw(_trees(conditions)), draw(_trees(conditions))]


def _growing(encoded: list[bytes | None]) -> GrowingSegment:
    count = len(encoded)
    ids = [str(row) for row in range(count)]
    batch = DocumentBatch(ids, np.ones((count, 16), np.float32), [None] * count, encoded)
    rows = decode_rows(memoryview(b"".join(encode_rows(rows_of(batch, Metric.L2)))))
    growing = GrowingSegment(16)
    growing.append(rows, version=1)
    return growing


def _sealed(fs: FileSystem, name: str, sources: list[Source]) -> SealedSegment:
    path = PATH.with_name(name)
    checksum = write_segment(fs, path, sources, 16)
    return SealedSegment.open(fs, path, checksum, masks=MaskCache(1_000_000))


def _segments(growing: GrowingSegment) -> dict[str, Segment]:
    """The same rows in segments of every kind."""
    fs, count = FaultyFileSystem(), len(growing)
    halves = np.array_split(np.arange(count), 2)
    parts = [_sealed(fs, f"{n}", [Source(growing, half)]) for n, half in enumerate(halves)]
    found: dict[str, Segment] = {
        "growing": growing,
        "sealed": _sealed(fs, "sealed", [Source(growing, np.arange(count))]),
        "merged": _sealed(fs, "merged", [Source(p, np.arange(len(p))) for p in parts]),
    }
    with pytest.MonkeyPatch.context() as patch:
        for room in ("column_building", "merged_columns"):
            patch.setattr(f"akidb_ray.segment.{room}.MAX_PATHS", 1)
        found["wide"] = _sealed(fs, "wide", [Source(growing, np.arange(count))])
    return found


def _make_blocks_small(patch: pytest.MonkeyPatch) -> None:
    """Of two rows, with one row or none behind them; two of them become one of four."""
    patch.setattr("akidb_ray.segment.growing_columns.BLOCK_ROWS", 2)
    patch.setattr("akidb_ray.segment.growing_columns._MERGED_BLOCKS", 2)


@given(cases())
@settings(max_examples=150, deadline=None, print_blob=True)
def test_filters_mean_the_same_in_every_kind_of_segment(
    case: tuple[list[bytes | None], list[Filter]],
) -> None:
    encoded, filters = case
    flats = [flatten(orjson.loads(raw)) if raw else {} for raw in encoded]
    with pytest.MonkeyPatch.context() as patch:
        _make_blocks_small(patch)
        segments = _segments(_growing(encoded))
        for filter in filters:
            naive = [passes(filter, flat, str(row)) for row, flat in enumerate(flats)]
            for name, segment in segments.items():
                for _ in range(2):  # the second time from the cache, if there is one
                    found = segment.filter_mask(filter, len(encoded)).tolist()
                    assert found == naive, (name, filter)


@given(st.lists(payloads, min_size=1, max_size=8), st.integers(0, 255))
@settings(max_examples=60, deadline=None, print_blob=True)
def test_values_are_counted_the_same_in_every_kind_of_segment(
    contents: list[dict[str, Any] | None], chosen: int
) -> None:
    encoded = [None if content is None else orjson.dumps(content) for content in contents]
    flats = [flatten(orjson.loads(raw)) if raw else {} for raw in encoded]
    allowed = np.array([bool(chosen >> row & 1) for row in range(len(encoded))])
    with pytest.MonkeyPatch.context() as patch:
        _make_blocks_small(patch)
        segments = _segments(_growing(encoded))
        for key in {path for flat in flats for path in flat} | {"missing"}:
            naive: dict[tuple[str, Any], int] = {}
            for row in np.flatnonzero(allowed):
                for value in {_named(value) for value in flats[row].get(key, ())} - {None}:
                    assert value is not None
                    naive[value] = naive.get(value, 0) + 1
            for name, segment in segments.items():
                assert segment.value_counts(key, allowed) == naive, (name, key)


def _named(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, str):
        return "string", value
    return ("number", value) if isinstance(value, int | float) else None
