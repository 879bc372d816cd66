"""Looking at a replica's folder without changing it, and mending what can be made again.

Vectors, documents, tombstones, keys and the log are what was written: damage there is reported, and
nothing here pretends to know better. Graphs, columns and the index of ids follow from vectors, ids
and payload, and are made again by `repair`.
"""

import itertools
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from akidb_ray.domain.collection import Language
from akidb_ray.domain.errors import AkiDBError, Corrupt, NotFound
from akidb_ray.index.graph_files import check_graph
from akidb_ray.segment.checking import check_segment, rebuild_derived
from akidb_ray.shard.checkpoint import INDEXES, KEYS, SEGMENTS, TOMBSTONES, entry_of
from akidb_ray.shard.merging import build_graph
from akidb_ray.shard.operations import AttachSegments, decode_group
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import LOCK, open_replica, read_checked, spec_of
from akidb_ray.shard.sealing import whole_or_removed
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import (
    CURRENT,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from akidb_ray.storage.wal_format import DIRECTORY as WAL
from akidb_ray.storage.wal_reader import FileScan, WalReader, scan_file, wal_files


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that was looked at. One that is not `ok` may be `repairable` from others.

    A log that a crash left with a torn end is `ok`, and `reason` says where: no write that was
    acknowledged as durable is in what the next opening cuts off.
    """

    file: str
    size_bytes: int
    ok: bool
    reason: str = ""
    repairable: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All that a replica's folder holds. `manifest` is None when it cannot be read."""

    manifest: Manifest | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)


def inspect_replica(fs: FileSystem) -> Report:
    """Verify every checksum of a replica.

    It may be open, but what changes meanwhile may look damaged.
    """
    try:
        manifest = read_manifest(fs)
    except AkiDBError as error:
        file = str(error.fields.get("file", CURRENT))
        return Report(None, (Finding(file, 0, False, _reason(error)), *inspect_log(fs)))
    log = _read_log(fs, manifest)
    live = Finding(str(CURRENT), fs.size_bytes(CURRENT), True)
    files = _findings(_check_entries(fs, manifest, log.attached))
    return Report(
        manifest, (live, *files, *_keys_findings(fs, manifest), *_log_findings(fs, log.refusal))
    )


def inspect_log(fs: FileSystem) -> list[Finding]:
    """Verify every record of the log, those included that a checkpoint made unnecessary."""
    try:
        manifest = read_manifest(fs)
    except AkiDBError:
        manifest = None
    return _log_findings(fs, _read_log(fs, manifest).refusal)


@dataclass(frozen=True, slots=True)
class _Log:
    """What an opening would make of the log: segments that it takes in, or why it would stop."""

    attached: tuple[SegmentEntry, ...]
    refusal: AkiDBError | None


def _read_log(fs: FileSystem, manifest: Manifest | None) -> _Log:
    attached: list[SegmentEntry] = []
    try:
        if manifest is None:
            # Nobody knows the checkpoint: take all that is there.
            after = min((scan_file(fs, path).previous for _, path in wal_files(fs)), default=0)
            reader = WalReader(fs, after, cut=False)
        else:
            reader = WalReader(fs, manifest.checkpoint, manifest.wal_end or 0, cut=False)
        for group in reader.groups():
            for operation in decode_group(group)[0]:
                if isinstance(operation, AttachSegments):
                    attached += [replace(e, attached_at=group.sequence) for e in operation.entries]
    except AkiDBError as error:
        return _Log(tuple(attached), error)
    return _Log(tuple(attached), None)


def _log_findings(fs: FileSystem, refusal: AkiDBError | None) -> list[Finding]:
    """One finding for each file. Whether a bad end is torn is decided as an opening does."""
    try:
        scans = [scan_file(fs, path) for _, path in wal_files(fs)]
    except AkiDBError as error:
        return [Finding(str(error.fields.get("file", WAL)), 0, False, _reason(error))]
    found: dict[str, Finding] = {}
    for before, scan in itertools.pairwise([None, *scans]):
        assert scan is not None
        torn = scan is scans[-1] and refusal is None and scan.problem is not None
        reason = _problem_of(scan, before)
        if torn:
            reason = f"torn {reason}; the next opening cuts that off"
        found[str(scan.path)] = Finding(str(scan.path), scan.size_bytes, torn or not reason, reason)
    if refusal is not None:
        file = str(refusal.fields.get("file", WAL))
        known = found.get(file, Finding(file, 0, True))
        if known.ok:
            found[file] = replace(known, ok=False, reason=_reason(refusal))
    return list(found.values())


def _problem_of(scan: FileScan, before: FileScan | None) -> str:
    """What is wrong with a file of the log, "" for nothing."""
    if scan.problem is not None:
        return f"at byte {scan.problem_offset}: {scan.problem}"
    if before is not None and before.problem is None and scan.previous != _end(before):
        return f"follows record {scan.previous}, the file before it ends with {_end(before)}"
    return ""


def _end(scan: FileScan) -> int:
    """Where the next file goes on; a power loss may have left this one without a record."""
    return scan.records[-1].sequence if scan.records else scan.first - 1


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found of a segment, of its tombstones, and of its graph."""

    entry: SegmentEntry
    files: tuple[Finding, ...]
    graph: tuple[Finding, ...]


def _check_entries(
    fs: FileSystem, manifest: Manifest, attached: Sequence[SegmentEntry]
) -> list[_Checked]:
    """All segments that an opening would meet, those included that only the log names yet."""
    entries = {entry.segment: entry for entry in (*attached, *manifest.segments)}
    return [_check_entry(fs, entry, manifest.checkpoint) for entry in entries.values()]


def _check_entry(fs: FileSystem, entry: SegmentEntry, checkpoint: int) -> _Checked:
    # Made again it gets another name, and the log would still name this one.
    renamable = entry.attached_at <= checkpoint
    folder = SEGMENTS / entry.segment
    files = []
    for c in check_segment(fs, folder, entry.checksum):
        repairable = c.derived and not c.ok and renamable
        files.append(Finding(str(folder / c.name), c.size_bytes, c.ok, c.reason, repairable))
    if entry.tombstones is not None:
        path = TOMBSTONES / entry.tombstones
        files.append(_check_file(fs, path, entry.tombstones_checksum))
    graph = []
    if entry.graph is not None:
        folder = INDEXES / entry.graph
        graph = [
            Finding(str(folder / c.name), c.size_bytes, c.ok, c.reason, not c.ok)
            for c in check_graph(fs, folder, entry.graph_checksum)
        ]
    return _Checked(entry, tuple(files), tuple(graph))


def _keys_findings(fs: FileSystem, manifest: Manifest) -> list[Finding]:
    if manifest.keys is None:
        return []
    return [_check_file(fs, KEYS / manifest.keys, manifest.keys_checksum)]


def _check_file(fs: FileSystem, path: PurePosixPath, checksum: int) -> Finding:
    size_bytes = fs.size_bytes(path) if fs.exists(path) else 0
    try:
        read_checked(fs, path, checksum)
    except AkiDBError as error:
        return Finding(str(path), size_bytes, False, _reason(error))
    return Finding(str(path), size_bytes, True)


def _findings(checked: Iterable[_Checked]) -> list[Finding]:
    return [finding for one in checked for finding in (*one.files, *one.graph)]


def _reason(error: AkiDBError) -> str:
    if isinstance(error, NotFound):
        return "is missing"
    offset = error.fields.get("offset")
    at = "" if offset is None else f"at byte {offset}: "
    return at + str(error.fields.get("reason", error.detail))


def repair(fs: FileSystem, policy: ShardPolicy) -> list[str]:
    """Make damaged derived files again; return the files that were.

    The replica must not be open. Raises Unavailable when it is, and Corrupt for what no other file
    knows: then nothing was changed. Stopped in the middle it may be run again.
    """
    lock = fs.lock(LOCK, policy.lock_wait_s)
    try:
        manifest = read_manifest(fs)
        log = _read_log(fs, manifest)
        if log.refusal is not None:
            raise log.refusal
        checked = _check_entries(fs, manifest, log.attached)
        damaged = [
            finding
            for finding in (*_findings(checked), *_keys_findings(fs, manifest))
            if not finding.ok
        ]
        for finding in damaged:
            if not finding.repairable:
                raise Corrupt(finding.file, finding.reason)
        without_graph = _repair_files(fs, manifest, checked) if damaged else set()
    finally:
        lock.release()
    if without_graph:
        _build_graphs(fs, policy, without_graph)
    return [finding.file for finding in damaged]


def _repair_files(fs: FileSystem, manifest: Manifest, checked: Sequence[_Checked]) -> set[str]:
    """Write damaged segments anew, and forget damaged graphs; return the segments of these."""
    entries: dict[str, SegmentEntry] = {}
    without_graph = set()
    for one in checked:
        entry = one.entry
        if not all(finding.ok for finding in one.files):
            entry = _rebuilt(fs, entry, spec_of(manifest).language)
        if not all(finding.ok for finding in one.graph):
            entry = replace(entry, graph=None, graph_checksum=0)
            without_graph.add(entry.segment)
        entries[one.entry.segment] = entry
    # Those that only the log names stay where they are: an opening takes them in, without a graph.
    named = tuple(entries[entry.segment] for entry in manifest.segments)
    if named != manifest.segments:
        write_manifest(fs, manifest.next(segments=named))
    return without_graph


def _rebuilt(fs: FileSystem, entry: SegmentEntry, language: Language) -> SegmentEntry:
    name = str(uuid.uuid4())
    with whole_or_removed(fs, SEGMENTS / name):
        checksum = rebuild_derived(
            fs, SEGMENTS / entry.segment, SEGMENTS / name, entry.checksum, language
        )
    return replace(entry, segment=name, checksum=checksum)


def _build_graphs(fs: FileSystem, policy: ShardPolicy, segments: set[str]) -> None:
    replica = open_replica(fs, policy)
    try:
        for live in list(replica.live.sealed):
            if live.graph is None and entry_of(live).segment in segments:
                build_graph(replica, live)
    finally:
        replica.close()
