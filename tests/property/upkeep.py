"""Rules of what happens behind the writes: seals, merges, graphs, ends and openings."""

import contextlib
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from akidb_ray.shard.checkpoint import INDEXES, SEGMENTS, TOMBSTONES
from akidb_ray.shard.inspection import inspect_replica
from akidb_ray.shard.live import LiveSegment
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.merging import build_graph, improve, merge
from akidb_ray.shard.recovery import open_replica
from akidb_ray.shard.sealing import flush
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, Stopped, run_until
from tests.property.choices import (
    BUFFERED,
    Draft,
    Interruption,
    PatchDraft,
    drafts,
    interruptions,
    seeds,
)
from tests.property.writing import Writing

keeps = st.sampled_from(list(Keep))
# Far more than any history needs: maintenance comes to an end.
MAX_TASKS = 100


class Upkeep(Writing):
    @rule()
    def freeze(self) -> None:
        self.replica.freeze()
        self.oracle.synced()

    @rule()
    def sync(self) -> None:
        self.replica.sync()
        self.oracle.synced()

    @rule(by=interruptions)
    def seal(self, by: Interruption | None) -> None:
        self.freeze()
        self.maintain(by)

    @rule(by=interruptions)
    def maintain(self, by: Interruption | None) -> None:
        self._syncs_when_it_is_time()
        with self.interrupted(by):
            self._work()

    @rule(by=interruptions)
    def flush(self, by: Interruption | None) -> None:
        self._syncs_when_it_is_time()
        with self.interrupted(by):
            flush(self.replica)

    @rule(by=interruptions)
    def improve(self, by: Interruption | None) -> None:
        with self.interrupted(by):
            improve(self.replica)

    def _work(self) -> None:
        for _ in range(MAX_TASKS):
            if not maintain(self.replica):
                return
        raise AssertionError("maintenance finds no end")

    def _syncs_when_it_is_time(self) -> None:
        """A flush begins by syncing buffered writes that are older than a second."""
        since = self.oracle.unsynced_since
        if since is not None and self.clock.now - since >= self.policy.buffered_sync_s:
            self.oracle.synced()

    @property
    def settled(self) -> list[LiveSegment]:
        """Segments that may be merged."""
        checkpoint = self.replica.manifest.checkpoint
        return [live for live in self.replica.live.sealed if live.attached_at <= checkpoint]

    @precondition(lambda self: self.settled)
    @rule(chosen=st.integers(1, 2**8 - 1), base=st.integers(0, 3), by=interruptions)
    def merge(self, chosen: int, base: int, by: Interruption | None) -> None:
        """Any of the segments, in any order that a merge may have, from any graph or none."""
        bits = [place for place in range(8) if chosen >> place & 1]
        inputs = list({id(s): s for s in map(self._settled_at, bits)}.values())
        indexed = [live for live in inputs if live.graph is not None]
        start = indexed[base % len(indexed)] if base and indexed else None
        with self.interrupted(by), self.replica.merge_lock:
            merge(self.replica, inputs, start)

    def _settled_at(self, place: int) -> LiveSegment:
        return self.settled[place % len(self.settled)]

    @property
    def buildable(self) -> list[LiveSegment]:
        """Segments that may get a graph, or another one in its place."""
        missing = [live for live in self.replica.live.sealed if live.graph is None]
        indexed = [live for live in self.settled if live.graph is not None]
        return [live for live in (*missing, *indexed) if len(live.live)]

    @precondition(lambda self: self.buildable)
    @rule(place=st.integers(0, 7), by=interruptions)
    def build_graph(self, place: int, by: Interruption | None) -> None:
        chosen = self.buildable[place % len(self.buildable)]
        with self.interrupted(by), self.replica.merge_lock:
            build_graph(self.replica, chosen)

    def interrupt(self, interruption: Interruption) -> None:
        draft = interruption.draft
        replica, ids = self.replica, list(draft.ids)
        match interruption.deed:
            case "write":
                self.delete(ids[::2])
                self.upsert(draft)
            case "buffer":
                self.delete(ids[::2], BUFFERED)
                self.upsert(replace(draft, ids=ids[1:]), BUFFERED)
            case "patch":
                self.patch(ids, PatchDraft({"n": 3}, ("tags",), lifetime_s=1.0))
            case "attach":
                self.attach([draft, replace(draft, ids=ids[:4], seed=draft.seed + 1)])
            case "tick":
                self.tick(1.0)
            case "flush":
                if not replica.flush_lock.locked():
                    flush(replica)
            case "improve":
                if not replica.merge_lock.locked():
                    improve(replica)
            case "hold":
                self.hold(replica.view())

    @rule(keep=keeps, seed=seeds, ends=st.lists(st.integers(0, 40), max_size=2))
    def crash(self, keep: Keep, seed: int, ends: list[int]) -> None:
        """The end, and openings that come to an end at these steps as well."""
        self.fs = self.fs.machine.after_end(keep, seed)
        for step in ends:
            fs = self.fs
            run_until(fs.machine, step, lambda fs=fs: self._open_apart(fs))
            self.fs = fs.machine.after_end(keep, seed)
        if keep is Keep.EVERYTHING:
            self.oracle.synced()
        self.open()
        self.oracle.power_was_lost(self.replica.live.applied_to)

    def _open_apart(self, fs: FaultyFileSystem) -> None:
        open_replica(fs, self.policy, self.replica.around)

    @rule(after=st.integers(0, 80), keep=keeps, seed=seeds)
    def crash_during_maintenance(self, after: int, keep: Keep, seed: int) -> None:
        machine = self.fs.machine
        machine.stop_at = len(machine.steps) + after
        with contextlib.suppress(Stopped):
            self._work()
        self.crash(keep, seed, [])

    @rule(
        parts=st.lists(drafts, min_size=1, max_size=4),
        then=st.sampled_from(["crash", "crash", "flush", "freeze", "sync", "reopen"]),
        keep=keeps,
        seed=seeds,
    )
    def crash_after_buffered_writes(
        self, parts: list[Draft], then: str, keep: Keep, seed: int
    ) -> None:
        """They may be lost from some point on, unless something synced them before."""
        for number, draft in enumerate(parts):
            key = f"lost {self.sequence} {number}"
            self.upsert(draft, replace(BUFFERED, key=key))
            self.delete(list(draft.ids[::3]), BUFFERED)
        match then:
            case "flush":
                self.tick(self.policy.buffered_sync_s)
                self.flush(None)
            case "freeze":
                self.freeze()
            case "sync":
                self.sync()
            case "reopen":
                self.reopen()
        self.crash(keep, seed, [])

    @rule()
    def reopen(self) -> None:
        self.replica.close()
        self.oracle.synced()
        self.open()

    @rule()
    def has_sound_files_and_no_others(self) -> None:
        report = inspect_replica(self.fs)
        assert report.ok, report
        entries = [live.entry for live in self.replica.live.sealed if live.entry is not None]
        assert self.fs.list(SEGMENTS) == sorted(entry.segment for entry in entries)
        assert self.fs.list(INDEXES) == sorted(entry.graph for entry in entries if entry.graph)
        named = {entry.tombstones for entry in report.manifest.segments} if report.manifest else {}
        assert set(self.fs.list(TOMBSTONES)) == set(named) - {None}
