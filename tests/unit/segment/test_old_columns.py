"""Columns that an earlier version wrote: scalars only, nothing of nulls, objects, points, dates."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from akidb_ray.domain.filter import (
    DateRange,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    IsNull,
    KeyCondition,
    Match,
    MatchExcept,
    MatchText,
    Range,
    ValuesCount,
)
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.flattening import flatten
from akidb_ray.segment.arrow_batches import decode_file, encode_file
from akidb_ray.segment.merged_columns import can_merge
from akidb_ray.segment.sealed import COLUMNS, DESCRIPTION, SealedSegment
from akidb_ray.segment.segment_writer import write_segment
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import DIMENSION, PATH, all_of, growing_with, sealed_of

PAYLOADS: list[dict[str, Any]] = [
    {},
    {"v": None},
    {"v": []},
    {"v": [1, None, "red shoes"]},
    {"v": {"lon": 1, "lat": 2}},
    {"v": "2024-02-29"},
    {"v": [[1]]},
    {"v": True, "more": 1},
]
CONDITIONS: list[KeyCondition] = [
    Exists("v"),
    Exists("v", wanted=False),
    Exists("missing", wanted=False),
    IsNull("v"),
    IsNull("v", wanted=False),
    ValuesCount("v", gte=1),
    ValuesCount("v", lt=1),
    DateRange("v", gt=0),
    GeoBox("v", 3, 0, 0, 3),
    GeoRadius("v", 1, 2, 10),
    Match("v", (1, True)),
    MatchExcept("v", (1,)),
    MatchText("v", ("red",)),
    Range("v", gte=1),
    Match("missing", (1,)),
]


def _as_before(fs: OsFileSystem, path: PurePosixPath) -> int:
    """Make of a segment what the earlier version would have written; return its checksum."""
    batch = decode_file(fs.read(path / COLUMNS))
    scalars = pa.array(["string", "int", "uint", "float", "bool"])
    kept = batch.filter(pa.compute.is_in(batch.column("type"), scalars))
    kept = kept.replace_schema_metadata({"complete": "1"})
    content = b"".join(encode_file(kept))
    fs.write(path / COLUMNS, [content])
    description = orjson.loads(fs.read(path / DESCRIPTION))
    description["files"][COLUMNS] = {"size_bytes": len(content), "crc32c": crc32c(content)}
    raw = orjson.dumps(description)
    fs.write(path / DESCRIPTION, [raw])
    return crc32c(raw)


def _old(fs: OsFileSystem, payloads: Sequence[dict[str, Any]] = PAYLOADS) -> SealedSegment:
    write_segment(fs, PATH, [all_of(growing_with(payloads))], DIMENSION)
    return SealedSegment.open(fs, PATH, _as_before(fs, PATH))


@pytest.mark.parametrize("condition", CONDITIONS, ids=repr)
def test_conditions_mean_the_same_over_old_columns(
    fs: OsFileSystem, condition: KeyCondition
) -> None:
    filter = Filter((condition,))
    naive = [passes(filter, flatten(payload), "") for payload in PAYLOADS]
    assert _old(fs).filter_mask(filter, len(PAYLOADS)).tolist() == naive


def test_values_are_counted_in_old_columns(fs: OsFileSystem) -> None:
    allowed = np.ones(len(PAYLOADS), np.bool_)
    new = growing_with(PAYLOADS).value_counts("v", allowed)
    assert _old(fs).value_counts("v", allowed) == new
    assert ("number", 1) in new


def test_merge_of_an_old_segment_has_new_columns(fs: OsFileSystem) -> None:
    old = _old(fs)
    assert old.columns.complete
    assert not old.columns.all_types
    assert not can_merge([old.columns])
    merged = sealed_of(fs, all_of(old), path=PATH.with_name("merged"))
    written = sealed_of(fs, all_of(growing_with(PAYLOADS)), path=PATH.with_name("written"))
    assert can_merge([merged.columns, written.columns])
    columns = [fs.read(PATH.with_name(name) / COLUMNS) for name in ("merged", "written")]
    assert columns[0] == columns[1]
