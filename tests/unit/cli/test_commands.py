"""The commands, from their arguments to what they ask of the server and print."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import akidb_ray

COLLECTIONS = "/v2/tenants/default/databases/default/collections"


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, akidb_ray.cli.main; print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"fastapi", "httpx", "mlx", "numpy", "orjson", "pyarrow", "ray", "rich", "sqlalchemy"}
    assert not heavy & set(listed)


def test_version_is_printed(akidb: Any) -> None:
    assert akidb("version").out == f"{akidb_ray.__version__}\n"
    assert akidb("version", "--json").json == {"version": akidb_ray.__version__}


def test_status_shows_what_the_cluster_says(akidb: Any, wire: Any, reply: Any) -> None:
    health = {
        "status": "ok",
        "version": "0.1.0",
        "tenants": 2,
        "catalog": catalog_health(),
        "stores": [{"store_id": "0198", "host": "alive"}],
    }
    wire.on("GET /readyz", reply({"status": "ready"}))
    wire.on("GET /v2/cluster/health", reply(health))
    ran = akidb("status", "--api-key", "k")
    assert ran.code == 0
    assert "alive" in ran.out
    assert "version 12 in term 3" in ran.out
    assert "version 11 of 2026-01-31T12:00:00Z in /backups, changed since" in ran.out
    assert "backup error" not in ran.out
    assert wire.asked[1].headers["authorization"] == "Bearer k"
    assert akidb("status", "--json").json == {"url": wire.url, **health}


def catalog_health(**backup: Any) -> dict[str, Any]:
    newest = {"where": "/backups", "at": "2026-01-31T12:00:00Z", "version": 11, "behind": True}
    shown = {**newest, "error": None, **backup}
    return {"alive": True, "version": 12, "epoch": 3, "backup": shown, "error": None}


@pytest.mark.parametrize(
    ("catalog", "shown"),
    [
        (catalog_health(error="disk full"), ["version 11 of", "backup error  disk full"]),
        (catalog_health(version=None, at=None, behind=False), ["backup   none yet\n"]),
        ({"alive": False, "error": "it is not running"}, ["can't be asked: it is not running"]),
    ],
)
def test_status_tells_what_is_wrong_with_catalog_and_backups(
    akidb: Any, wire: Any, reply: Any, catalog: dict[str, Any], shown: list[str]
) -> None:
    wire.on("GET /readyz", reply({"status": "ready"}))
    wire.on("GET /v2/cluster/health", reply({"status": "ok", "catalog": catalog}))
    ran = akidb("status")
    assert ran.code == 0
    assert all(text in ran.out for text in shown), ran.out


def test_status_of_a_server_that_is_not_ready_is_an_error(
    akidb: Any, wire: Any, refuse: Any
) -> None:
    wire.on("GET /readyz", refuse(503, "unavailable", "the catalog is not there yet"))
    ran = akidb("status", "--json")
    assert (ran.code, ran.out, ran.err) == (1, "", "akidb: the catalog is not there yet\n")


def test_no_server_is_one_clear_line(akidb: Any) -> None:
    ran = akidb("status", "--url", "http://127.0.0.1:9")
    assert ran.code == 1
    assert ran.err.startswith("akidb: can't reach http://127.0.0.1:9: is `akidb serve` running?")
    assert ran.err.count("\n") == 1


def test_a_defect_is_one_line_too(akidb: Any, wire: Any, reply: Any) -> None:
    wire.on("GET /v2/tenants", reply({"unexpected": []}))
    ran = akidb("tenant", "list")
    assert ran.code == 1
    assert ran.err.startswith("akidb: internal error, please report it: KeyError")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["search", "--limit", "x"],
        ["search", "words"],
        ["search", "--collection", "films"],
        ["search", "words", "--vector", "[1]", "--collection", "films"],
        ["search", "words", "--filter", "{", "--collection", "films"],
        ["collection", "create", "films", "--metric", "hamming"],
        ["collection", "update", "films"],
        ["collection", "list", "--limit", "0"],
        ["tenant", "list", "--status", "asleep"],
        ["tenant", "update", "acme", "--max-collections", "many"],
        ["tenant", "create", "Acme", "--metadata", "{"],
        ["ingest", "--collection", "films"],
        ["status", "--url", "localhost"],
        ["status", "--profile-file", "/nowhere.toml"],
    ],
)
def test_wrong_usage_ends_with_2_and_asks_nothing(
    akidb: Any, wire: Any, arguments: list[str]
) -> None:
    ran = akidb(*arguments)
    assert (ran.code, ran.out, wire.asked) == (2, "", [])
    assert "Traceback" not in ran.err


def test_a_search_shows_a_table_that_a_person_can_read(akidb: Any, wire: Any, reply: Any) -> None:
    results = [
        {
            "id": "tt1",
            "score": 0.83219,
            "text": "\n A heist.\nMore",
            "payload": {"year": 1999, "nested": {"a": 1}, "genres": ["drama"], "title": "[b]One"},
        },
        {"id": "tt2\x1b[31m", "score": 0.5, "text": None, "payload": None},
    ]
    wire.on(f"POST {COLLECTIONS}/films/search", reply({"results": results, "took_ms": 1.5}))
    ran = akidb("search", "a heist", "--collection", "films")
    header, _, first, second = ran.out.rstrip().splitlines()
    assert header.split() == ["#", "score", "id", "year", "genres", "title", "text"]
    assert first.split() == [
        "1", "0.832", "tt1", "1999", '["drama"]', "[b]One", "A", "heist.",
    ]  # fmt: skip
    assert "tt2 [31m" in second
    assert "\x1b" not in ran.out


def test_a_search_sends_its_options(akidb: Any, wire: Any, reply: Any) -> None:
    wire.on(f"POST {COLLECTIONS}/films/search", reply({"results": [], "took_ms": 1}))
    by_year = '{"must": [{"key": "year", "match": {"value": 1999}}]}'
    options = ["--limit=3", f"--filter={by_year}", "--vector=[0.5, 1]", "--ef=100", "--exact"]
    ran = akidb("search", *options, "--collection=films", "--json")
    assert ran.json["results"] == []
    assert wire.asked[0].body == {
        "limit": 3,
        "vector": [0.5, 1],
        "filter": {"must": [{"key": "year", "match": {"value": 1999}}]},
        "params": {"ef": 100, "exact": True},
    }
    assert akidb("search", "x", "--collection=films").out == "Nothing found.\n"


def test_the_environment_names_the_collection(
    akidb: Any, wire: Any, reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKIDB_COLLECTION", "films")
    wire.on(f"POST {COLLECTIONS}/films/search", reply({"results": []}))
    assert akidb("search", "x").code == 0


def test_ingest_saves_good_rows_and_reports_bad_ones(
    akidb: Any, wire: Any, reply: Any, refuse: Any, tmp_path: Path
) -> None:
    stored: list[str] = []

    def upsert(asked: Any) -> Any:
        documents = asked.body["documents"]
        for number, document in enumerate(documents):
            if document["id"] == "cursed":
                where = {"field": f"documents[{number}].id", "reason": "is cursed", "row": number}
                return refuse(422, "invalid_argument", "it is cursed", **where)
        stored.extend(document["id"] for document in documents)
        return reply({"acknowledged": len(documents), "version": "x"})

    wire.on(f"GET {COLLECTIONS}/films", reply({"dimension": 384, "embedding_model": "m"}))
    wire.on(f"PUT {COLLECTIONS}/films/documents", upsert)
    first, second = tmp_path / "a.csv", tmp_path / "b.jsonl"
    first.write_text("id,text\n1,a\ncursed,b\n3\n4,d\n")
    second.write_text('{"id": "5", "text": "e"}\n{"id": \n')
    ran = akidb("ingest", first, second, "--collection", "films", "--batch-size", 3)
    assert ran.code == 1
    assert sorted(stored) == ["1", "4", "5"]
    assert ran.out.startswith("Saved 3 documents in ")
    assert ran.out.endswith("bad rows: 3.\n")
    assert f"{first}:3: id: is cursed\n" in ran.err
    assert f"{first}:4: has 1 cells, and the header has 2\n" in ran.err
    assert f"{second}:2: is not JSON" in ran.err

    summary = akidb("ingest", first, second, "--collection", "films", "--json")
    assert (summary.code, summary.err) == (1, "")
    assert (summary.json["saved"], summary.json["bad"]) == (3, 3)
    assert {(bad["file"], bad["line"]) for bad in summary.json["bad_rows"]} == {
        (str(first), 3), (str(first), 4), (str(second), 2),
    }  # fmt: skip


def test_ingest_of_good_rows_ends_with_0(akidb: Any, wire: Any, reply: Any, tmp_path: Path) -> None:
    wire.on(f"GET {COLLECTIONS}/films", reply({"dimension": 16, "embedding_model": None}))
    wire.on(f"PUT {COLLECTIONS}/films/documents", reply({"acknowledged": 1}))
    file = tmp_path / "a.jsonl"
    file.write_text(f'{{"tconst": 1, "v": {[0.5] * 16}}}\n')
    options = ["--id-field=tconst", "--vector-field=v", "--collection=films"]
    assert akidb("ingest", file, *options).code == 0
    assert wire.asked[1].body == {"documents": [{"id": "1", "vector": [0.5] * 16}]}


def test_ingest_into_nothing_sends_nothing(
    akidb: Any, wire: Any, refuse: Any, tmp_path: Path
) -> None:
    wire.on(f"GET {COLLECTIONS}/x", refuse(404, "not_found", "collection 'x' does not exist"))
    file = tmp_path / "a.csv"
    file.write_text("id,text\n1,a\n")
    ran = akidb("ingest", file, "--collection", "x")
    assert (ran.code, ran.err) == (1, "akidb: collection 'x' does not exist\n")
    assert [asked.method for asked in wire.asked] == ["GET"]


def test_ingest_without_an_id_says_how_to_name_it(
    akidb: Any, wire: Any, reply: Any, tmp_path: Path
) -> None:
    wire.on(f"GET {COLLECTIONS}/films", reply({"dimension": 16, "embedding_model": "m"}))
    file = tmp_path / "a.csv"
    file.write_text("tconst,text\n1,a\n")
    ran = akidb("ingest", file, "--collection", "films")
    assert ran.code == 1
    assert "--id-field" in ran.err


def test_a_file_that_is_not_there_is_named(akidb: Any, wire: Any) -> None:
    ran = akidb("ingest", "/nowhere/a.csv", "--collection", "films")
    assert ran.code == 1
    assert ran.err == "akidb: file: /nowhere/a.csv: No such file or directory\n"
    assert not wire.asked
