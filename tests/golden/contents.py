"""What the golden replicas are made of, and what is asked of them."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import CollectionSpec, HnswEngine, Metric
from akidb_ray.domain.document import NEVER, DocumentBatch, StoredDocument, Vectors
from akidb_ray.domain.filter import EVERYTHING, RowFilter
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import ShardDelete, ShardUpsert, ShardWrite, WriteOptions
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import SHARD

FOLDER = Path(__file__).parents[1] / "data" / "format-1"
EXPECTED = FOLDER / "expected.json"
ALL = RowFilter()
DIMENSION = 16
# When the files were written, by the clock of their writer; and a time in the year 3000.
NOW, FAR = 1_795_000_000.0, 32_503_680_000.0
# The log is kept from its beginning, whenever these files are opened. They say nothing of the
# library of their graphs, since they are of a time with only one.
CLOSED = CollectionSpec(
    DIMENSION,
    Metric.COSINE,
    hnsw_m=8,
    hnsw_engine=HnswEngine.HNSWLIB,
    wal_retention_seconds=10**9,
)
SPECS = {"closed": CLOSED, "killed": replace(CLOSED, metric=Metric.DOT)}
POLICY = ShardPolicy(
    seal_rows=10_000,
    seal_idle_s=1e9,
    index_min_rows=20,
    merge_factor=2,
    disk_reserve_bytes=0,
    lock_wait_s=0.0,
)
FILTERS: list[Any] = [
    {"must": [{"key": "n", "range": {"gte": 3, "lt": 50}}]},
    {"must": [{"key": "n", "match": {"value": 12}}]},
    {"must": [{"key": "half", "range": {"lte": 4.5}}]},
    {"must": [{"key": "even", "match": {"value": True}}]},
    {"must": [{"key": "words[]", "match": {"any": ["zwei", "日本"]}}]},
    {"must": [{"key": "inner.deep", "match": {"value": "1"}}]},
    {"must": [{"key": "patched", "match": {"value": "yes"}}]},
    {"must": [{"key": "big", "range": {"gt": 2**63 - 1}}]},
]


def vectors(numbers: Sequence[int]) -> Vectors:
    """Exact in float32 everywhere: a key's fingerprint is made of their bytes."""
    place = np.arange(DIMENSION)
    rows = [(place**2 * 7 + place * (n + 3) * 5 + n * 11) % 509 - 254 for n in numbers]
    return (np.array(rows) / 8).astype(np.float32)


def documents(numbers: Sequence[int], version: int = 0) -> DocumentBatch:
    """Documents with all that a payload may hold; some have no text, no payload, or an expiry."""
    return DocumentBatch(
        ids=[f"document {n}" for n in numbers],
        vectors=vectors([n + 100 * version for n in numbers]),
        texts=[None if n % 7 == 6 else f"Text {n}: naïve 日本 {version}" for n in numbers],
        payloads=[None if n % 11 == 10 else orjson.dumps(_payload(n)) for n in numbers],
        expires_at=np.array([FAR if n % 5 == 0 else NEVER for n in numbers]),
    )


def _payload(n: int) -> dict[str, Any]:
    return {
        "n": n,
        "half": n / 2,
        "even": n % 2 == 0,
        "words": ["eins", "zwei", "日本"][: n % 4],
        "inner": {"deep": str(n % 3), "none": None},
        "a.b": [{"c": n}, {"c": -n}],
        "big": 2**64 - 1 - n,
    }


def keyed_writes() -> dict[str, ShardWrite]:
    """By key; these and their answers are in both replicas."""
    first, second = WriteOptions(idempotency_key="first"), WriteOptions(idempotency_key="second")
    return {
        "first": ShardDelete(SHARD, ALL, ids=["document 7", "missing"], options=first),
        "second": ShardUpsert(SHARD, documents([80, 81], version=1), ALL, options=second),
    }


def opened(folder: Path) -> Replica:
    return open_replica(OsFileSystem(folder), POLICY, Surroundings(clock=lambda: NOW + 60))


def answers_of(replica: Replica) -> dict[str, Any]:
    """All documents, and what filters and searches find, as JSON."""
    view = replica.view()
    ids = sorted(view.matching_ids(EVERYTHING, ALL))
    asked = vectors([1000])[0]
    queries = [VectorQuery(asked, limit=8, ef=200), VectorQuery(asked, limit=8, exact=True)]
    queries += [replace(query, filter=parse_filter(FILTERS[0])) for query in queries]
    found = [view.search(query, ALL) for query in queries]
    return {
        "documents": [as_json(document) for document in view.get(ids, ALL, with_vector=True)],
        "filters": [sorted(view.matching_ids(parse_filter(raw), ALL)) for raw in FILTERS],
        "hits": [[[hit.id, hit.version] for hit in hits] for hits in found],
        "scores": [[hit.score for hit in hits] for hits in found],
    }


def as_json(document: StoredDocument) -> dict[str, Any]:
    assert document.vector is not None
    return {
        "id": document.id,
        "version": document.version,
        # They are eighths, give or take what normalizing rounds.
        "vector": [round(float(number) * 8, 3) for number in document.vector],
        "text": document.text,
        "payload": None if document.payload is None else orjson.loads(document.payload),
        "expires_at": None if math.isinf(document.expires_at) else document.expires_at,
    }


def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(EXPECTED.read_text("utf-8"))
    return found
