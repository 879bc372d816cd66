"""The same documents in a collection of one shard and in one of three, on three stores."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.filter import EVERYTHING, Filter, Match, MatchExcept, Range
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.query import Hit
from akidb_ray.service.collections import CollectionRef
from akidb_ray.service.documents import Documents, Written
from akidb_ray.service.incoming import IncomingDocument
from akidb_ray.service.search import Search
from tests.in_process import MODEL, Database, DirectHosts, running_database

DIMENSION = 64
ONE, THREE = (CollectionRef("default", "default", name) for name in ("one", "three"))
WORDS = ["red", "green", "blue", "film", "night", "river", "stone", "paper", "house", "rain"]
FILTERS = [
    EVERYTHING,
    Filter((Match("n", (1, 3, 7)),)),
    Filter((Range("n", gte=2, lt=6),)),
    Filter((Match("tags", ("x",)), Range("n", lt=8))),
    Filter(must_not=(Match("tags", ("y",)),)),
    Filter((MatchExcept("tags", ("z",)),)),
    Filter((Match("n", (99,)),)),
]


def documents(count: int, seed: int) -> list[IncomingDocument]:
    """Vectors, some of them equal, texts and payloads; some lack a text or a payload."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=DIMENSION).astype(np.float32)
    made = []
    for row in range(count):
        vector = rng.normal(size=DIMENSION).astype(np.float32)
        words = rng.choice(WORDS, size=rng.integers(1, 12)).tolist()
        tags = rng.choice(list("xyz"), size=rng.integers(0, 4)).tolist()
        payload: dict[str, Any] = {"n": int(rng.integers(0, 10)), "tags": tags, "row": row}
        if row % 4 == 0:
            payload["n"] = float(payload["n"])
        made.append(
            IncomingDocument(
                f"doc {row:04d}" if row % 9 else f"ü{row}",
                shared if rng.random() < 0.1 else vector,
                None if row % 7 == 0 else " ".join(words),
                None if row % 11 == 0 else payload,
            )
        )
    return made


def vector(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)


@dataclass(frozen=True)
class Twins:
    database: Database
    shards: CollectionPlace

    @property
    def search(self) -> Search:
        return self.database.services.search

    @property
    def documents(self) -> Documents:
        return self.database.services.documents

    @property
    def hosts(self) -> DirectHosts:
        return self.database.hosts

    def store_of(self, number: int) -> StoreId:
        """Where shard `number` of the collection of three is."""
        return self.shards.placements[number].store_id

    async def put(self, batch: Sequence[IncomingDocument]) -> list[Written]:
        return [await self.documents.upsert(ROOT, ref, batch) for ref in (ONE, THREE)]


@asynccontextmanager
async def twins(folder: Path, metric: Metric = Metric.COSINE) -> AsyncIterator[Twins]:
    async with running_database(folder, stores=3) as database:
        make = database.services.collections.create
        for ref, shards in ((ONE, 1), (THREE, 3)):
            spec = CollectionSpec(0, metric, shards, embedding_model=MODEL)
            place = await make(ROOT, ref, spec)
        yield Twins(database, place)


def shown(hits: Sequence[Hit]) -> list[tuple[Any, ...]]:
    """What two collections with the same documents must show alike: all but versions."""
    return [
        (h.id, h.score, h.payload, h.text, None if h.vector is None else h.vector.tolist())
        for h in hits
    ]
