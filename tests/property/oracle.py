"""What a shard should hold and answer: a dict and brute force.

A write that was only buffered may be lost with the power, but only together with all after it. So
the oracle keeps what the shard held after each write that may still be lost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import orjson

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import NEVER, DocumentBatch, Vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.flattening import flatten
from akidb_ray.domain.write import ShardDelete, ShardPatch, ShardUpsert, ShardWrite, WriteOutcome

KEY_LIFETIME_S = 86_400.0


@dataclass(frozen=True, eq=False)
class Known:
    vector: Vectors
    text: str | None
    payload: bytes | None
    expires_at: float = NEVER
    version: int = 0

    @cached_property
    def content(self) -> dict[str, Any]:
        return orjson.loads(self.payload) if self.payload else {}

    @cached_property
    def flat(self) -> dict[str, list[Any]]:
        return flatten(self.content)


Documents = Mapping[str, Known]


@dataclass(frozen=True, eq=False)
class Change:
    """What a write does: documents put and ids removed, and what is answered."""

    put: Documents
    removed: frozenset[str]
    affected: int
    skipped: int = 0


@dataclass(frozen=True, eq=False)
class Answered:
    write: ShardWrite
    outcome: WriteOutcome
    given_at: float


@dataclass(frozen=True, eq=False)
class State:
    """What is there after the write with this sequence; `answers` are by idempotency key."""

    sequence: int
    documents: Documents
    answers: Mapping[str, Answered]


@dataclass(eq=False)
class Oracle:
    """The first of `states` is surely on disk, the last is what readers see.

    `unsynced_since` is when the first write was made that may be lost with the power.
    """

    metric: Metric
    states: list[State] = field(default_factory=lambda: [State(0, {}, {})])
    unsynced_since: float | None = None

    def alive(self, now: float) -> Documents:
        known = self.states[-1].documents.items()
        return {id: document for id, document in known if document.expires_at > now}

    def first_answer(self, write: ShardWrite, now: float) -> WriteOutcome | None:
        """What was answered when this write came before.

        Raises InvalidArgument when its idempotency key came with another one.
        """
        former = self.states[-1].answers.get(write.options.idempotency_key or "")
        if former is None or now - former.given_at >= KEY_LIFETIME_S:
            return None
        if not _is_the_same(write, former.write):
            raise InvalidArgument("idempotency_key", "was used before")
        return former.outcome

    def carry_out(
        self, change: Change, outcome: WriteOutcome, now: float, write: ShardWrite | None = None
    ) -> None:
        key = None if write is None else write.options.idempotency_key
        if not (change.put or change.removed or key):
            return
        state = self.states[-1]
        documents = {id: d for id, d in state.documents.items() if id not in change.removed}
        for id, document in change.put.items():
            documents[id] = replace(document, version=outcome.sequence)
        answers = state.answers
        if write is not None and key is not None:
            answers = {**answers, key: Answered(write, outcome, now)}
        self.states.append(State(outcome.sequence, documents, answers))
        if self.unsynced_since is None:
            self.unsynced_since = now

    def synced(self) -> None:
        del self.states[:-1]
        self.unsynced_since = None

    def power_was_lost(self, sequence: int) -> None:
        """All writes up to `sequence` are there. Fails when that says of too few of them."""
        left = [state for state in self.states if state.sequence <= sequence]
        assert left, f"up to {self.states[0].sequence} all was on disk, {sequence} is left"
        self.states = left
        self.synced()

    def matching(self, filter: Filter, now: float) -> list[str]:
        known = self.alive(now).items()
        return sorted(id for id, document in known if passes(filter, document.flat, id))

    def scores(self, query: Vectors, filter: Filter, now: float) -> dict[str, float]:
        """The score of every document that passes."""
        documents = self.states[-1].documents
        return {
            id: self._score(documents[id].vector.astype(np.float64), query.astype(np.float64))
            for id in self.matching(filter, now)
        }

    def best(self, scores: Iterable[float], limit: int) -> list[float]:
        """The scores of the best documents, best first."""
        return sorted(scores, reverse=self.metric.larger_is_better)[:limit]

    def _score(self, vector: Any, query: Any) -> float:
        if self.metric is Metric.L2:
            return float(np.linalg.norm(vector - query))
        product = float(vector @ query)
        if self.metric is Metric.DOT:
            return product
        return product / float(np.linalg.norm(vector) * np.linalg.norm(query))


def documents_of(batch: DocumentBatch) -> dict[str, Known]:
    """Of documents with the same id the last one wins."""
    expires_at = [NEVER] * len(batch) if batch.expires_at is None else batch.expires_at.tolist()
    columns = (batch.vectors, batch.texts, batch.payloads, expires_at)
    return {
        id: Known(*cells)
        for id, *cells in zip(batch.ids, *columns, strict=True)
    }  # fmt: skip


def _is_the_same(write: ShardWrite, other: ShardWrite) -> bool:
    """Whether they ask for the same; how durable it is to be does not matter."""
    return type(write) is type(other) and _asked(write) == _asked(other)


def _asked(write: ShardWrite) -> list[Any]:
    asked: list[Any] = [write.options.if_versions, write.options.only_if]
    if isinstance(write, ShardUpsert):
        batch = write.documents
        times = None if batch.expires_at is None else batch.expires_at.tolist()
        texts, payloads = list(batch.texts), list(batch.payloads)
        return [*asked, list(batch.ids), batch.vectors.tolist(), texts, payloads, times, write.mode]
    assert isinstance(write, (ShardDelete, ShardPatch))
    asked += [write.ids, write.filter]
    return asked if isinstance(write, ShardDelete) else [*asked, write.patch]
