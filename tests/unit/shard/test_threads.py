"""Writers, readers and maintenance at once."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import orjson
import pytest

from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.query import ShardGet, ShardSearch, VectorQuery
from akidb_ray.domain.write import ShardDelete, ShardUpsert
from akidb_ray.shard.replicas import Replicas
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.shard.shards import INDEXED, NAMES, SHARD, SPEC, batch, vectors_for

ALL = RowFilter()
WRITERS, ROUNDS, BATCH = 4, 20, 10


def _ids(writer: int) -> list[str]:
    return [f"{writer}-{number}" for number in range(BATCH)]


def _write(replicas: Replicas, writer: int) -> None:
    for round_ in range(ROUNDS):
        documents = batch(_ids(writer), payload={"round": round_}, seed=round_)
        replicas.write(ShardUpsert(SHARD, documents, ALL))
        if round_ % 5 == 3:
            replicas.write(ShardDelete(SHARD, ALL, ids=_ids(writer)))


def _read(replicas: Replicas, writer: int, seen: list[int]) -> None:
    """A batch is there whole, of one round, never older than what was seen before."""
    found = replicas.get(ShardGet(SHARD, _ids(writer), ALL, with_vector=True))
    assert len(found) in (0, BATCH)
    assert len({document.version for document in found}) <= 1
    if found:
        round_ = orjson.loads(found[0].payload or b"")["round"]
        assert round_ >= seen[0]
        seen[0] = round_
        vectors = np.array([document.vector for document in found])
        np.testing.assert_array_equal(vectors, vectors_for(_ids(writer), round_))
    query = VectorQuery(vectors_for(["q"])[0], limit=100)
    hits = replicas.search(ShardSearch(SHARD, query, ALL))
    assert len({hit.id for hit in hits}) == len(hits)
    assert len(hits) % BATCH == 0


class _Threads:
    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.errors.append(error)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("seal_rows", [15, 100])
def test_batches_are_seen_whole_while_segments_are_sealed(
    tmp_path_factory: pytest.TempPathFactory, seal_rows: int
) -> None:
    fs = OsFileSystem(tmp_path_factory.mktemp("store"))
    replicas = Replicas(fs, replace(INDEXED, seal_rows=seal_rows))
    replicas.create(SHARD, SPEC, NAMES)
    writing, reading, done = _Threads(), _Threads(), threading.Event()

    def read(writer: int) -> None:
        seen = [0]
        while not done.is_set():
            _read(replicas, writer, seen)

    for writer in range(WRITERS):
        writing.start(lambda writer=writer: _write(replicas, writer))
        reading.start(lambda writer=writer: read(writer))
    writing.join()
    done.set()
    reading.join()
    replicas.close()
    assert not writing.errors + reading.errors
    again = Replicas(fs, INDEXED)
    for writer in range(WRITERS):
        _read(again, writer, [ROUNDS - 1])
    assert again.status(SHARD).documents == WRITERS * BATCH
    again.close()
