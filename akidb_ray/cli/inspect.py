"""`akidb inspect`: what a shard's files hold, read from disk and verified, with no server."""

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
    from akidb_ray.storage.wal_reader import FileScan

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
    """Print every record of the log, and verify header and body of each."""
    from akidb_ray.storage.os_filesystem import OsFileSystem
    from akidb_ray.storage.wal_reader import scan_file, wal_files

    if path.is_file():
        scans = [scan_file(OsFileSystem(path.parent), PurePosixPath(path.name))]
    else:
        fs = _shard(path)
        scans = [scan_file(fs, file) for _, file in wal_files(fs)]
    if as_json:
        print_json([_scan_json(scan) for scan in scans])
    else:
        for scan in scans:
            _print_scan(scan)
    if any(scan.problem for scan in scans):
        raise typer.Exit(1)


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
    _print_findings(
        [Finding(c.name, c.size_bytes, c.ok, c.reason or "", c.derived) for c in checks], as_json
    )


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
    if repair:
        made_again = repair_replica(fs, ShardPolicy(lock_wait_s=1.0))
        for file in made_again if not as_json else []:
            print_line(f"made again: {file}")
    report = inspect_replica(fs)
    _print_findings(list(report.findings), as_json)


def _shard(folder: Path) -> "OsFileSystem":
    from akidb_ray.storage.os_filesystem import OsFileSystem

    _check_folder(folder, "CURRENT")
    return OsFileSystem(folder)


def _check_folder(folder: Path, file: str) -> None:
    if not (folder / file).is_file():
        raise Misuse("PATH", f"{folder} holds no {file}; `find DATA -name {file}` lists those")


def _print_findings(findings: "list[Finding]", as_json: bool) -> None:
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(("bytes", "state", "file"), [_finding_row(finding) for finding in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _finding_row(finding: "Finding") -> list[Any]:
    state = "ok" if finding.ok else "repairable" if finding.repairable else "DAMAGED"
    reason = f": {finding.reason}" if finding.reason else ""
    return [finding.size_bytes, state, f"{finding.file}{reason}"]


def _scan_json(scan: "FileScan") -> dict[str, Any]:
    records = [{**asdict(record), "kind": record.kind.name.lower()} for record in scan.records]
    return {**asdict(scan), "path": str(scan.path), "records": records}


def _print_scan(scan: "FileScan") -> None:
    print_line(f"{scan.path}  {scan.size_bytes} bytes, after record {scan.previous}")
    print_table(
        ("offset", "sequence", "kind", "epoch", "bytes", "synced to", "written at"),
        [
            [
                record.offset,
                record.sequence,
                record.kind.name.lower() + (" ..." if record.continues else ""),
                record.epoch,
                record.body_bytes,
                record.synced_to,
                datetime.fromtimestamp(record.written_at, UTC).isoformat(timespec="milliseconds"),
            ]
            for record in scan.records
        ],
    )
    if scan.problem is not None:
        print_line(f"DAMAGED at byte {scan.problem_offset}: {scan.problem}")
    print_line("")
