"""The catalog's store that forgets everything at the end of its process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from akidb_ray.catalog.memory.repositories import repositories_of
from akidb_ray.catalog.memory.state import State
from akidb_ray.catalog.memory.transaction import Transaction
from akidb_ray.catalog.repositories import Repositories
from akidb_ray.domain.directory import CatalogUpdate
from akidb_ray.domain.errors import InvalidState, Unavailable
from akidb_ray.domain.ids import ClusterId


@dataclass(slots=True)
class _Kept:
    """What all openings of one catalog share; `turn` is that of its writers."""

    cluster_id: ClusterId
    state: State = field(default_factory=State)
    epoch: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryStore:
    """Carries out `catalog.repositories.CatalogStore`."""

    def __init__(self, clock: Callable[[], datetime], former: "MemoryStore | None" = None) -> None:
        """An empty catalog of a new cluster, or a later opening of that of `former`, which can't
        write any more. `clock` gives aware datetimes.
        """
        self._kept: _Kept = _Kept(ClusterId.new()) if former is None else former._kept
        self._kept.epoch += 1
        self._clock = clock
        self._closed = False
        self.cluster_id = self._kept.cluster_id
        self.epoch = self._kept.epoch

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Repositories]:
        yield repositories_of(Transaction(self._state(), self._clock(), writing=False))

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Repositories]:
        async with self._changing() as state:
            yield repositories_of(Transaction(state, self._clock(), writing=True))

    async def version(self) -> int:
        return self._state().version

    async def update_since(self, since: int) -> CatalogUpdate:
        return self._state().update_since(since, self.cluster_id, self.epoch)

    async def forget_changes(self, keep: int) -> None:
        async with self._changing() as state:
            state.forget_changes(keep)

    async def root_key_hash(self) -> bytes | None:
        return self._state().root_key_hash

    async def set_root_key_hash(self, root_key_hash: bytes) -> None:
        async with self._changing() as state:
            state.root_key_hash = root_key_hash
            state.changes.append(self.cluster_id)

    async def close(self) -> None:
        self._closed = True

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[State]:
        """A copy of the state, which takes its place when the context ends without an error."""
        async with self._kept.turn:
            state = self._state().copy()
            self._check_newest()
            yield state
            self._check_newest()
            self._kept.state = state

    def _state(self) -> State:
        if self._closed:
            raise Unavailable("the catalog is closed")
        return self._kept.state

    def _check_newest(self) -> None:
        if self._kept.epoch != self.epoch:
            raise InvalidState("the catalog", "taken over by a later opening", "writing")
