"""Looking at a replica's folder without changing it, and mending what can be made again.

Vectors, documents, tombstones, keys and the log are what was written: damage there is reported, and
nothing here pretends to know better. Graphs, columns and the index of ids follow from vectors, ids
and payload, and are made again by `repair`.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from akidb_ray.domain.errors import AkiDBError, InvalidState
from akidb_ray.index.graph_files import check_graph
from akidb_ray.segment.checking import check_segment, rebuild_derived
from akidb_ray.shard.checkpoint import INDEXES, KEYS, SEGMENTS, TOMBSTONES
from akidb_ray.shard.merging import build_graph
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import LOCK, open_replica, read_checked
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import (
    CURRENT,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from akidb_ray.storage.wal_reader import FileScan, scan_file, wal_files


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that was looked at. One that is not `ok` may be `repairable` from others."""

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
        return Report(None, (Finding(file, 0, False, error.detail), *inspect_log(fs)))
    findings = [Finding(str(CURRENT), fs.size_bytes(CURRENT), True)]
    for entry in manifest.segments:
        findings += _segment_findings(fs, entry)
        findings += _graph_findings(fs, entry)
        if entry.tombstones:
            path = TOMBSTONES / entry.tombstones
            findings.append(_checked(fs, path, entry.tombstones_checksum))
    if manifest.keys:
        findings.append(_checked(fs, KEYS / manifest.keys, manifest.keys_checksum))
    return Report(manifest, (*findings, *inspect_log(fs, manifest.wal_end or manifest.checkpoint)))


def inspect_log(fs: FileSystem, known_end: int = 0) -> list[Finding]:
    """Verify every record of the log, those included that a checkpoint made unnecessary."""
    try:
        scans = [scan_file(fs, path) for _, path in wal_files(fs)]
    except AkiDBError as error:
        return [Finding(str(error.fields.get("file", "wal")), 0, False, error.detail)]
    return [
        Finding(str(scan.path), scan.size_bytes, reason == "", reason)
        for scan, reason in zip(scans, _log_problems(scans, known_end), strict=True)
    ]


def _log_problems(scans: list[FileScan], known_end: int) -> Iterator[str]:
    """What is wrong with each file of the log, "" for nothing."""
    end: int | None = None
    for number, scan in enumerate(scans):
        last = number + 1 == len(scans)
        if scan.problem is not None:
            torn = " (the next opening may find it torn, and cut it)" if last else ""
            yield f"at byte {scan.problem_offset}: {scan.problem}{torn}"
        elif end is not None and scan.previous != end:
            yield f"follows record {scan.previous}, the file before it ends with {end}"
        elif last and _end(scan) < known_end:
            yield f"ends with record {_end(scan)}, and {known_end} had been written"
        else:
            yield ""
        end = None if scan.problem else _end(scan)


def _end(scan: FileScan) -> int:
    """Where the next file goes on; a power loss may have left this one without a record."""
    return scan.records[-1].sequence if scan.records else scan.first - 1


def _segment_findings(fs: FileSystem, entry: SegmentEntry) -> list[Finding]:
    folder = SEGMENTS / entry.segment
    return [
        Finding(str(folder / c.name), c.size_bytes, c.ok, c.reason or "", c.derived and not c.ok)
        for c in check_segment(fs, folder, entry.checksum)
    ]


def _graph_findings(fs: FileSystem, entry: SegmentEntry) -> list[Finding]:
    if entry.graph is None:
        return []
    folder = INDEXES / entry.graph
    return [
        Finding(str(folder / check.name), check.size_bytes, check.ok, check.reason, not check.ok)
        for check in check_graph(fs, folder, entry.graph_checksum)
    ]


def _checked(fs: FileSystem, path: PurePosixPath, checksum: int) -> Finding:
    size_bytes = fs.size_bytes(path) if fs.exists(path) else 0
    try:
        read_checked(fs, path, checksum)
    except AkiDBError as error:
        return Finding(str(path), size_bytes, False, error.fields.get("reason", error.detail))
    return Finding(str(path), size_bytes, True)


def repair(fs: FileSystem, policy: ShardPolicy) -> list[str]:
    """Make damaged derived files again; return the files that were.

    The replica must not be open. Raises Unavailable when it is, Corrupt for what no other file
    knows, and then nothing was changed.
    """
    lock = fs.lock(LOCK, policy.lock_wait_s)
    try:
        repaired = _repair_files(fs)
    finally:
        lock.release()
    replica = open_replica(fs, policy)
    try:
        for live in list(replica.live.sealed):
            enough = live.view().live_count >= policy.index_min_rows
            if replica.has_graphs and live.graph is None and enough:
                build_graph(replica, live)
    finally:
        replica.close()
    return repaired


def _repair_files(fs: FileSystem) -> list[str]:
    manifest = read_manifest(fs)
    repaired: list[str] = []
    entries = []
    for entry in manifest.segments:
        damaged = [finding for finding in _segment_findings(fs, entry) if finding.repairable]
        if damaged:
            entry = _rebuilt(fs, entry, manifest.checkpoint)
        graphs = [finding for finding in _graph_findings(fs, entry) if not finding.ok]
        if graphs:
            entry = replace(entry, graph=None, graph_checksum=0)
        repaired += [finding.file for finding in (*damaged, *graphs)]
        entries.append(entry)
    if repaired:
        write_manifest(fs, manifest.next(segments=tuple(entries)))
    return repaired


def _rebuilt(fs: FileSystem, entry: SegmentEntry, checkpoint: int) -> SegmentEntry:
    if entry.attached_at > checkpoint:
        raise InvalidState(
            f"segment {entry.segment}",
            "just attached, and named by the log",
            "repair; attach it again from its source",
        )
    name = str(uuid.uuid4())
    checksum = rebuild_derived(fs, SEGMENTS / entry.segment, SEGMENTS / name, entry.checksum)
    return replace(entry, segment=name, checksum=checksum)
