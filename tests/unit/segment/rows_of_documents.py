"""Rows for segments, made from payloads, and segments made of them."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import Rows, rows_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.segment.segment_writer import Source, write_segment
from akidb_ray.storage.filesystem import FileSystem

DIMENSION = 16
PATH = PurePosixPath("segments/s")
Payloads = Sequence[Mapping[str, Any] | None]


def rows_with(
    payloads: Payloads,
    prefix: str = "doc",
    metric: Metric = Metric.L2,
    expires_at: Sequence[float] | None = None,
    dimension: int = DIMENSION,
) -> Rows:
    count = len(payloads)
    vectors = np.random.default_rng(count).normal(size=(count, dimension)).astype(np.float32)
    batch = DocumentBatch(
        ids=[f"{prefix}-{number}" for number in range(count)],
        vectors=vectors,
        texts=[None if number % 3 == 0 else f"text {number}" for number in range(count)],
        payloads=[None if payload is None else orjson.dumps(payload) for payload in payloads],
        expires_at=None if expires_at is None else np.array(expires_at),
    )
    return rows_of(batch, metric)


def growing_with(
    payloads: Payloads, prefix: str = "doc", expires_at: Sequence[float] | None = None
) -> GrowingSegment:
    segment = GrowingSegment(DIMENSION)
    segment.append(rows_with(payloads, prefix, expires_at=expires_at), version=7)
    return segment


def all_of(segment: GrowingSegment | SealedSegment) -> Source:
    return Source(segment, np.arange(len(segment)))


def sealed_of(
    fs: FileSystem,
    *sources: Source,
    path: PurePosixPath = PATH,
    attached_at: int = 0,
    dimension: int = DIMENSION,
) -> SealedSegment:
    checksum = write_segment(fs, path, sources, dimension)
    return SealedSegment.open(fs, path, checksum, attached_at)
