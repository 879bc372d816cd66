"""The memory of one host, shared by its replicas: counted, budgeted, refused before it runs out."""

import contextlib
import ctypes
import threading
from collections.abc import Hashable, Iterator

from akidb_ray.domain.errors import Exhausted

# Above this share of the budget the host makes room: it seals, and closes what is not in use.
TIGHT_SHARE = 0.85


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
        """Raise Exhausted when so many bytes more would not fit."""
        if self.used_bytes + size_bytes > self.budget_bytes:
            raise Exhausted(
                f"this host uses {self.used_bytes} bytes of memory of {self.budget_bytes}, and "
                f"{size_bytes} more do not fit; try again later, or raise memory_budget_bytes"
            )

    @contextlib.contextmanager
    def reserved(self, size_bytes: int) -> Iterator[None]:
        """Hold room for a piece of work. Raises Exhausted when it does not fit."""
        with self._lock:
            self.admit(size_bytes)
            self._reserved += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= size_bytes


def return_freed_memory() -> None:
    """Give the system back what was freed. glibc keeps it, graphs of up to 32 MB too; other
    libraries have no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
