"""A file system in memory that counts its steps and stops at a chosen one.

Every operation of the port is made of steps, as on a real system (`replace` writes a scratch file,
syncs it, renames it, syncs the directory), and the power can go before any of them; a write under
way is torn. A failed sync behaves as on Linux: what was unsynced is marked as clean, is never
written, and is read back from memory as if it were there.
"""

import contextlib
import random
from collections.abc import Callable
from pathlib import PurePath, PurePosixPath
from typing import Self

from akidb_ray.domain.errors import StorageFailed
from akidb_ray.storage.memory_disk import Directory, Handle, Keep, MemoryDisk
from akidb_ray.storage.memory_filesystem import MemoryFileSystem

__all__ = ["FaultyFileSystem", "Keep", "Machine", "Stopped", "run_until"]


class Stopped(BaseException):
    """The process ends here. No handler may act on it: after it every operation raises again."""


class Machine(MemoryDisk):
    """A disk, the steps taken on it, and when it stops."""

    def __init__(self, capacity_bytes: int = 2**40, root: Directory | None = None) -> None:
        super().__init__(capacity_bytes, root)
        self.steps: list[str] = []
        self.stop_at: int | None = None
        self.before_step: Callable[[str], None] = lambda _: None
        # The path and the bytes of the write whose step this is.
        self.writing: tuple[PurePath, bytes] | None = None
        self._stopped = False

    def step(self, operation: str, path: PurePath) -> None:
        if self.stops_now:
            self._stopped = True
            raise Stopped
        name = f"{operation} {path}"
        self.before_step(name)
        self.steps.append(name)

    @property
    def stops_now(self) -> bool:
        return self._stopped or (self.stop_at is not None and len(self.steps) >= self.stop_at)

    def after_end(self, keep: Keep, seed: int = 0) -> "FaultyFileSystem":
        """Start again with what is left."""
        return FaultyFileSystem(self.after_power_loss(keep, random.Random(seed)))

    def after_power_loss(self, keep: Keep, rng: random.Random) -> Self:
        self._stopped = True
        return super().after_power_loss(keep, rng)

    def make_directory(self, path: PurePath) -> None:
        self.step("mkdir", path)
        super().make_directory(path)

    def sync_directory(self, path: PurePath) -> None:
        self.step("syncdir", path)
        super().sync_directory(path)

    def create(self, path: PurePath) -> Handle:
        self.step("create", path)
        return super().create(path)

    def write(self, handle: Handle, data: bytes) -> None:
        if self.stops_now and not self._stopped:
            handle.file.write(data[: len(data) // 2])
        self.writing = handle.path, data
        self.step("write", handle.path)
        self.writing = None
        super().write(handle, data)

    def sync(self, handle: Handle) -> None:
        try:
            self.step("sync", handle.path)
        except StorageFailed:
            handle.file.dirty = []
            raise
        super().sync(handle)

    def cut(self, handle: Handle, size_bytes: int) -> None:
        self.step("truncate", handle.path)
        super().cut(handle, size_bytes)

    def rename(self, source: PurePath, target: PurePath) -> None:
        self.step("rename", target)
        super().rename(source, target)

    def remove(self, path: PurePath) -> None:
        self.step("remove", path)
        super().remove(path)

    def remove_directory(self, path: PurePath) -> None:
        self.step("rmdir", path)
        super().remove_directory(path)


class FaultyFileSystem(MemoryFileSystem):
    def __init__(self, machine: Machine | None = None, root: PurePath = PurePosixPath()) -> None:
        super().__init__()
        self.disk = machine or Machine()
        self.root = root

    @property
    def machine(self) -> Machine:
        assert isinstance(self.disk, Machine)
        return self.disk


def run_until(machine: Machine, stop_at: int | None, work: Callable[[], None]) -> bool:
    """Whether `work` came to its end before step `stop_at`."""
    machine.stop_at = stop_at
    with contextlib.suppress(Stopped):
        work()
        return True
    return False
