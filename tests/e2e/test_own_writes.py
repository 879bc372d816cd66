"""Clients that write and read at the same time each see what they wrote, at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import akidb
import numpy as np
import pytest

from tests.serving import ROOT_KEY, ServerProcess

DIMENSION = 16
WRITERS = 6
ROUNDS = 15


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[akidb.Client]:
    with akidb.Client(server.url, api_key=ROOT_KEY) as client:
        yield client


@pytest.fixture
def shared(client: akidb.Client) -> Iterator[akidb.Collection]:
    yield client.create_collection("shared", dimension=DIMENSION, shard_count=3)
    client.delete_collection("shared")


def write_and_read(shared: akidb.Collection, writer: int) -> int:
    """What one client does; returns how often it looked."""
    rng = np.random.default_rng(writer)
    mine = {"writer": writer}
    for number in range(ROUNDS):
        document_id, vector = f"{writer}-{number}", rng.standard_normal(DIMENSION, dtype=np.float32)
        written = shared.upsert(
            ids=[document_id], vectors=[vector], payloads=[{**mine, "state": "new"}]
        )
        (nearest,) = shared.search(vector=vector, limit=1, min_version=written.version)
        assert nearest.id == document_id
        assert shared.count(mine, min_version=written.version) == number + 1

        patched = shared.patch({"set": {"state": "patched"}}, ids=[document_id])
        seen = shared.get(document_id, min_version=patched.version)
        assert seen.payload == {**mine, "state": "patched"}

        # What others do meanwhile makes none of it invisible.
        found = shared.search(vector=vector, limit=1, filter={**mine, "state": "patched"})
        assert [hit.id for hit in found] == [document_id]
    return ROUNDS


def test_each_of_many_clients_sees_its_own_writes(shared: akidb.Collection) -> None:
    done = Event()

    def read() -> int:
        looked = 0
        while not done.is_set():
            hits = shared.search(vector=np.ones(DIMENSION, np.float32), limit=1_000)
            assert len({hit.id for hit in hits}) == len(hits)
            looked += 1
        return looked

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reading = pool.submit(read)
        try:
            rounds = list(pool.map(lambda writer: write_and_read(shared, writer), range(WRITERS)))
        finally:
            done.set()
        assert reading.result() > 0
    assert rounds == [ROUNDS] * WRITERS
    assert shared.count() == WRITERS * ROUNDS
