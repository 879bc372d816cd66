"""Manifests: the atomic list of a replica's live files.

`CURRENT` names the live manifest together with the checksum of that file, and is replaced
atomically; so no damage to it can name another manifest. A manifest is one JSON object behind a
line with its format and checksum. What no manifest names is rubbish of an interrupted change, and
is removed.
"""

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import orjson

from akidb_ray.domain.errors import Corrupt, InvalidState, NotFound, StorageFull
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem

CURRENT = PurePosixPath("CURRENT")
_HERE = PurePosixPath()
_FORMAT = 1
_NAME = re.compile(r"manifest-([0-9]{6,})")
_CURRENT = re.compile(rb"(manifest-[0-9]{6,}) ([0-9a-f]{8})\n")
_HEAD = re.compile(rb"akidb-manifest ([0-9]+) ([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One sealed segment. Checksums are CRC-32C of its `segment.json`, of the `index.json` in the
    graph's folder, and of the tombstone file.

    A segment that was attached has the sequence of that in `attached_at`, which is the version of
    all its rows.
    """

    segment: str
    rows: int
    checksum: int
    graph: str | None = None
    graph_checksum: int = 0
    tombstones: str | None = None
    tombstones_checksum: int = 0
    attached_at: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """`checkpoint` is the sequence up to which the segments hold every write.

    `collection` describes the collection (names, ids, settings), so that a lost catalog can be
    rebuilt from the shards. `wal_end` is the log's last sequence at a clean close, else None.
    `keys` is the file in `keys/` with the idempotency keys, if there are any, and `keys_checksum`
    its CRC-32C.
    """

    generation: int
    epoch: int
    collection: dict[str, Any]
    checkpoint: int = 0
    segments: tuple[SegmentEntry, ...] = field(default=())
    wal_end: int | None = None
    keys: str | None = None
    keys_checksum: int = 0

    def next(self, **changes: Any) -> "Manifest":
        return replace(self, generation=self.generation + 1, **changes)


def write_manifest(fs: FileSystem, manifest: Manifest) -> None:
    """Make `manifest` the live one, durably, and remove its predecessors."""
    path = _new_path(fs, manifest.generation)
    body = orjson.dumps(asdict(manifest))
    raw = b"akidb-manifest %d %08x\n" % (_FORMAT, crc32c(body)) + body
    fs.write(path, [raw])
    fs.sync_directory(_HERE)
    try:
        fs.replace(CURRENT, b"%s %08x\n" % (path.name.encode(), crc32c(raw)))
    except StorageFull:
        # CURRENT is as it was, so nothing names the new file.
        fs.remove(path)
        raise
    for name in fs.list(_HERE):
        if name.startswith("manifest-") and name != path.name:
            fs.remove(PurePosixPath(name))


def read_manifest(fs: FileSystem) -> Manifest:
    """The live manifest. Raises NotFound when there is none, Corrupt, and InvalidState for one
    that a later version wrote.
    """
    if not fs.exists(CURRENT):
        raise NotFound("replica", "CURRENT")
    current = _CURRENT.fullmatch(fs.read(CURRENT))
    if current is None:
        raise Corrupt(str(CURRENT), "names no manifest")
    name = current[1].decode()
    if not fs.exists(PurePosixPath(name)):
        raise Corrupt(str(CURRENT), f"names {name!r}, which is missing")
    raw = fs.read(PurePosixPath(name))
    head, _, body = raw.partition(b"\n")
    if b"%08x" % crc32c(raw) != current[2]:
        if head == b"akidb-manifest %d %08x" % (_FORMAT, crc32c(body)):
            raise Corrupt(str(CURRENT), f"has not the checksum of {name!r}")
        raise Corrupt(name, "its checksum does not fit")
    return _decode(name, head, body)


def _decode(name: str, head: bytes, body: bytes) -> Manifest:
    """A manifest that is as it was written."""
    known = _HEAD.fullmatch(head)
    if known is not None and int(known[1]) > _FORMAT:
        raise InvalidState(
            "manifest",
            f"of format {int(known[1])}",
            f"reading it with this version, which knows format {_FORMAT}",
        )
    if head != b"akidb-manifest %d %08x" % (_FORMAT, crc32c(body)):
        raise Corrupt(name, "its first line is no manifest's")
    try:
        fields = orjson.loads(body)
        segments = tuple(SegmentEntry(**entry) for entry in fields.pop("segments"))
        return Manifest(**fields, segments=segments)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(name, f"its fields are not a manifest's: {error}") from None


def _new_path(fs: FileSystem, generation: int) -> PurePosixPath:
    """A name that no file has. After a swap that failed nobody knows whether CURRENT on disk names
    the new manifest, so that file must not be written over.
    """
    taken = [int(found[1]) for found in map(_NAME.fullmatch, fs.list(_HERE)) if found]
    return PurePosixPath(f"manifest-{max([generation - 1, *taken]) + 1:06d}")
