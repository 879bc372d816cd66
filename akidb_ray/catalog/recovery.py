"""Adding to a catalog file what `recovery_plan` decides, or making the file when it is lost."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from akidb_ray.catalog.backups import Backup
from akidb_ray.catalog.recovery_plan import (
    Known,
    Recovery,
    carry_out,
    plan_recovery,
    read_known,
    with_default,
)
from akidb_ray.catalog.restoring import LEAP, catalog_lock, put_in_place
from akidb_ray.catalog.sqlite.copying import copy_database, remove_database
from akidb_ray.catalog.sqlite.facts import begin_anew, read_facts
from akidb_ray.catalog.sqlite.schema import upgrade
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.catalog.sqlite.translation import translated
from akidb_ray.domain.errors import InvalidState
from akidb_ray.domain.found_shards import FoundShard
from akidb_ray.domain.ids import ClusterId


def recover(
    file: Path,
    cluster_id: ClusterId,
    found: Iterable[FoundShard],
    backups: Iterable[Backup],
    now: datetime,
    *,
    dry_run: bool,
) -> Recovery:
    """Add to the catalog at `file` what it lacks of the shards `found` in stores of `cluster_id`.

    All of it in one transaction, or nothing on a `dry_run`. A missing file is made, whole or not at
    all, with a version and an epoch above those of `backups`. Raises Unavailable while a process
    holds the catalog, InvalidState when it is another cluster's, Corrupt, StorageFull,
    StorageFailed.
    """
    with catalog_lock(file.parent):
        if file.exists():
            return _recover_into(file, cluster_id, found, now, dry_run)
        recovery = with_default(plan_recovery(found, Known(), now), now)
        if not dry_run:
            _make(file, cluster_id, recovery, backups, now)
        return recovery


def _recover_into(
    file: Path, cluster_id: ClusterId, found: Iterable[FoundShard], now: datetime, dry_run: bool
) -> Recovery:
    owner = read_facts(file).cluster_id
    if owner != cluster_id:
        raise InvalidState("catalog", f"of cluster {owner}", f"stores of cluster {cluster_id}")
    if not dry_run:
        return asyncio.run(_add(file, found, now))
    # Opening brings an older file to today's schema and begins a term: a copy is opened instead.
    with tempfile.TemporaryDirectory(prefix=".recovery-", dir=file.parent) as folder:
        copy = Path(folder, file.name)
        copy_database(file, copy)
        return asyncio.run(_add(copy, found, now))


async def _add(file: Path, found: Iterable[FoundShard], now: datetime) -> Recovery:
    store = await SqliteStore.open(file, lambda: now, create=False)
    try:
        async with store.writing() as repos:
            recovery = plan_recovery(found, await read_known(repos), now)
            await carry_out(recovery, repos)
        return recovery
    finally:
        await store.close()


def _make(
    file: Path,
    cluster_id: ClusterId,
    recovery: Recovery,
    backups: Iterable[Backup],
    now: datetime,
) -> None:
    ready = file.with_name(f"{file.name}.recovering")
    # Where nothing says how far the lost catalog had come: no catalog comes as far as the number of
    # seconds since 1970.
    floor = int(now.timestamp())
    seen = [(floor, floor), *((b.version + LEAP, b.epoch + LEAP) for b in backups)]
    try:
        _make_empty(ready, cluster_id)
        asyncio.run(_fill(ready, recovery, now))
        begin_anew(ready, max(version for version, _ in seen), max(epoch for _, epoch in seen))
        put_in_place(ready, file, now)
    finally:
        with translated(ready):
            remove_database(ready)


async def _fill(file: Path, recovery: Recovery, now: datetime) -> None:
    store = await SqliteStore.open(file, lambda: now, create=False)
    try:
        async with store.writing() as repos:
            await carry_out(recovery, repos)
    finally:
        await store.close()


def _make_empty(file: Path, cluster_id: ClusterId) -> None:
    with translated(file):
        remove_database(file)
        file.touch(mode=0o600, exist_ok=False)
    upgrade(file)
    with translated(file), closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "INSERT INTO catalog_meta (id, cluster_id) VALUES (1, ?)", (cluster_id.bytes,)
        )
        connection.commit()
