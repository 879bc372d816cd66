"""Names of our actors, and calls to them that wait for a restart within a deadline."""

import asyncio
import time
from typing import Any

import ray
from ray.actor import ActorHandle

from akidb_ray.cluster.ray_errors import RETRYABLE, translate
from akidb_ray.domain.errors import Unavailable

NAMESPACE = "akidb"
CATALOG_ACTOR = "catalog"
_RETRY_S = 0.2


class NamedActor:
    """An actor found by its name. Handles are kept: an old one stays good after a restart."""

    def __init__(self, name: str, what: str, timeout_s: float) -> None:
        self._name = name
        self._what = what
        self._timeout_s = timeout_s
        self._handle: ActorHandle[Any] | None = None

    async def call(
        self, method: str, *arguments: Any, again: bool = False, extra_s: float = 0.0
    ) -> Any:
        """Await one method. Raises our errors only.

        `again` says that the call may be carried out twice: it is then repeated while the actor
        restarts, until the deadline. `extra_s` extends it for calls that wait by themselves.
        """
        give_up_at = time.monotonic() + self._timeout_s + extra_s
        while True:
            left_s = give_up_at - time.monotonic()
            try:
                handle = await self._find(left_s)
                # `asyncio.wait_for` may lose a cancellation that comes with the answer.
                async with asyncio.timeout(left_s):
                    return await getattr(handle, method).remote(*arguments)
            except RETRYABLE as error:
                self._handle = None
                if not again or left_s <= _RETRY_S:
                    raise translate(error, self._what) from error
            except Exception as error:
                ours = translate(error, self._what)
                raise ours from (None if ours is error else error)
            await asyncio.sleep(_RETRY_S)

    async def _find(self, left_s: float) -> "ActorHandle[Any]":
        if self._handle is None:
            find = asyncio.to_thread(ray.get_actor, self._name, namespace=NAMESPACE)
            try:
                async with asyncio.timeout(left_s):
                    self._handle = await find
            except ValueError:
                raise Unavailable(f"{self._what} is not running") from None
        return self._handle
