"""What a shard should hold and answer: a dict and brute force."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch, Vectors
from akidb_ray.domain.filter import Filter, flatten, passes


@dataclass(frozen=True, eq=False)
class Known:
    vector: Vectors
    text: str | None
    payload: bytes | None
    version: int


@dataclass(eq=False)
class Oracle:
    metric: Metric
    documents: dict[str, Known] = field(default_factory=dict)

    def upsert(self, batch: DocumentBatch, version: int) -> None:
        columns = zip(batch.ids, batch.vectors, batch.texts, batch.payloads, strict=True)
        for id, vector, text, payload in columns:
            former = self.documents.get(id)
            assert former is None or former.version <= version
            self.documents[id] = Known(vector, text, payload, version)

    def delete(self, ids: Iterable[str]) -> int:
        return sum(self.documents.pop(id, None) is not None for id in set(ids))

    def matching(self, filter: Filter) -> list[str]:
        return sorted(
            id for id, known in self.documents.items() if passes(filter, _flat(known.payload))
        )

    def scores(self, query: Vectors, filter: Filter) -> dict[str, float]:
        """The score of every document that passes."""
        return {
            id: self._score(self.documents[id].vector.astype(np.float64), query.astype(np.float64))
            for id in self.matching(filter)
        }

    def best(self, query: Vectors, filter: Filter, limit: int) -> list[float]:
        """The scores of the best documents, best first."""
        scores = self.scores(query, filter).values()
        return sorted(scores, reverse=self.metric.larger_is_better)[:limit]

    def _score(self, vector: Any, query: Any) -> float:
        if self.metric is Metric.L2:
            return float(np.linalg.norm(vector - query))
        product = float(vector @ query)
        if self.metric is Metric.DOT:
            return product
        return product / float(np.linalg.norm(vector) * np.linalg.norm(query))


def _flat(payload: bytes | None) -> dict[str, list[Any]]:
    return flatten(orjson.loads(payload)) if payload else {}
