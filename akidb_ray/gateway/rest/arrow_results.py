"""What searches found as an Arrow table: a row for each document, with the number of its query."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from akidb_ray.domain.query import Hit
from akidb_ray.gateway.rest.arrow_stream import ARROW_STREAM
from akidb_ray.gateway.rest.context import Call
from akidb_ray.service.search import SearchAnswer

METADATA_KEY = b"akidb"

ARROW_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": f"With `Accept: {ARROW_STREAM}` a stream of the columns query, id, score, "
        "version, payload (JSON), text and vector instead.",
        "content": {ARROW_STREAM: {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""What OpenAPI says of routes that answer in Arrow, too."""


def wants_arrow(call: Call) -> bool:
    return ARROW_STREAM in call.given.get("accept", "").lower()


def results_stream(answers: Sequence[SearchAnswer], took_ms: float) -> pa.Table:
    """Columns query (int32: its number in the batch), id, score, version; payload, text and vector
    when there are any. What else an answer says is JSON in the schema's metadata.
    """
    hits = [hit for answer in answers for hit in answer.hits]
    counts = [len(answer.hits) for answer in answers]
    columns: dict[str, pa.Array] = {
        "query": pa.array(np.repeat(np.arange(len(answers), dtype=np.int32), counts)),
        "id": pa.array([hit.id for hit in hits], pa.string()),
        "score": pa.array([hit.score for hit in hits], pa.float64()),
        "version": pa.array([hit.version for hit in hits], pa.int64()),
        "payload": pa.array([hit.payload for hit in hits], pa.binary()).cast(pa.string()),
        "text": pa.array([hit.text for hit in hits], pa.string()),
    }
    vectors = _vectors(hits)
    if vectors is not None:
        columns["vector"] = vectors
    told = {
        "took_ms": took_ms,
        "missing_shards": {
            query: answer.missing_shards
            for query, answer in enumerate(answers)
            if answer.missing_shards
        },
    }
    return pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(told)})


def _vectors(hits: Sequence[Hit]) -> pa.Array | None:
    given = [hit.vector for hit in hits if hit.vector is not None]
    if not given:
        return None
    mask = np.array([hit.vector is None for hit in hits])
    width = len(given[0])
    rows = np.zeros((len(hits), width), np.float32)
    rows[~mask] = np.stack(given)
    numbers = pa.array(rows.ravel())
    return pa.FixedSizeListArray.from_arrays(numbers, width, mask=pa.array(mask))
