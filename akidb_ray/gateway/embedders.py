"""The embedders' port, carried out by Serve deployments, one per model."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import ray.exceptions
from ray import serve
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from akidb_ray.domain.errors import (
    AkiDBError,
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    Unavailable,
)
from akidb_ray.embedding.embedder import Embedded, TextKind
from akidb_ray.embedding.models import model_dimension

APPLICATION = "akidb"
_CALLS_AT_ONCE = 32
# Others, such as searches, find a place beside a long list.
_CALLS_OF_ONE_LIST = _CALLS_AT_ONCE // 2


def deployment_name(model: str) -> str:
    return "embedder-" + re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-").lower()


class ServeEmbedders:
    """Knows the models that were deployed. Long lists of texts are spread over the replicas.

    A gateway makes so many calls at once to a model; others wait here for a place, in the order in
    which they came, where Serve's own queue would not tell lists from searches. Of requests only so
    many may wait, `max_queued_requests`, and none waits for longer than `timeout_s` without a text
    of it being embedded.
    """

    def __init__(
        self,
        models: Sequence[str],
        texts_per_call: int,
        timeout_s: float,
        max_queued_requests: int,
    ) -> None:
        self._models = tuple(models)
        self._texts_per_call = texts_per_call
        self._timeout_s = timeout_s
        self._max_requests = _CALLS_AT_ONCE + max_queued_requests
        self._requests = Counter[str]()
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._places = {model: asyncio.Semaphore(_CALLS_AT_ONCE) for model in models}

    def dimension(self, model: str) -> int:
        self._check(model)
        return model_dimension(model)

    async def embed(self, model: str, texts: Sequence[str], kind: TextKind) -> Embedded:
        """Raises also Exhausted when too many wait already, DeadlineExceeded."""
        self._check(model)
        if self._requests[model] >= self._max_requests:
            raise Exhausted(f"too many requests wait for the embedding model {model}")
        self._requests[model] += 1
        try:
            return await self._embed_parts(model, texts, kind)
        finally:
            self._requests[model] -= 1

    async def _embed_parts(self, model: str, texts: Sequence[str], kind: TextKind) -> Embedded:
        step = self._texts_per_call
        turns = asyncio.Semaphore(_CALLS_OF_ONE_LIST)

        async def embed_part(part: Sequence[str]) -> Embedded:
            # The time of a part begins when it is its turn: a list may be as long as it likes.
            async with turns:
                return await self._embed_part(model, part, kind)

        parts = [texts[start : start + step] for start in range(0, len(texts), step)]
        tasks = [asyncio.create_task(embed_part(part)) for part in parts]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            # When one has failed, nobody waits for the others: they must not hold up other callers.
            for task in tasks:
                task.cancel()
        return Embedded(
            np.concatenate([answer.vectors for answer in answers]),
            np.concatenate([answer.truncated for answer in answers]),
        )

    def _check(self, model: str) -> None:
        if model not in self._models:
            served = ", ".join(self._models) or "none"
            raise InvalidArgument(
                "embedding_model",
                f"{model!r} is not served here; served: {served}. To add a model, name it in "
                "`models` of [embedding] and start again",
            )

    async def _embed_part(self, model: str, texts: Sequence[str], kind: TextKind) -> Embedded:
        if model not in self._handles:
            self._handles[model] = serve.get_deployment_handle(deployment_name(model), APPLICATION)
        try:
            async with asyncio.timeout(self._timeout_s), self._places[model]:
                answer: Embedded = await self._handles[model].embed.remote(list(texts), kind)
        except BackPressureError:
            raise Exhausted(f"the queue of the embedding model {model} is full") from None
        except TimeoutError:
            raise DeadlineExceeded(f"the embedding model {model} did not answer in time") from None
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AkiDBError):
                raise error.cause from None
            raise Unavailable(f"the embedding model {model} failed") from error
        except (ray.exceptions.RayError, RayServeException, grpc.RpcError) as error:
            raise Unavailable(f"the embedding model {model} can't be reached now") from error
        return answer
