"""What the golden replica `searched` is made of: texts and payloads of every kind, for searches."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import CollectionSpec, HnswEngine, Language, Metric
from akidb_ray.domain.document import NEVER, DocumentBatch
from akidb_ray.domain.filter import EVERYTHING
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.query import HybridQuery, Query, TextQuery, VectorQuery
from akidb_ray.shard.replica import Replica
from tests.golden.contents import ALL, DIMENSION, FAR, FOLDER, NOW, as_json, vectors

SEARCHED = FOLDER / "searched"
SEARCHED_EXPECTED = FOLDER / "searched.json"
SEARCHED_SPEC = CollectionSpec(
    DIMENSION,
    Metric.COSINE,
    hnsw_m=8,
    hnsw_engine=HnswEngine.FAISS,
    language=Language.ENGLISH,
    wal_retention_seconds=10**9,
)
# These have the vector of document 5, so that a graph has repeated rows; these expire before the
# files are opened; and this number is 2**63 and above from here on.
SAME, SHORT_LIVED, UNSIGNED_FROM = (13, 29), (9, 30, 55), 40
TEXTS = [
    "A young lawyer defends a man in a small town",
    "Two lawyers argue; the town's river rises, and rises again",
    "Der Fluss war naïve: l'été à São Paulo",
    "東京の夜 — Tokyo by night, a love story",
    None,
    "An old love story, told twice: a love story of storytellers",
    "No film of the small river town was ever shown",
]
SEARCHES: list[Query] = [
    TextQuery("small town lawyers", limit=12),
    TextQuery('"love story" told', limit=12),
    TextQuery("東京 été", limit=12),
    TextQuery("the river", limit=12, filter=parse_filter({"n": {"$lt": 45}})),
    HybridQuery(vectors([1000])[0], "river town", limit=12, ef=200),
]
# Over the 180th meridian.
BOX = {"top_left": {"lon": 170, "lat": 60}, "bottom_right": {"lon": 12, "lat": 0}}
OF_A_PART = {"key": "parts[].c", "range": {"lt": -70}}
FILTERS: list[Any] = [
    {"must": [{"key": "n", "match": {"value": 12}}]},
    {"must": [{"key": "words", "match": {"any": ["zwei", "日本"]}}]},
    {"must": [{"key": "words[]", "match": {"except": ["zwei"]}}]},
    {"must": [{"key": "title", "match": {"text": "golden RIVER"}}]},
    {"must": [{"key": "title", "match": {"phrase": "river film"}}]},
    {"must": [{"key": "half", "range": {"gt": 3, "lte": 15.5}}]},
    {"must": [{"key": "big", "range": {"gte": 2**63}}]},
    {"must": [{"key": "made", "range": {"gte": "2020-01-10", "lt": "2020-02-01T12:00:00Z"}}]},
    {"must": [{"key": "maybe", "exists": True}]},
    {"must": [{"key": "maybe", "is_null": True}]},
    {"must": [{"key": "empty", "is_null": False}]},
    {"must": [{"key": "words", "values_count": {"gte": 2}}]},
    {"must": [{"key": "at", "geo_radius": {"center": {"lon": 13, "lat": 52}, "radius": 9e5}}]},
    {"must": [{"key": "at", "geo_box": BOX}]},
    {"must": [{"has_id": ["document 4", "document 84", "document 1", "missing"]}]},
    {
        "should": [
            {"key": "even", "match": {"value": True}},
            {"key": "parts[].c", "range": {"lt": -9}},
        ]
    },
    {"must_not": {"key": "inner.deep", "match": {"value": "1"}}},
    {"$or": [{"n": {"$in": [3, 4, 5]}}, {"$and": [{"even": False}, {"n": {"$nin": [7, 9]}}]}]},
]


def searched_documents(numbers: Sequence[int], version: int = 0) -> DocumentBatch:
    """Some have no text, no payload, or an expiry."""
    sources = [5 if n in SAME else n + 100 * version for n in numbers]
    return DocumentBatch(
        ids=[f"document {n}" for n in numbers],
        vectors=vectors(sources),
        texts=[_text(n, version) for n in numbers],
        payloads=[None if n % 11 == 10 else orjson.dumps(_payload(n)) for n in numbers],
        expires_at=np.array([_expires_at(n) for n in numbers]),
    )


def _text(n: int, version: int) -> str | None:
    text = TEXTS[n % len(TEXTS)]
    return None if text is None else f"{text}. {'again ' * version}{'river ' * (n % 3)}"


def _expires_at(n: int) -> float:
    if n in SHORT_LIVED:
        return NOW + 30
    return FAR if n % 5 == 0 else NEVER


def _payload(n: int) -> dict[str, Any]:
    """Values of every type that a column has."""
    point = {"lon": n * 4.0 - 150, "lat": 52 - abs(n - 40) / 2}
    payload: dict[str, Any] = {
        "n": n,
        "half": n / 2,
        "even": n % 2 == 0,
        "words": ["eins", "zwei", None, "日本"][: n % 5],
        "title": f"The Golden {'River' if n % 3 else 'Bridge'} film, part {n}",
        "made": f"2020-01-{n % 28 + 1:02}" if n % 4 else f"2020-02-01T{n % 24:02}:30:00.5+02:00",
        "inner": {"deep": str(n % 3), "none": None},
        "parts": [{"c": n}, {"c": -n}],
        "at": [point, {"lon": 0, "lat": 0}] if n % 6 == 0 else point,
        "empty": [{}, [], "x"][n % 3],
        "big": 2**63 + n if n >= UNSIGNED_FROM else n,
    }
    if n % 2:
        payload["maybe"] = None if n % 3 == 0 else n
    return payload


def searched_answers(replica: Replica) -> dict[str, Any]:
    """All documents, and what filters and searches find, as JSON."""
    view = replica.view()
    ids = sorted(view.matching_ids(EVERYTHING, ALL))
    near = VectorQuery(vectors([1000])[0], limit=8, ef=200)
    mostly = replace(near, filter=parse_filter({"n": {"$lt": 60}}))
    searches = [*SEARCHES, near, replace(near, exact=True), mostly, replace(mostly, exact=True)]
    searches.append(replace(near, vector=vectors([5])[0]))
    found = [view.search(query, ALL) for query in searches]
    return {
        "documents": [as_json(document) for document in view.get(ids, ALL, with_vector=True)],
        "filters": [sorted(view.matching_ids(parse_filter(raw), ALL)) for raw in FILTERS],
        "hits": [[[hit.id, hit.version] for hit in hits] for hits in found],
        "scores": [[hit.score for hit in hits] for hits in found],
    }


def searched_expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SEARCHED_EXPECTED.read_text("utf-8"))
    return found
