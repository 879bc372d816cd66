"""Long lists of texts are spread over the replicas of a model, and nobody waits without end."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.errors import DeadlineExceeded, Exhausted
from akidb_ray.embedding.embedder import Embedded
from akidb_ray.gateway.embedders import ServeEmbedders
from tests.unit.gateway.waiting import until

MODEL = "hashing-64"
PATIENCE_S = 20


class Replicas:
    """In the place of Serve's handle: the call of the text "bad" fails, those of "slow" hang."""

    def __init__(self) -> None:
        self.embed = self
        self.calls = self.given_up = 0

    async def are_busy(self) -> bool:
        return self.calls > 0

    async def remote(self, texts: Sequence[str], kind: str) -> Embedded:
        self.calls += 1
        if "bad" in texts:
            raise TimeoutError
        if "slow" in texts:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1
        return Embedded(np.full((len(texts), 2), 1.0, np.float32), np.zeros(len(texts), np.bool_))


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


@pytest.fixture
def embedders(replicas: Replicas) -> ServeEmbedders:
    return over(replicas)


def over(
    replicas: Replicas, timeout_s: float = 600, max_queued_requests: int = 4
) -> ServeEmbedders:
    made = ServeEmbedders([MODEL], 1, timeout_s, max_queued_requests)
    handles: dict[str, Any] = made._handles
    handles[MODEL] = replicas
    return made


async def test_a_list_is_put_together_from_its_parts(
    embedders: ServeEmbedders, replicas: Replicas
) -> None:
    embedded = await embedders.embed(MODEL, ["text"] * 100, "document")
    assert embedded.vectors.shape == (100, 2)
    assert len(embedded.truncated) == replicas.calls == 100


async def test_when_one_part_fails_the_others_make_room_for_other_callers(
    embedders: ServeEmbedders, replicas: Replicas
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(DeadlineExceeded):
            await embedders.embed(MODEL, ["slow"] * 10 + ["bad"] + ["slow"] * 1000, "document")
        await embedders.embed(MODEL, ["text"] * 100, "query")
    assert replicas.calls < 200
    assert replicas.given_up == replicas.calls - 101


async def test_a_search_finds_a_place_beside_a_long_list(
    embedders: ServeEmbedders, replicas: Replicas
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        long = asyncio.create_task(embedders.embed(MODEL, ["slow"] * 1000, "document"))
        await until(replicas.are_busy)
        await embedders.embed(MODEL, ["text"], "query")
        await given_up(long)
    assert replicas.calls == 16 + 1


async def test_when_too_many_wait_the_next_one_is_refused_at_once(
    embedders: ServeEmbedders, replicas: Replicas
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        waiting = [
            asyncio.create_task(embedders.embed(MODEL, ["slow"], "query")) for _ in range(32 + 4)
        ]
        await until(replicas.are_busy)
        with pytest.raises(Exhausted, match=MODEL):
            await embedders.embed(MODEL, ["text"], "query")
        assert replicas.calls == 32
        for each in waiting:
            await given_up(each)
        await embedders.embed(MODEL, ["text"], "query")


async def test_who_finds_no_place_in_time_is_told_so(replicas: Replicas) -> None:
    embedders = over(replicas, timeout_s=0.05)
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(
            *(embedders.embed(MODEL, ["slow"], "query") for _ in range(32 + 4)),
            return_exceptions=True,
        )
        assert {type(answer) for answer in answers} == {DeadlineExceeded}
        assert replicas.given_up == replicas.calls >= 32
        await embedders.embed(MODEL, ["text"], "query")


async def given_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
