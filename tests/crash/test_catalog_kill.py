"""The process of the catalog is killed during a storm of changes, again and again.

`SOAK_SECONDS` says for how long; `make soak` does it for half an hour.
"""

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("SOAK_SECONDS", "25"))
LONGEST_S = 2.5
TABLES = {"tenant": "tenants", "database": "databases", "collection": "collections"}

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + 2 * SECONDS)]


@dataclass
class Acknowledged:
    """What the catalog has promised, over all its openings."""

    things: dict[str, tuple[str, int, str, dict[str, Any]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    epoch: int = 0
    changes: int = 0

    def hear(self, line: str) -> None:
        what, thing_id, version, parent, fields = json.loads(line)
        if what == "open":
            assert version > self.epoch, "an opening did not raise the epoch"
            self.epoch = version
            return
        self.changes += 1
        if what == "gone":
            self.gone.add(thing_id)
            self.things.pop(thing_id, None)
        elif what == "job":
            self.jobs[thing_id] = fields["subject"]
        elif what == "ended":
            self.ended.add(thing_id)
        elif thing_id not in self.things or self.things[thing_id][1] <= version:
            self.things[thing_id] = (what, version, parent, fields)


def _run_until_killed(file: Path, seed: int, known: Acknowledged, rng: random.Random) -> None:
    command = [sys.executable, "-m", "tests.crash.catalog_child", str(file), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        known.hear(child.stdout.readline())
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(rng.uniform(0, LONGEST_S))
            pytest.fail("the catalog ended by itself")
        child.kill()
        for line in child.stdout:
            # A line that the kill cut off was not acknowledged to anybody.
            if line.endswith("\n"):
                known.hear(line)


def _look(file: Path, known: Acknowledged) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        assert [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for table in TABLES.values():
            check = f"INSERT INTO {table}_fts ({table}_fts) VALUES ('integrity-check')"
            connection.execute(check)
        connection.rollback()
        _every_acknowledged_change_is_there(connection, known)
        _every_change_is_whole(connection)


def _every_acknowledged_change_is_there(
    connection: sqlite3.Connection, known: Acknowledged
) -> None:
    jobs = {str(UUID(bytes=row["job_id"])): row for row in connection.execute("SELECT * FROM jobs")}
    assert known.jobs.keys() <= jobs.keys()
    assert {job_id for job_id in known.ended if jobs[job_id]["state"] != "succeeded"} == set()
    # A step may have been taken whose acknowledgement the kill cut off.
    may_be_gone = {row["subject_id"] for row in jobs.values()}
    rows = {
        (kind, str(UUID(bytes=row[f"{kind}_id"]))): row
        for kind, table in TABLES.items()
        for row in connection.execute(f"SELECT * FROM {table}")
    }
    present = {thing_id for _, thing_id in rows}
    assert known.gone & present == set()
    for thing_id, (kind, version, parent, fields) in known.things.items():
        row = rows.get((kind, thing_id))
        if row is None:
            assert {thing_id, parent} & may_be_gone, (kind, thing_id)
            continue
        assert row["version"] >= version
        if row["version"] == version:
            assert {name: row[name] for name in fields} == fields


def _every_change_is_whole(connection: sqlite3.Connection) -> None:
    placed = """
        SELECT c.name, c.shard_count, count(s.number) FROM collections c
        LEFT JOIN shards s USING (collection_id)
        GROUP BY c.collection_id HAVING count(s.number) <> c.shard_count
    """
    assert connection.execute(placed).fetchall() == []
    stray = """
        SELECT name FROM databases WHERE state = 'deleting' AND NOT EXISTS (
            SELECT 1 FROM jobs WHERE state = 'running'
            AND replace(subject_id, '-', '') = lower(hex(database_id)))
    """
    assert connection.execute(stray).fetchall() == []
    recorded = "SELECT min(catalog_version), max(catalog_version), count(*) FROM changes"
    first, last, count = connection.execute(recorded).fetchone()
    assert count == last - first + 1
    assert connection.execute("SELECT catalog_version FROM catalog_meta").fetchone()[0] == last


def test_every_acknowledged_change_of_the_catalog_survives_kill_9(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    rng, known, file = random.Random(seed), Acknowledged(), tmp_path / "catalog.sqlite"
    ends_at, kills = time.monotonic() + SECONDS, 0
    while time.monotonic() < ends_at:
        _run_until_killed(file, seed + kills, known, rng)
        kills += 1
        _look(file, known)
    sys.stdout.write(f"{kills} kills, {known.changes} acknowledged changes\n")
    assert known.changes > kills
