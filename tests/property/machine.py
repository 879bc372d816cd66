"""The shard under test beside its oracle: what all rules of the state machine share."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from akidb_ray.domain.collection import CollectionSpec, HnswEngine, Metric
from akidb_ray.domain.errors import InvalidArgument, PreconditionFailed
from akidb_ray.domain.filter import EVERYTHING, RowFilter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import ABSENT, Durability, ShardWrite, WriteOptions, WriteOutcome
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.shard.view import View
from tests.crash.faulty_filesystem import FaultyFileSystem
from tests.property.choices import DIMENSION, FILTERS, Interruption, Terms, vectors_of
from tests.property.meaning import change_of
from tests.property.oracle import Change, Oracle
from tests.unit.shard.shards import NAMES, Clock

ALL = RowFilter()
# Far behind the times of the files, so that the age of the log is decided by its retention alone.
START_S = 4e9
FOREVER_S = 10**10
POLICY = ShardPolicy(
    seal_rows=12,
    seal_idle_s=30.0,
    index_min_rows=8,
    max_segment_rows=100,
    checkpoint_wal_files=3,
    disk_reserve_bytes=0,
    lock_wait_s=0.0,
)


class Shard(RuleBasedStateMachine):
    """`sequence` is the last position that the shard told anybody. `sent` are writes with keys."""

    @initialize(
        metric=st.sampled_from(list(Metric)),
        engine=st.sampled_from(list(HnswEngine)),
        retention_s=st.sampled_from([0, FOREVER_S]),
        merge_factor=st.sampled_from([2, 3]),
    )
    def make(self, metric: Metric, engine: HnswEngine, retention_s: int, merge_factor: int) -> None:
        self.spec = CollectionSpec(
            DIMENSION,
            metric,
            hnsw_m=8,
            hnsw_ef_construction=60,
            hnsw_engine=engine,
            wal_retention_seconds=retention_s,
        )
        self.policy = replace(POLICY, merge_factor=merge_factor)
        self.clock = Clock()
        self.clock.now = START_S
        self.oracle = Oracle(metric)
        self.sequence = 0
        self.held: list[tuple[View, Any]] = []
        self.sent: list[ShardWrite] = []
        self.fs = FaultyFileSystem()
        create_replica(self.fs, self.spec, NAMES)
        self.open()
        self.fill()

    def fill(self) -> None:
        """Write something to overwrite, delete and find from the start."""
        raise NotImplementedError

    def open(self) -> None:
        """Open the shard. What it tells from then on is beyond all that it told before."""
        around = Surroundings(clock=self.clock)
        self.replica: Replica = open_replica(self.fs, self.policy, around)
        position = self.replica.view().sequence
        assert position >= self.sequence
        self.sequence = position

    def options(self, terms: Terms, ids: list[str]) -> WriteOptions:
        """The terms, with the versions that the first of these ids have, or others."""
        versions = {}
        alive = self.oracle.alive(self.clock.now)
        if terms.versions != "any":
            versions = {id: alive[id].version if id in alive else ABSENT for id in ids[:3]}
        if terms.versions == "wrong":
            versions = {**versions, **{id: versions[id] + 1 for id in ids[:1]}}
        return WriteOptions(terms.durability, terms.key, versions, terms.only_if)

    def write(self, write: ShardWrite) -> None:
        """Write, and compare what is answered with what should be."""
        now = self.clock.now
        if write.options.idempotency_key is not None:
            self.sent = [*self.sent[-7:], write]
        try:
            former = self.oracle.first_answer(write, now)
            change = former or change_of(write, self.oracle.alive(now))
        except (InvalidArgument, PreconditionFailed) as refusal:
            self._is_refused(write, type(refusal))
            return
        outcome = self.replica.write(write)
        if isinstance(change, WriteOutcome):
            assert outcome == change
        else:
            assert (outcome.affected, outcome.skipped) == (change.affected, change.skipped)
            self.follows(change, outcome)
            self.oracle.carry_out(change, outcome, now, write)
        if write.options.durability is Durability.FSYNC:
            self.oracle.synced()

    def _is_refused(self, write: ShardWrite, error: type[Exception]) -> None:
        try:
            self.replica.write(write)
        except error:
            return
        raise AssertionError(f"{error.__name__} was to be raised")

    def follows(self, change: Change, outcome: WriteOutcome) -> None:
        if change.put or change.removed:
            assert outcome.sequence > self.sequence
        assert outcome.sequence >= self.sequence
        self.sequence = outcome.sequence

    @contextlib.contextmanager
    def interrupted(self, interruption: Interruption | None) -> Iterator[None]:
        """Do something in the middle, at a step outside of the commit lock."""
        machine, steps = self.fs.machine, [0]

        def before_step(step: str) -> None:
            # Replaced files are removed under the lock.
            operation, _, path = step.partition(" ")
            if path.startswith(("segments/", "indexes/")) and not operation.startswith("r"):
                steps[0] += 1
                if interruption is not None and steps[0] == interruption.after:
                    machine.before_step = lambda _: None
                    self.interrupt(interruption)

        machine.before_step = before_step
        try:
            yield
        finally:
            machine.before_step = lambda _: None

    def interrupt(self, interruption: Interruption) -> None:
        raise NotImplementedError

    def hold(self, view: View) -> None:
        self.held = [*self.held[-2:], (view, contents_of(view))]


def contents_of(view: View) -> Any:
    """All that a view can be asked."""
    found = view.get(sorted(view.matching_ids(EVERYTHING, ALL)), ALL, with_vector=True)
    documents = [
        (d.id, d.version, d.text, d.payload, d.expires_at, d.vector.tobytes()) for d in found
    ]
    query = VectorQuery(vectors_of(1, 5)[0], limit=10, exact=True)
    hits = [(hit.id, hit.version, hit.score) for hit in view.search(query, ALL)]
    return documents, hits, [view.count(filter, ALL) for filter in FILTERS], view.sequence
