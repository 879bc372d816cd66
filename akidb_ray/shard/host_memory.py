"""The memory of one host, shared by its replicas: counted, budgeted, refused before it runs out.

Three marks: above TIGHT_SHARE of the budget the host makes room; writes and builds stop at
GROWTH_SHARE; what lies above is for opening replicas that are only read, or freed by deletes.
"""

import contextlib
import ctypes
import threading
from collections.abc import Callable, Hashable, Iterator

from akidb_ray.domain.errors import Exhausted

TIGHT_SHARE = 0.85
GROWTH_SHARE = 0.95


class HostMemory:
    """A ledger of bytes by owner. All methods may be called from any thread."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._by_owner: dict[Hashable, int] = {}
        self._total = 0
        self._reserved = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        return self._total + self._reserved

    @property
    def tight(self) -> bool:
        return self.used_bytes > TIGHT_SHARE * self.budget_bytes

    def set(self, owner: Hashable, size_bytes: int) -> None:
        """Note how much an owner holds now; 0 forgets it."""
        with self._lock:
            self._total += size_bytes - self._by_owner.pop(owner, 0)
            if size_bytes:
                self._by_owner[owner] = size_bytes

    def admit(self, size_bytes: int) -> None:
        """Raise Exhausted when a write of so many bytes would take too much."""
        self._check(size_bytes, GROWTH_SHARE)

    @contextlib.contextmanager
    def reserved(self, size_bytes: int) -> Iterator[None]:
        """Hold room for a piece of work. Raises Exhausted when it does not fit."""
        self._take(size_bytes, GROWTH_SHARE)
        try:
            yield
        finally:
            self._give_back(size_bytes)

    @contextlib.contextmanager
    def opening(self, size_bytes: int, make_room: Callable[[], bool]) -> Iterator[None]:
        """Hold room for a replica that is being opened.

        While it does not fit, `make_room` is asked to free some; when that returns False, Exhausted
        is raised. One that is larger than the budget may be opened when nothing else is held:
        otherwise nobody could ever read it, or delete from it.
        """
        size_bytes = min(size_bytes, self.budget_bytes)
        while True:
            try:
                self._take(size_bytes, 1.0)
                break
            except Exhausted:
                if not make_room():
                    raise
        try:
            yield
        finally:
            self._give_back(size_bytes)

    def _take(self, size_bytes: int, share: float) -> None:
        with self._lock:
            self._check(size_bytes, share)
            self._reserved += size_bytes

    def _give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._reserved -= size_bytes

    def _check(self, size_bytes: int, share: float) -> None:
        if self.used_bytes + size_bytes > share * self.budget_bytes:
            raise Exhausted(
                f"this host uses {self.used_bytes} bytes of memory of {self.budget_bytes}, and "
                f"{size_bytes} more do not fit; try again later, or raise memory_budget_bytes"
            )


def return_freed_memory() -> None:
    """Give the system back what was freed. glibc keeps it, graphs of up to 32 MB too; other
    libraries have no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
