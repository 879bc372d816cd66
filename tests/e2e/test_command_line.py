"""The `akidb` command against a real server: files in, a table out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.serving import ROOT_KEY, ServerProcess

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def akidb(server: ServerProcess) -> Run:
    environment = {**os.environ, "AKIDB_URL": server.url, "AKIDB_API_KEY": ROOT_KEY}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "akidb_ray.cli.main", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_files_of_every_kind_are_ingested_and_found(akidb: Run, tmp_path: Path) -> None:
    made = akidb("collection", "create", "cli", "--embedding-model", "all-MiniLM-L6-v2")
    assert made.returncode == 0, made.stderr
    csv = tmp_path / "a.csv"
    csv.write_text("id,text,year\nwhale,The blue whale is a huge animal of the sea.,2001\n")
    lines = tmp_path / "b.jsonl"
    lines.write_text('{"id": "bread", "text": "Knead the dough and bake it.", "year": 1990}\n')
    table = pa.table(
        {"id": ["court"], "text": ["The judge dismissed the lawsuit."], "year": [2010]}
    )
    pq.write_table(table, tmp_path / "c.parquet")
    files = [str(csv), str(lines), str(tmp_path / "c.parquet")]
    ingested = akidb("ingest", *files, "--collection", "cli", "--json")
    assert ingested.returncode == 0, ingested.stderr
    assert json.loads(ingested.stdout)["saved"] == 3

    found = akidb("search", "how to make a loaf", "--collection", "cli", "--json")
    assert json.loads(found.stdout)["results"][0]["id"] == "bread"
    condition = '{"must": [{"key": "year", "range": {"gte": 2000, "lt": 2005}}]}'
    shown = akidb("search", "anything", "--collection", "cli", "--filter", condition)
    assert "whale" in shown.stdout
    assert "court" not in shown.stdout
    assert akidb("collection", "delete", "cli", "--yes").returncode == 0


def test_a_bad_row_is_named_by_its_line_and_the_others_are_saved(
    akidb: Run, tmp_path: Path
) -> None:
    akidb("collection", "create", "rows", "--dimension", "16", "--metric", "cosine")
    good = {"vector": [0.5] * 16}
    rows = [
        json.dumps({"id": "a", **good}),
        "{not json",
        json.dumps({"id": "zero", "vector": [0.0] * 16}),
        json.dumps({"id": "b", **good}),
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(rows))
    ingested = akidb("ingest", str(file), "--collection", "rows")
    assert ingested.returncode == 1
    report = ingested.stdout + ingested.stderr
    assert "rows.jsonl:2" in report
    assert "rows.jsonl:3" in report
    listed = akidb("collection", "list", "--json")
    assert "rows" in [c["name"] for c in json.loads(listed.stdout)["collections"]]
    counted = akidb("search", "--vector", json.dumps([1.0] * 16), "--collection", "rows", "--json")
    assert {hit["id"] for hit in json.loads(counted.stdout)["results"]} == {"a", "b"}


def test_a_tenant_lives_from_creation_to_purge(akidb: Run) -> None:
    def ok(*arguments: str) -> Any:
        done = akidb(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert ok("status")["status"] == "ok"
    ok("tenant", "create", "Command Line", "--max-collections", "1")
    found = ok("tenant", "list", "--search", "COMMAND")["tenants"]
    assert [(t["slug"], t["quotas"]["max_collections"]) for t in found] == [("command-line", 1)]
    ok("tenant", "update", "command-line", "--name", "Kommandozeile")
    at = ("--tenant", "command-line", "--database", "main")
    ok("database", "create", "main", "--tenant", "command-line")
    ok("collection", "create", "films", "--dimension", "16", *at)
    refused = akidb("collection", "create", "more", "--dimension", "16", *at)
    assert (refused.returncode, "max_collections" in refused.stderr) == (1, True)
    assert ok("collection", "update", "films", "--description", "x", *at)["version"] > 1
    assert ok("collection", "get", "films", *at)["dimension"] == 16
    assert ok("tenant", "suspend", "command-line")["status"] == "suspended"
    assert akidb("collection", "delete", "films", "--yes", *at).returncode == 1
    assert ok("tenant", "resume", "command-line")["status"] == "active"
    assert ok("collection", "delete", "films", *at) == {"deleted": True}
    ok("collection", "create", "films", "--dimension", "16", *at)
    tenant_id = ok("tenant", "decommission", "command-line")["tenant_id"]
    assert akidb("tenant", "purge", "command-line", "--yes").stdout.startswith("Purged")
    assert akidb("tenant", "get", "command-line").returncode == 1
    jobs = ok("job", "list", "--tenant", tenant_id)["jobs"]
    assert [job["kind"] for job in jobs] == ["delete_collection", "purge_tenant"]
    assert ok("job", "get", jobs[1]["job_id"])["state"] == "succeeded"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("search", "x", "--collection", "nope"), 1, "nope"),
        (("search", "x"), 2, "--collection"),
        (("status", "--api-key", "wrong-key"), 1, "key"),
        (("status", "--url", "http://127.0.0.1:9"), 1, "akidb serve"),
        (("ingest", "missing.csv", "--collection", "x"), 1, "missing.csv"),
    ],
)
def test_errors_are_one_clear_line(
    akidb: Run, arguments: tuple[str, ...], code: int, says: str
) -> None:
    failed = akidb(*arguments)
    assert failed.returncode == code, failed.stderr
    assert says in failed.stderr
    assert "Traceback" not in failed.stderr
