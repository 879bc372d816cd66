"""Rows for segments, made from payloads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.rows import Rows, rows_of

DIMENSION = 16


def rows_with(
    payloads: Sequence[Mapping[str, Any] | None], prefix: str = "doc", metric: Metric = Metric.L2
) -> Rows:
    count = len(payloads)
    vectors = np.random.default_rng(count).normal(size=(count, DIMENSION)).astype(np.float32)
    batch = DocumentBatch(
        ids=[f"{prefix}-{number}" for number in range(count)],
        vectors=vectors,
        texts=[None if number % 3 == 0 else f"text {number}" for number in range(count)],
        payloads=[None if payload is None else orjson.dumps(payload) for payload in payloads],
    )
    return rows_of(batch, metric)


def growing_with(payloads: Sequence[Mapping[str, Any] | None]) -> GrowingSegment:
    segment = GrowingSegment(DIMENSION)
    segment.append(rows_with(payloads), version=7)
    return segment
