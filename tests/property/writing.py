"""Rules that write."""

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from akidb_ray.domain.filter import Filter
from akidb_ray.domain.write import Durability, ShardDelete, ShardPatch, ShardUpsert, UpsertMode
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import write_graph
from akidb_ray.segment.sealed import VECTORS
from akidb_ray.shard.attaching import SegmentFiles, attach, build_segment
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.property.choices import (
    FILTERS,
    PLAIN,
    SPANS_S,
    Draft,
    Interruption,
    PatchDraft,
    Terms,
    drafts,
    filters,
    id_lists,
    interruptions,
    patches,
    terms,
)
from tests.property.machine import ALL, Shard
from tests.property.oracle import KEY_LIFETIME_S, Change, documents_of
from tests.unit.shard.shards import SHARD


class Writing(Shard):
    def fill(self) -> None:
        ids = [str(number) for number in range(40)]
        contents: list[dict[str, Any] | None] = [
            {"n": 1, "tags": ["x"]},
            None,
            {"n": 2.5, "tags": ["y", "x"]},
            {"n": 1.0, "deep": {"x": "ü"}},
            {"n": 3, "tags": ["z", "x"], "deep": {"x": True}},
        ]
        self.upsert(Draft(ids, contents, seed=1))

    @rule(draft=drafts, terms=terms)
    def upsert(
        self, draft: Draft, terms: Terms = PLAIN, mode: UpsertMode = UpsertMode.UPSERT
    ) -> None:
        options = self.options(terms, list(draft.ids))
        self.write(ShardUpsert(SHARD, draft.batch(self.clock.now), ALL, mode, options))

    @rule(draft=drafts, terms=terms, mode=st.sampled_from([UpsertMode.INSERT, UpsertMode.UPDATE]))
    def upsert_some(self, draft: Draft, terms: Terms, mode: UpsertMode) -> None:
        self.upsert(draft, terms, mode)

    @rule(ids=id_lists, terms=terms)
    def delete(self, ids: list[str], terms: Terms = PLAIN) -> None:
        self.write(ShardDelete(SHARD, ALL, ids=ids, options=self.options(terms, ids)))

    @rule(filter=st.sampled_from(FILTERS[1:]), ids=id_lists, terms=terms)
    def delete_where(self, filter: Filter, ids: list[str], terms: Terms) -> None:
        options = self.options(terms, ids)
        self.write(ShardDelete(SHARD, ALL, filter=filter, options=options))

    @rule(ids=id_lists, patch=patches, terms=terms)
    def patch(self, ids: list[str], patch: PatchDraft, terms: Terms = PLAIN) -> None:
        change, options = patch.patch(self.clock.now), self.options(terms, ids)
        self.write(ShardPatch(SHARD, ALL, change, ids=ids, options=options))

    @rule(filter=filters, ids=id_lists, patch=patches, terms=terms)
    def patch_where(self, filter: Filter, ids: list[str], patch: PatchDraft, terms: Terms) -> None:
        change, options = patch.patch(self.clock.now), self.options(terms, ids)
        self.write(ShardPatch(SHARD, ALL, change, filter=filter, options=options))

    @precondition(lambda self: self.sent)
    @rule(
        place=st.integers(0, 7),
        durability=st.sampled_from(Durability),
        age_s=st.sampled_from([0.0, 0.0, KEY_LIFETIME_S - 0.5, KEY_LIFETIME_S]),
    )
    def send_again(self, place: int, durability: Durability, age_s: float) -> None:
        """At once, or when the first answer is as old as that."""
        write = self.sent[place % len(self.sent)]
        first = self.oracle.states[-1].answers.get(write.options.idempotency_key or "")
        if first is not None:
            self.clock.now = max(self.clock.now, first.given_at + age_s)
        self.write(replace(write, options=replace(write.options, durability=durability)))

    @rule(parts=st.lists(drafts, min_size=1, max_size=2), graph=st.booleans(), by=interruptions)
    def attach(
        self, parts: list[Draft], graph: bool = False, by: Interruption | None = None
    ) -> None:
        source, files = MemoryFileSystem(), []
        batches = [part.batch(self.clock.now) for part in parts]
        for number, batch in enumerate(batches):
            built = build_segment(source, PurePosixPath(f"{number}"), batch, self.spec)
            rows = len(set(batch.ids))
            files.append(self._with_graph(source, built, rows) if graph and rows else built)
        with self.interrupted(by):
            outcome = attach(self.replica, source, files)
        documents = [documents_of(batch) for batch in batches]
        put = {id: document for part in documents for id, document in part.items()}
        change = Change(put, frozenset(), affected=len(put))
        assert (outcome.affected, outcome.skipped) == (change.affected, 0)
        self.follows(change, outcome)
        self.oracle.carry_out(change, outcome, self.clock.now)
        self.oracle.synced()

    def _with_graph(self, source: MemoryFileSystem, files: SegmentFiles, rows: int) -> SegmentFiles:
        folder = files.segment / "graph"
        job = GraphJob(
            self.spec.metric,
            self.spec.dimension,
            rows,
            source.library_path(files.segment / VECTORS),
            self.spec.hnsw_m,
            self.spec.hnsw_ef_construction,
            threads=1,
            engine=self.spec.hnsw_engine,
        )
        write_graph(source, folder, job, ThreadGraphBuilder(), stopped=lambda: False)
        return replace(files, graph=folder)

    @rule(span_s=st.sampled_from(SPANS_S))
    def tick(self, span_s: float) -> None:
        self.clock.now += span_s
