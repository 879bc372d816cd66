"""Manifests: the atomic list of a replica's live files.

`CURRENT` names the live manifest and is replaced atomically. A manifest is one JSON object behind a
line with its checksum. What no manifest names is rubbish of an interrupted change, and is removed.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import orjson

from akidb_ray.domain.errors import Corrupt, NotFound
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem

CURRENT = PurePosixPath("CURRENT")
_MAGIC = b"akidb-manifest 1"


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One sealed segment. Checksums are CRC-32C of `segment.json`, the graph, the tombstone
    file.
    """

    segment: str
    rows: int
    checksum: int
    graph: str | None = None
    graph_checksum: int = 0
    tombstones: str | None = None
    tombstones_checksum: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """`checkpoint` is the sequence up to which the segments hold every write.

    `collection` describes the collection (names, ids, settings), so that a lost catalog can be
    rebuilt from the shards. `wal_end` is the log's last sequence at a clean close, else None.
    """

    generation: int
    epoch: int
    collection: dict[str, Any]
    checkpoint: int = 0
    segments: tuple[SegmentEntry, ...] = field(default=())
    wal_end: int | None = None

    def next(self, **changes: Any) -> "Manifest":
        return replace(self, generation=self.generation + 1, **changes)


def write_manifest(fs: FileSystem, manifest: Manifest) -> None:
    """Make `manifest` the live one, durably, and remove its predecessors."""
    path = _path(manifest.generation)
    body = orjson.dumps(asdict(manifest))
    fs.write(path, [b"%s %08x\n" % (_MAGIC, crc32c(body)), body])
    fs.sync_directory(PurePosixPath())
    fs.replace(CURRENT, path.name.encode())
    for name in fs.list(PurePosixPath()):
        if name.startswith("manifest-") and name != path.name:
            fs.remove(PurePosixPath(name))


def read_manifest(fs: FileSystem) -> Manifest:
    """The live manifest. Raises NotFound when there is none, Corrupt."""
    if not fs.exists(CURRENT):
        raise NotFound("replica", "CURRENT")
    name = fs.read(CURRENT).decode(errors="replace")
    if not name.startswith("manifest-") or "/" in name:
        raise Corrupt(str(CURRENT), f"names {name!r}, which is no manifest")
    if not fs.exists(PurePosixPath(name)):
        raise Corrupt(str(CURRENT), f"names {name!r}, which is missing")
    return _decode(name, fs.read(PurePosixPath(name)))


def _decode(name: str, raw: bytes) -> Manifest:
    head, _, body = raw.partition(b"\n")
    if head != b"%s %08x" % (_MAGIC, crc32c(body)):
        raise Corrupt(name, "its checksum does not fit")
    fields = orjson.loads(body)
    segments = tuple(SegmentEntry(**entry) for entry in fields.pop("segments"))
    return Manifest(**fields, segments=segments)


def _path(generation: int) -> PurePosixPath:
    return PurePosixPath(f"manifest-{generation:06d}")
