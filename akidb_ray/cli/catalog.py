"""`akidb catalog`: backing up the catalog, and bringing it back, with no server asked."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from akidb_ray.cli.misuse import Misuse
from akidb_ray.cli.output import print_fields, print_json, print_line, print_table
from akidb_ray.settings import Settings, load_settings

if TYPE_CHECKING:
    from akidb_ray.catalog.backups import Backups
    from akidb_ray.catalog.recovery_plan import Recovery
    from akidb_ray.domain.found_shards import Survey
    from akidb_ray.domain.ids import ClusterId
    from akidb_ray.storage.object_store import ObjectStore

app = typer.Typer(
    help="Back up the catalog, check it, and bring it back. See docs/backup.md.",
    no_args_is_help=True,
)

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder with all data, as of `akidb serve`.")
]
Uri = Annotated[
    str | None,
    typer.Option("--uri", help="Folder or s3://bucket/prefix, instead of [catalog] backup_uri."),
]
Config = Annotated[Path | None, typer.Option(help="TOML file with settings, as of `akidb serve`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def backup(
    data_dir: DataDir = None, uri: Uri = None, config: Config = None, as_json: Json = False
) -> None:
    """Back up the catalog now. A server may run meanwhile."""
    from akidb_ray.catalog.backups import Series

    folder = _Folder(data_dir, uri, config)
    backups = folder.backups()
    kept = folder.settings.catalog.backups_kept
    taken = backups.take(folder.file, Series.MANUAL, datetime.now(UTC), kept)
    if as_json:
        print_json({"where": backups.where, "name": taken.name, "version": taken.version})
    else:
        print_fields({"where": backups.where, "backup": taken.name, "version": taken.version})


@app.command()
def backups(
    data_dir: DataDir = None, uri: Uri = None, config: Config = None, as_json: Json = False
) -> None:
    """List the backups, the newest first."""
    folder = _Folder(data_dir, uri, config)
    found = folder.backups()
    listed = found.list()
    if as_json:
        rows = [
            {"name": b.name, "version": b.version, "taken_at": b.taken_at.isoformat()}
            for b in listed
        ]
        print_json({"where": found.where, "backups": rows})
        return
    print_line(found.where)
    columns = ("version", "taken at", "backup")
    print_table(columns, [[b.version, b.taken_at.isoformat(), b.name] for b in listed])


@app.command()
def restore(
    name: Annotated[
        str | None, typer.Argument(help="A backup's name; without it, the newest good one.")
    ] = None,
    data_dir: DataDir = None,
    uri: Uri = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the catalog. Stop the server before.

    The catalog that is there is kept aside, and collections made after the backup are missing from
    the restored one: `akidb catalog recover` adds them.
    """
    from akidb_ray.catalog.restoring import restore as restore_catalog

    folder = _Folder(data_dir, uri, config)
    done = restore_catalog(folder.file, folder.backups(), name, datetime.now(UTC))
    kept = None if done.kept is None else str(done.kept)
    if as_json:
        report = {"backup": done.backup.name, "version": done.version, "kept": kept}
        print_json({**report, "skipped": list(done.skipped)})
        return
    for skipped in done.skipped:
        print_line(f"skipped {skipped}")
    print_fields({"restored": done.backup.name, "version": done.version, "kept aside": kept})


@app.command()
def check(data_dir: DataDir = None, config: Config = None, as_json: Json = False) -> None:
    """Verify the catalog, also against the stores in the folder. The exit code is 1 on findings.

    A server may run meanwhile; what it is making or deleting just then may look wrong.
    """
    from akidb_ray.catalog.checking import Finding, OnDisk, check_catalog

    folder = _Folder(data_dir, None, config)
    surveys = folder.surveys()
    on_disk = OnDisk(
        folder.cluster_id,
        frozenset(store.store_id for store in folder.stores),
        tuple(shard for survey in surveys for shard in survey.shards),
    )
    findings = check_catalog(folder.file, on_disk)
    strange = [path for survey in surveys for path in survey.strange]
    findings += [Finding(path, "is named like no shard") for path in strange]
    if as_json:
        print_json({"ok": not findings, "findings": [asdict(finding) for finding in findings]})
    elif findings:
        for finding in findings:
            print_line(f"{finding.subject}: {finding.problem}")
    else:
        print_line(f"{folder.file} is sound, and fits the {len(folder.stores)} stores here")
    if findings:
        raise typer.Exit(1)


@app.command()
def recover(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be added, and add nothing.")
    ] = False,
    data_dir: DataDir = None,
    uri: Uri = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add collections that the catalog lacks, from the shards in the data folder. Nothing is ever
    removed. Stop the server before. Restore a backup first, if there is one.

    The exit code is 1 when a collection could not be brought back.
    """
    from akidb_ray.catalog.recovery import recover as recover_catalog
    from akidb_ray.catalog.recovery_plan import Outcome

    folder = _Folder(data_dir, uri, config)
    if folder.cluster_id is None:
        raise Misuse("--data-dir", f"{folder.data_dir} holds no stores to recover from")
    shards = [shard for survey in folder.surveys() for shard in survey.shards]
    new = not folder.file.exists()
    # Only a new catalog has to be told how far the lost one had come.
    seen = folder.backups().list() if new else []
    done = recover_catalog(
        folder.file, folder.cluster_id, shards, seen, datetime.now(UTC), dry_run=dry_run
    )
    if as_json:
        print_json({"dry_run": dry_run, "new": new, "things": [asdict(t) for t in done.lines]})
    else:
        _print_recovery(done, dry_run, new, len(seen))
    if any(line.outcome is Outcome.LEFT for line in done.lines):
        raise typer.Exit(1)


def _print_recovery(done: "Recovery", dry_run: bool, new: bool, backups: int) -> None:
    from akidb_ray.catalog.recovery_plan import NEVER_BROUGHT_BACK, Outcome

    rows = [[line.outcome, line.kind, line.name, line.id, line.note] for line in done.lines]
    print_table(("outcome", "kind", "name", "id", "note"), rows)
    # A table is cut at the terminal's width; why something is left out must not be.
    for line in done.lines:
        if line.outcome is Outcome.LEFT:
            print_line(f"{line.kind} {line.id}: {line.note}")
    if new:
        print_line("There was no catalog: the next start makes a new root key.")
    if new and backups:
        print_line(f"{backups} backups are there: `akidb catalog restore` brings back more.")
    if any(line.outcome is Outcome.ADDED for line in done.lines):
        print_line(f"Not brought back: {'; '.join(NEVER_BROUGHT_BACK)}.")
    if dry_run:
        print_line("Nothing was changed: this was a dry run.")


class _Folder:
    """A data folder, as the options and the settings name it. `cluster_id` is whose stores are in
    it, None without any.
    """

    def __init__(self, data_dir: Path | None, uri: str | None, config: Path | None) -> None:
        from akidb_ray.storage.data_folder import catalog_file, cluster_of, stores_in

        self.settings: Settings = load_settings(config, os.environ)
        self.data_dir = data_dir or Path(self.settings.server.data_dir)
        if not self.data_dir.is_dir():
            raise Misuse("--data-dir", f"{self.data_dir} is no folder")
        self.file = catalog_file(self.data_dir)
        self.stores = stores_in(self.data_dir)
        self.cluster_id = cluster_of(self.stores)
        self._uri = self.settings.catalog.backup_uri
        if uri is not None:
            # One with a slip in it must not become a folder that is named by its secret.
            like_uri = ":" in uri or "@" in uri
            self._uri = uri if like_uri else str(Path(uri).absolute())

    def backups(self) -> "Backups":
        """Those of the cluster whose stores or catalog are here."""
        from akidb_ray.catalog.backups import Backups, open_backup_store

        store = open_backup_store(self._uri, self.file.parent)
        return Backups(store, self.cluster_id or self._other_cluster(store))

    def surveys(self) -> "list[Survey]":
        from akidb_ray.shard.survey import survey
        from akidb_ray.storage.os_filesystem import OsFileSystem

        return [survey(OsFileSystem(store.path), store.store_id) for store in self.stores]

    def _other_cluster(self, store: "ObjectStore") -> "ClusterId":
        """For a folder without stores: the catalog's own, else the only one with backups."""
        from akidb_ray.catalog.backups import clusters_in
        from akidb_ray.catalog.sqlite.facts import read_facts

        if self.file.exists():
            return read_facts(self.file).cluster_id
        clusters = clusters_in(store)
        if len(clusters) != 1:
            known = ", ".join(map(str, clusters)) or "none"
            raise Misuse("--uri", f"{store.where} must hold backups of one cluster; holds {known}")
        return clusters[0]
