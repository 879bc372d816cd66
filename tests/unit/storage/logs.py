"""Logs to look at and to damage."""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from akidb_ray.storage.filesystem import Bytes, FileSystem
from akidb_ray.storage.wal import Wal
from akidb_ray.storage.wal_format import RecordKind, file_name
from akidb_ray.storage.wal_reader import LoggedGroup, WalReader, wal_files

WRITTEN_AT = 1_700_000_000.25
FIRST = file_name(1)
# Sequence of a group, and its bodies.
Found = list[tuple[int, tuple[bytes, ...]]]


def append(wal: Wal, *bodies: Bytes, kind: RecordKind = RecordKind.UPSERT) -> int:
    """One group with these bodies."""
    return wal.append(kind, [[body] for body in bodies], WRITTEN_AT)


def new_log(fs: FileSystem, *groups: Bytes | Sequence[Bytes], sync: bool = True) -> Wal:
    """A log with these groups, each synced by itself. Bytes are a group of one record."""
    wal = Wal(fs, 0, epoch=3)
    for group in groups:
        append(wal, *([group] if isinstance(group, bytes) else group))
        if sync:
            wal.sync()
    return wal


def closed_log(fs: FileSystem) -> int:
    """A small log of three files, with groups of one and of several records; its last sequence.

    Records 1 to 3 and 4 to 5 are in files of one opening, then comes a leap, then two records.
    """
    wal = new_log(fs, b"one", [b"two", b"three"])
    wal.rotate()
    append(wal, b"four", kind=RecordKind.DELETE)
    append(wal, b"")
    wal.sync()
    wal.close()
    wal = Wal(fs, 5, epoch=4, known_end=5)
    append(wal, b"first half", b"second half")
    wal.sync()
    wal.close()
    return wal.last_sequence


def groups(fs: FileSystem, after: int = 0, known_end: int = 0) -> list[LoggedGroup]:
    return list(WalReader(fs, after, known_end).groups())


def read(fs: FileSystem, after: int = 0, known_end: int = 0) -> Found:
    return [
        (group.sequence, tuple(bytes(body) for body in group.bodies))
        for group in groups(fs, after, known_end)
    ]


def bodies(fs: FileSystem, after: int = 0, known_end: int = 0) -> list[bytes]:
    return [body for _, group in read(fs, after, known_end) for body in group]


def last_sequence(fs: FileSystem, after: int = 0, known_end: int = 0) -> int:
    reader = WalReader(fs, after, known_end)
    for _ in reader.groups():
        pass
    return reader.last_sequence


def reopened(fs: FileSystem, after: int = 0, known_end: int = 0, epoch: int = 3) -> Wal:
    return Wal(fs, last_sequence(fs, after, known_end), epoch, max(after, known_end))


def paths(fs: FileSystem) -> list[PurePosixPath]:
    return [path for _, path in wal_files(fs)]


def damage(fs: FileSystem, path: PurePosixPath, change: Callable[[bytearray], None]) -> None:
    content = bytearray(fs.read(path))
    change(content)
    fs.write(path, [content])


def flip(fs: FileSystem, path: PurePosixPath, offset: int, bit: int = 0x40) -> None:
    def change(content: bytearray) -> None:
        content[offset] ^= bit

    damage(fs, path, change)
