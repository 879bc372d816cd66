"""Random histories of a shard against an oracle.

`--hypothesis-seed` repeats a run; a failure prints the history and a blob that reproduces it.
"""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import DocumentBatch, Vectors
from akidb_ray.domain.filter import EVERYTHING, Filter, Match, Range, RowFilter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import ShardDelete, ShardUpsert
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.view import View
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep
from tests.property.oracle import Oracle
from tests.unit.shard.shards import NAMES, SHARD

DIMENSION = 16
ALL = RowFilter()
POLICY = ShardPolicy(
    seal_rows=40, seal_idle_s=1e9, index_min_rows=8, disk_reserve_bytes=0, lock_wait_s=0.0
)
FILTERS = [
    EVERYTHING,
    Filter((Match("n", (1, 3)),)),
    Filter((Range("n", gte=2, lt=5.5),)),
    Filter((Match("tags", ("x",)), Range("n", lt=4))),
    Filter((Match("missing", (1,)),)),
]
ids = st.sampled_from([*map(str, range(60)), "ü", "日本", "a b"])
payloads = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(0, 6) | st.floats(0, 6),
        "tags": st.lists(st.sampled_from("xyz"), max_size=3),
    },
)
seeds = st.integers(0, 2**16)
filters = st.sampled_from(FILTERS)


def _vectors(count: int, seed: int) -> Vectors:
    """In four clusters, some of them equal."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(4, DIMENSION)) * 3
    vectors = centres[rng.integers(0, 4, count)] + rng.normal(size=(count, DIMENSION))
    vectors[rng.random(count) < 0.1] = centres[0]
    return vectors.astype(np.float32)


class ShardMachine(RuleBasedStateMachine):
    @initialize(metric=st.sampled_from(list(Metric)), retention_s=st.sampled_from([0, 10**6]))
    def make(self, metric: Metric, retention_s: int) -> None:
        spec = CollectionSpec(
            DIMENSION, metric, hnsw_m=8, hnsw_ef_construction=60, wal_retention_seconds=retention_s
        )
        self.fs = FaultyFileSystem()
        create_replica(self.fs, spec, NAMES)
        self.replica: Replica = open_replica(self.fs, POLICY)
        self.oracle = Oracle(metric)
        self.sequence = 0
        self.held: tuple[View, Any] | None = None
        # Something to overwrite, delete and find from the start, most of it in a graph.
        self.upsert([str(number) for number in range(50)], [{"n": 1, "tags": ["x"]}, None], seed=1)
        self.seal()

    @rule(chosen=st.lists(ids, max_size=30), payload=st.lists(payloads, min_size=1), seed=seeds)
    def upsert(self, chosen: list[str], payload: list[Any], seed: int) -> None:
        contents = [payload[position % len(payload)] for position in range(len(chosen))]
        batch = DocumentBatch(
            chosen,
            _vectors(len(chosen), seed),
            [
                None if position % 5 == 0 else f"{seed} {position}"
                for position in range(len(chosen))
            ],
            [None if content is None else orjson.dumps(content) for content in contents],
        )
        outcome = self.replica.write(ShardUpsert(SHARD, batch, ALL))
        self._follows(outcome.sequence)
        assert outcome.affected == len(set(chosen))
        self.oracle.upsert(batch, outcome.sequence)

    @rule(chosen=st.lists(ids, max_size=20))
    def delete(self, chosen: list[str]) -> None:
        outcome = self.replica.write(ShardDelete(SHARD, ALL, ids=chosen))
        self._follows(outcome.sequence)
        assert outcome.affected == self.oracle.delete(chosen)

    @rule(filter=st.sampled_from(FILTERS[1:]))
    def delete_where(self, filter: Filter) -> None:
        outcome = self.replica.write(ShardDelete(SHARD, ALL, filter=filter))
        self._follows(outcome.sequence)
        assert outcome.affected == self.oracle.delete(self.oracle.matching(filter))

    @rule()
    def freeze(self) -> None:
        self.replica.freeze()

    @rule()
    def seal(self) -> None:
        self.replica.freeze()
        self.maintain()

    @rule()
    def maintain(self) -> None:
        while maintain(self.replica):
            pass

    @precondition(lambda self: self.replica.live.frozen)
    @rule(after=st.integers(0, 30), chosen=st.lists(ids, min_size=1, max_size=20), seed=seeds)
    def write_during_maintenance(self, after: int, chosen: list[str], seed: int) -> None:
        """At a step outside of the commit lock, where another thread could write."""
        machine, waiting = self.fs.machine, [after]

        def meanwhile(step: str) -> None:
            if " segments/" in step or " indexes/" in step:
                waiting[0] -= 1
                if waiting[0] == 0:
                    machine.before_step = lambda _: None
                    self.delete(chosen[::2])
                    self.upsert(chosen, [None, {"n": 3}], seed)

        machine.before_step = meanwhile
        self.maintain()
        machine.before_step = lambda _: None

    @rule(keep=st.sampled_from(list(Keep)), seed=seeds)
    def crash(self, keep: Keep, seed: int) -> None:
        self.fs = self.fs.machine.after_end(keep, seed)
        self.replica = open_replica(self.fs, POLICY)

    @rule()
    def reopen(self) -> None:
        self.replica.close()
        self.replica = open_replica(self.fs, POLICY)

    @rule()
    def hold_a_view(self) -> None:
        self.held = (self.replica.view(), _contents(self.replica.view()))

    @precondition(lambda self: self.held is not None)
    @rule()
    def held_view_is_as_it_was(self) -> None:
        assert self.held is not None
        assert _contents(self.held[0]) == self.held[1]

    @rule(filter=filters, limit=st.integers(1, 30), seed=seeds)
    def search(self, filter: Filter, limit: int, seed: int) -> None:
        for exact in (True, False):
            self._search(filter, limit, seed, exact)

    def _search(self, filter: Filter, limit: int, seed: int, exact: bool) -> None:
        (asked,) = _vectors(1, seed)
        query = VectorQuery(asked, limit, filter, ef=64, exact=exact)
        hits = self.replica.view().search(query, ALL)
        scores = self.oracle.scores(asked, filter)
        best = self.oracle.best(asked, filter, limit)
        assert len(hits) == len(best)
        assert len({hit.id for hit in hits}) == len(hits)
        for hit in hits:
            known = self.oracle.documents[hit.id]
            assert (hit.version, hit.payload, hit.text) == (
                known.version, known.payload, known.text,
            )  # fmt: skip
            assert hit.score == pytest.approx(scores[hit.id], rel=1e-4, abs=1e-3)
        found = [hit.score for hit in hits]
        assert found == sorted(found, reverse=self.oracle.metric.larger_is_better)
        if exact:
            assert found == pytest.approx(best, rel=1e-4, abs=1e-3)
        elif best:
            worst, sign = best[-1], 1 if self.oracle.metric.larger_is_better else -1
            good = sum(sign * (score - worst) >= -1e-3 for score in found)
            assert good >= 0.8 * len(best), "recall"

    @invariant()
    def holds_what_it_should(self) -> None:
        view = self.replica.view()
        wanted = sorted(self.oracle.documents)
        assert view.sequence == self.sequence
        for filter in FILTERS:
            matching = self.oracle.matching(filter)
            assert view.count(filter, ALL) == len(matching)
            assert sorted(view.matching_ids(filter, ALL)) == matching
        found = view.get(["missing", *wanted], ALL, with_vector=True)
        assert [document.id for document in found] == wanted
        for document in found:
            known = self.oracle.documents[document.id]
            assert document.version == known.version
            assert (document.text, document.payload) == (known.text, known.payload)
            np.testing.assert_allclose(document.vector, known.vector, rtol=1e-6)

    def _follows(self, sequence: int) -> None:
        assert sequence == self.sequence + 1
        self.sequence = sequence


def _contents(view: View) -> Any:
    found = view.get(sorted(view.matching_ids(EVERYTHING, ALL)), ALL, with_vector=True)
    documents = [(d.id, d.version, d.text, d.payload, d.vector.tobytes()) for d in found]
    query = VectorQuery(_vectors(1, 5)[0], limit=10, exact=True)
    hits = [(hit.id, hit.version, hit.score) for hit in view.search(query, ALL)]
    return documents, hits, [view.count(filter, ALL) for filter in FILTERS], view.sequence


def test_shard_agrees_with_the_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    # Graphs answer although comparing would be cheaper in segments as small as these.
    monkeypatch.setattr("akidb_ray.segment.search._GRAPH_US_PER_CANDIDATE", 0.0)
    run_state_machine_as_test(
        ShardMachine,
        settings=settings(max_examples=40, stateful_step_count=35, deadline=None, print_blob=True),
    )
