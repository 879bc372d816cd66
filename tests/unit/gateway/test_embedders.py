"""Long lists of texts are spread over the replicas of a model."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.errors import DeadlineExceeded
from akidb_ray.embedding.embedder import Embedded
from akidb_ray.gateway.embedders import ServeEmbedders

MODEL = "hashing-64"
PATIENCE_S = 20


class Replicas:
    """In the place of Serve's handle: the call of the text "bad" fails, those of "slow" hang."""

    def __init__(self) -> None:
        self.embed = self
        self.calls = self.given_up = 0

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
    made = ServeEmbedders([MODEL], texts_per_call=1, timeout_s=600)
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
            await embedders.embed(MODEL, ["slow"] * 20 + ["bad"] + ["slow"] * 1000, "document")
        await embedders.embed(MODEL, ["text"] * 100, "query")
    assert replicas.calls < 200
    assert replicas.given_up == replicas.calls - 101
