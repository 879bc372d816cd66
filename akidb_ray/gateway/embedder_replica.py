"""One Serve replica of an embedding model.

Batches form by arrival: while one is embedded, requests queue up, and the next batch takes them
all. An idle replica never waits for company. The model runs in a thread of its own, so the replica
keeps answering health checks.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ray import serve

from akidb_ray.domain.errors import AkiDBError
from akidb_ray.embedding.embedder import Embedded, TextKind
from akidb_ray.embedding.models import load_embedder

Request = tuple[Sequence[str], TextKind]
_MAX_REQUESTS_PER_BATCH = 16


class EmbedderReplica:
    """`embed` answers one request with an Embedded, or raises InvalidArgument."""

    def __init__(self, model: str) -> None:
        self._embedder = load_embedder(model)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        # The first texts pay for compiling the kernels; nobody should wait for that.
        self._embedder.embed(["warm up"], "document")

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Embedded:
        answer = await self._batch((texts, kind))
        if isinstance(answer, AkiDBError):
            raise answer
        return answer

    @serve.batch(max_batch_size=_MAX_REQUESTS_PER_BATCH, batch_wait_timeout_s=0.0)
    async def _batch(self, requests: list[Request]) -> list[Embedded | AkiDBError]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._embed_all, requests)

    def _embed_all(self, requests: list[Request]) -> list[Embedded | AkiDBError]:
        """Embed all texts of the same kind together, then give each request its own."""
        answers: list[Embedded | AkiDBError | None] = [None] * len(requests)
        for kind in {kind for _, kind in requests}:
            members = [i for i, request in enumerate(requests) if request[1] == kind]
            texts = [text for i in members for text in requests[i][0]]
            try:
                embedded = self._embedder.embed(texts, kind)
            except AkiDBError:
                # One bad text must not harm the others: let each request fail or succeed alone.
                for i in members:
                    answers[i] = self._embed_alone(requests[i])
                continue
            cuts = np.cumsum([len(requests[i][0]) for i in members])[:-1]
            vectors = np.split(embedded.vectors, cuts)
            truncated = np.split(embedded.truncated, cuts)
            for i, rows, cut in zip(members, vectors, truncated, strict=True):
                answers[i] = Embedded(rows, cut)
        return [answer for answer in answers if answer is not None]

    def _embed_alone(self, request: Request) -> Embedded | AkiDBError:
        try:
            return self._embedder.embed(*request)
        except AkiDBError as error:
            return error
