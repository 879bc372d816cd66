"""`akidb inspect`: what a shard's files hold, read from disk and verified, with no server."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from akidb_ray.cli.misuse import Misuse
from akidb_ray.cli.output import print_fields, print_json, print_line, print_table

if TYPE_CHECKING:
    from akidb_ray.shard.inspection import Finding
    from akidb_ray.storage.os_filesystem import OsFileSystem
    from akidb_ray.storage.wal_reader import FileScan, RecordInfo

app = typer.Typer(
    help="Read a shard's files on disk and verify them. The exit code is 1 when one is damaged.",
    no_args_is_help=True,
)

ShardFolder = Annotated[
    Path, typer.Argument(help="Folder of a shard: <data>/stores/<n>/tenants/<id>/<id>/<n>.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def manifest(folder: ShardFolder, as_json: Json = False) -> None:
    """Print the live manifest: the collection, its segments, and where the log goes on."""
    from akidb_ray.storage.manifest import read_manifest

    live = read_manifest(_shard(folder))
    if as_json:
        print_json(asdict(live))
        return
    spec = live.collection.get("spec", {})
    names = {name: value for name, value in live.collection.items() if name != "spec"}
    position = {
        "generation": live.generation,
        "epoch": live.epoch,
        "checkpoint": live.checkpoint,
        "clean end of log": live.wal_end,
        "keys": live.keys,
    }
    print_fields({**names, **spec, **position})
    print_line("")
    columns = ("segment", "rows", "graph", "tombstones", "attached_at")
    print_table(columns, [[getattr(entry, name) for name in columns] for entry in live.segments])


@app.command()
def wal(
    path: Annotated[Path, typer.Argument(help="Folder of a shard, or one file of its log.")],
    as_json: Json = False,
) -> None:
    """Print every record of the log, and verify header and body of each.

    Whether a bad end is torn or damaged only the shard knows: of one file alone it is damage.
    """
    from akidb_ray.shard.inspection import inspect_log
    from akidb_ray.storage.os_filesystem import OsFileSystem
    from akidb_ray.storage.wal_reader import scan_file, wal_files

    if path.is_file():
        scans = [scan_file(OsFileSystem(path.parent), PurePosixPath(path.name))]
        findings = [_finding_of(scan) for scan in scans]
    else:
        fs = _shard(path)
        scans = [scan_file(fs, file) for _, file in wal_files(fs)]
        findings = inspect_log(fs)
    by_file = {str(scan.path): scan for scan in scans}
    if as_json:
        print_json([_log_json(finding, by_file.get(finding.file)) for finding in findings])
    else:
        for finding in findings:
            _print_log(finding, by_file.get(finding.file))
    _end(findings)


@app.command()
def segment(
    folder: Annotated[Path, typer.Argument(help="Folder of one segment: <shard>/segments/<id>.")],
    as_json: Json = False,
) -> None:
    """Print the files of a sealed segment, and verify their checksums.

    Whether `segment.json` is the one that was written only the manifest knows: inspect the shard.
    """
    from akidb_ray.segment.checking import check_segment
    from akidb_ray.shard.inspection import Finding
    from akidb_ray.storage.checksum import crc32c
    from akidb_ray.storage.os_filesystem import OsFileSystem

    _check_folder(folder, "segment.json")
    fs = OsFileSystem(folder)
    here = PurePosixPath()
    checks = check_segment(fs, here, crc32c(fs.read(here / "segment.json")))
    findings = [
        Finding(c.name, c.size_bytes, c.ok, c.reason, c.derived and not c.ok) for c in checks
    ]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print_findings(findings)
    _end(findings)


@app.command()
def shard(
    folder: ShardFolder,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Make damaged graphs, columns and id indexes again from vectors and documents.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Verify every file of a shard. Stop the server before you repair."""
    from akidb_ray.shard.inspection import inspect_replica
    from akidb_ray.shard.inspection import repair as repair_replica
    from akidb_ray.shard.policy import ShardPolicy

    fs = _shard(folder)
    made_again: list[str] = []
    if repair:
        policy = ShardPolicy(lock_wait_s=1.0, build_threads=os.cpu_count() or 1)
        made_again = repair_replica(fs, policy)
    report = inspect_replica(fs)
    if as_json:
        files = [asdict(finding) for finding in report.findings]
        print_json({"ok": report.ok, "made_again": made_again, "files": files})
    else:
        for file in made_again:
            print_line(f"made again: {file}")
        _print_findings(report.findings)
    _end(report.findings)


def _shard(folder: Path) -> "OsFileSystem":
    from akidb_ray.storage.os_filesystem import OsFileSystem

    # Without CURRENT it is a damaged shard, and not a wrong path.
    if not any((folder / name).is_dir() for name in ("wal", "segments")):
        _check_folder(folder, "CURRENT")
    return OsFileSystem(folder)


def _check_folder(folder: Path, file: str) -> None:
    if not (folder / file).is_file():
        raise Misuse("PATH", f"{folder} holds no {file}; `find DATA -name {file}` lists those")


def _end(findings: "Iterable[Finding]") -> None:
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _print_findings(findings: "Sequence[Finding]") -> None:
    """A table, and below it what is wrong, in lines that no terminal cuts."""
    print_table(("bytes", "state", "file"), [[f.size_bytes, _state(f), f.file] for f in findings])
    for finding in findings:
        if finding.reason:
            print_line(f"{finding.file}: {finding.reason}")


def _state(finding: "Finding") -> str:
    if finding.ok:
        return "torn" if finding.reason else "ok"
    return "repairable" if finding.repairable else "DAMAGED"


def _finding_of(scan: "FileScan") -> "Finding":
    from akidb_ray.shard.inspection import Finding

    reason = "" if scan.problem is None else f"at byte {scan.problem_offset}: {scan.problem}"
    return Finding(str(scan.path), scan.size_bytes, not reason, reason)


def _log_json(finding: "Finding", scan: "FileScan | None") -> dict[str, Any]:
    state = {"file": finding.file, "ok": finding.ok, "reason": finding.reason}
    if scan is None:
        return {**state, "records": []}
    records = [{**asdict(record), "kind": record.kind.name.lower()} for record in scan.records]
    return {**state, "size_bytes": scan.size_bytes, "previous": scan.previous, "records": records}


def _print_log(finding: "Finding", scan: "FileScan | None") -> None:
    if scan is not None:
        print_line(f"{scan.path}  {scan.size_bytes} bytes, after record {scan.previous}")
        columns = ("offset", "sequence", "kind", "epoch", "bytes", "synced to", "written at")
        print_table(columns, [_record_row(record) for record in scan.records])
    if finding.reason:
        state = "" if finding.ok else "DAMAGED "
        print_line(f"{state}{finding.reason}" if scan else f"{finding.file}: {finding.reason}")
    print_line("")


def _record_row(record: "RecordInfo") -> list[Any]:
    written_at = datetime.fromtimestamp(record.written_at, UTC)
    return [
        record.offset,
        record.sequence,
        record.kind.name.lower() + (" ..." if record.continues else ""),
        record.epoch,
        record.body_bytes,
        record.synced_to,
        written_at.isoformat(timespec="milliseconds"),
    ]
