"""One writer, eight readers, and merges under way: no view is ever torn."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import EVERYTHING, Filter, Match, RowFilter
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import ShardDelete, ShardPatch, ShardUpsert
from akidb_ray.shard.merging import improve
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush
from akidb_ray.shard.view import View
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import DIMENSION, SHARD, SPEC, opened

SECONDS = 10.0
READERS, BATCHES, BATCH = 8, 6, 25
ALL = RowFilter()
# Everything that maintenance does, all the time.
POLICY = ShardPolicy(seal_rows=60, index_min_rows=40, merge_factor=2, disk_reserve_bytes=0)


def _ids(number: int) -> list[str]:
    return [f"{number}-{position}" for position in range(BATCH)]


def _only(number: int) -> Filter:
    return Filter((Match("batch", (number,)),))


def _batch(number: int, generation: int) -> DocumentBatch:
    """The generation is in the payload, and first in each vector."""
    vectors = np.random.default_rng(number).normal(size=(BATCH, DIMENSION)).astype(np.float32)
    vectors[:, 0] = generation
    payload = orjson.dumps({"batch": number, "generation": generation, "patched": 0})
    return DocumentBatch(_ids(number), vectors, [None] * BATCH, [payload] * BATCH)


def _write(replica: Replica, generation: int) -> None:
    number = generation % BATCHES
    replica.write(ShardUpsert(SHARD, _batch(number, generation), ALL))
    if generation % 5 == 0:
        patch = PayloadPatch({"patched": generation})
        replica.write(ShardPatch(SHARD, ALL, patch, filter=_only(number)))
    if generation % 7 == 0:
        replica.write(ShardDelete(SHARD, ALL, ids=_ids(number)))


def _seen(view: View, number: int) -> Any:
    """What one view says of a batch; every way to ask gives the same answer."""
    found = view.get(_ids(number), ALL, with_vector=True)
    payloads = {document.payload for document in found}
    assert len(found) in (0, BATCH)
    assert len(payloads) <= 1
    assert len({document.version for document in found}) <= 1
    assert view.count(_only(number), ALL) == len(found)
    assert view.documents % BATCH == 0
    for exact in (True, False):
        query = VectorQuery(np.ones(DIMENSION, np.float32), 2 * BATCH, _only(number), exact=exact)
        hits = view.search(query, ALL)
        assert {hit.id for hit in hits} == {document.id for document in found}
        assert {hit.payload for hit in hits} == payloads
    if not found:
        return None
    content = orjson.loads(found[0].payload or b"")
    assert {float(document.vector[0]) for document in found} == {content["generation"]}
    assert content["patched"] in (0, content["generation"])
    return content["generation"], found[0].version, content["patched"]


def _read(replica: Replica, rng: random.Random, pause: threading.Event) -> None:
    newest = [0] * BATCHES
    held = replica.view()
    before = [_seen(held, number) for number in range(BATCHES)]
    for _ in range(20):
        number = rng.randrange(BATCHES)
        seen = _seen(replica.view(), number)
        if seen is not None:
            assert seen[1] >= newest[number], "a reader went back in time"
            newest[number] = seen[1]
        # Eight readers that never rest leave the writer no time.
        pause.wait(0.004)
    assert [_seen(held, number) for number in range(BATCHES)] == before


class _Threads:
    """Repeats work in threads until it is over or one of them fails."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def repeat(self, work: Callable[[], object]) -> None:
        def run() -> None:
            try:
                while not self.over.is_set():
                    work()
            except BaseException as error:
                self.errors.append(error)
                self.over.set()

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.fixture
def many_switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Graphs answer although comparing would be cheaper in segments as small as these.
    monkeypatch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)
    former = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(former)


@pytest.mark.usefixtures("many_switches")
def test_no_view_is_torn_while_segments_are_sealed_and_merged(tmp_path: Path) -> None:
    replica = opened(OsFileSystem(tmp_path / "shard"), POLICY, SPEC)
    threads, generations, merges = _Threads(), iter(range(1, 10**9)), []
    pause = threading.Event()

    def maintain(work: Callable[[Replica], bool]) -> None:
        if work(replica):
            merges.append(work)
        else:
            pause.wait(0.002)

    threads.repeat(lambda: _write(replica, next(generations)))
    threads.repeat(lambda: maintain(flush))
    threads.repeat(lambda: maintain(improve))
    for seed in range(READERS):
        threads.repeat(lambda rng=random.Random(seed): _read(replica, rng, pause))
    threads.over.wait(SECONDS)
    threads.over.set()
    threads.join()
    assert threads.errors == []
    assert next(generations) > 20
    assert merges.count(improve) > 3
    before = [_seen(replica.view(), number) for number in range(BATCHES)]
    replica.close()
    replica = opened(OsFileSystem(tmp_path / "shard"), POLICY, SPEC)
    assert [_seen(replica.view(), number) for number in range(BATCHES)] == before
    assert replica.view().count(EVERYTHING, ALL) == sum(BATCH for seen in before if seen)
    replica.close()
