"""Commands of tenants, databases, collections and jobs, and how they wait for jobs."""

import json
import os
import pty
import sys
from collections.abc import Callable
from typing import Any

import pytest

DATABASES = "/v2/tenants/default/databases"
COLLECTIONS = f"{DATABASES}/default/collections"
JOB = {
    "job_id": "0198",
    "kind": "delete_collection",
    "state": "running",
    "subject": "films",
    "done": 0,
    "total": 3,
    "error": None,
}


def query_of(asked: Any) -> dict[str, str]:
    pairs = asked.path.partition("?")[2].split("&")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def looks(reply: Any, *states: dict[str, Any]) -> Callable[[Any], Any]:
    """Answer with one state of the job after the other, and at last with the last."""
    left = list(states)
    return lambda _: reply({**JOB, **(left.pop(0) if len(left) > 1 else left[0])})


def test_a_tenant_is_created_with_what_was_given_only(akidb: Any, wire: Any, reply: Any) -> None:
    made = {"tenant_id": "0198", "slug": "acme", "status": "active"}
    wire.on("POST /v2/tenants", reply(made, 201))
    options = ["--slug=acme", "--qps-quota=200", "--max-collections=5", '--metadata={"a": 1}']
    ran = akidb("tenant", "create", "Acme", *options, "--json")
    assert ran.json == made
    quotas = {"qps_quota": 200, "max_collections": 5}
    assert wire.asked[0].body == {
        "name": "Acme", "slug": "acme", "quotas": quotas, "metadata": {"a": 1},
    }  # fmt: skip
    assert "acme" in akidb("tenant", "create", "Acme").out


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["tenant", "update", "a b", "--name=B"], "/v2/tenants/a%20b", {"name": "B"}),
        (
            ["tenant", "update", "acme", "--max-vectors-per-collection=none", "--if-version=3"],
            "/v2/tenants/acme",
            {"quotas": {"max_vectors_per_collection": None}, "if_version": 3},
        ),
        (
            ["database", "update", "main", "--description="],
            f"{DATABASES}/main",
            {"description": ""},
        ),
        (
            ["collection", "update", "films", "--name=movies"],
            f"{COLLECTIONS}/films",
            {"name": "movies"},
        ),
    ],
)
def test_an_update_sends_what_was_given_only(
    akidb: Any, wire: Any, reply: Any, arguments: list[str], path: str, body: Any
) -> None:
    wire.on(f"PATCH {path}", reply({"name": "changed", "version": 4}))
    ran = akidb(*arguments)
    assert ran.code == 0, ran.err
    assert wire.asked[0].body == body
    assert "changed" in ran.out


@pytest.mark.parametrize(
    ("arguments", "route"),
    [
        (["tenant", "get", "acme"], "GET /v2/tenants/acme"),
        (["tenant", "suspend", "acme"], "POST /v2/tenants/acme/suspend"),
        (["tenant", "resume", "acme"], "POST /v2/tenants/acme/resume"),
        (["database", "get", "main"], f"GET {DATABASES}/main"),
        (["collection", "get", "films"], f"GET {COLLECTIONS}/films"),
        (["job", "get", "0198"], "GET /v2/jobs/0198"),
        (["job", "cancel", "0198"], "POST /v2/jobs/0198/cancel"),
    ],
)
def test_one_thing_is_shown_as_fields_or_as_json(
    akidb: Any, wire: Any, reply: Any, arguments: list[str], route: str
) -> None:
    shown = {"name": "this", "state": "ready", "embedding_model": None}
    wire.on(route, reply(shown))
    assert akidb(*arguments).out == "name   this\nstate  ready\n"
    assert akidb(*arguments, "--json").json == shown


def test_all_pages_of_a_list_are_shown(akidb: Any, wire: Any, reply: Any) -> None:
    def page(asked: Any) -> Any:
        if "cursor=next" in asked.path:
            return reply({"tenants": [{"slug": "b", "name": "B"}], "next_cursor": None})
        return reply({"tenants": [{"slug": "a", "name": "A"}], "next_cursor": "next"})

    wire.on("GET /v2/tenants", page)
    listed = akidb("tenant", "list", "--json").json
    assert [tenant["slug"] for tenant in listed["tenants"]] == ["a", "b"]
    assert len(akidb("tenant", "list", "--all").out.strip().splitlines()) == 4


def test_a_list_stops_at_its_limit_and_says_that_there_is_more(
    akidb: Any, wire: Any, reply: Any
) -> None:
    def page(asked: Any) -> Any:
        limit = int(query_of(asked)["limit"])
        first = int(query_of(asked).get("cursor", 0))
        shown = [{"name": f"c{n}"} for n in range(first, min(first + limit, 500))]
        following = first + limit
        return reply({"collections": shown, "next_cursor": following if following < 500 else None})

    wire.on(f"GET {COLLECTIONS}", page)
    listed = akidb("collection", "list", "--limit=250", "--json").json
    assert [c["name"] for c in listed["collections"]] == [f"c{n}" for n in range(250)]
    assert listed["more"]
    whole = akidb("collection", "list", "--limit=500", "--json").json
    assert (len(whole["collections"]), whole["more"]) == (500, False)
    assert len(akidb("collection", "list", "--all", "--json").json["collections"]) == 500
    assert "--all" in akidb("collection", "list").out.splitlines()[-1]
    assert "--all" not in akidb("collection", "list", "--all").out


@pytest.mark.parametrize(
    ("arguments", "path", "query"),
    [
        (
            ["tenant", "list", "--search=acme", "--status=suspended", "--order=name"],
            "/v2/tenants",
            {"q": "acme", "status": "suspended", "order": "name"},
        ),
        (
            ["database", "list", "--state=deleting", "--descending"],
            DATABASES,
            {"state": "deleting", "descending": "true"},
        ),
        (["collection", "list", "--search=a+b"], COLLECTIONS, {"q": "a%2Bb"}),
        (
            ["job", "list", "--tenant=acme", "--state=running"],
            "/v2/jobs",
            {"tenant": "acme", "state": "running"},
        ),
    ],
)
def test_a_list_asks_for_what_its_options_say(
    akidb: Any, wire: Any, reply: Any, arguments: list[str], path: str, query: Any
) -> None:
    kind = path.rpartition("/")[2]
    wire.on(f"GET {path}", reply({kind: [], "next_cursor": None}))
    assert akidb(*arguments).code == 0
    assert query_of(wire.asked[0]) == {"limit": "101", **query}


def test_an_empty_list_says_so(akidb: Any, wire: Any, reply: Any) -> None:
    wire.on(f"GET {DATABASES}", reply({"databases": [], "next_cursor": None}))
    assert akidb("database", "list").out == "There are no databases.\n"
    assert akidb("database", "list", "--search", "x").out == "No databases found.\n"
    assert akidb("database", "list", "--json").json == {"databases": [], "more": False}


def test_a_collection_has_every_setting_as_an_option(akidb: Any, wire: Any, reply: Any) -> None:
    settings = {
        "name": "films",
        "dimension": 384,
        "metric": "dot",
        "shard_count": 2,
        "embedding_model": "all-MiniLM-L6-v2",
        "index_kind": "flat",
        "hnsw_m": 16,
        "hnsw_ef_construction": 100,
        "hnsw_engine": "hnswlib",
        "language": "german",
        "replica_factor": 1,
        "tiering_policy": "memory",
        "sync_policy": "continuous",
        "wal_retention_seconds": 60,
        "max_doc_count": 10,
        "description": "Films",
    }
    path = "/v2/tenants/acme/databases/main/collections"
    wire.on(f"POST {path}", reply({"name": "films"}, 201))
    options = [
        f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if name != "name"
    ]
    ran = akidb("collection", "create", "films", *options, "--tenant=acme", "--database=main")
    assert ran.code == 0, ran.err
    assert wire.asked[0].body == settings


def test_a_deleted_thing_is_named(akidb: Any, wire: Any, reply: Any) -> None:
    wire.on(f"DELETE {COLLECTIONS}/films", reply(None, 204))
    assert akidb("collection", "delete", "films", "--yes").out == "Deleted collection 'films'.\n"
    assert akidb("collection", "delete", "films", "--json").json == {"deleted": True}
    wire.on(f"DELETE {DATABASES}/main", reply(None, 204))
    assert akidb("database", "delete", "main", "--cascade").out == "Deleted database 'main'.\n"
    assert query_of(wire.asked[-1])["cascade"] == "true"
    wire.on("POST /v2/tenants/acme/purge", reply(None, 204))
    assert akidb("tenant", "purge", "acme").out == "Purged tenant 'acme'.\n"


@pytest.mark.parametrize("command", ["decommission", "delete"])
def test_a_tenant_is_decommissioned(
    akidb: Any, wire: Any, reply: Any, refuse: Any, command: str
) -> None:
    wire.on("DELETE /v2/tenants/acme", reply({"slug": "acme", "status": "decommissioned"}))
    assert akidb("tenant", command, "acme").out == "Decommissioned tenant 'acme'.\n"
    assert akidb("tenant", command, "acme", "--json").json["status"] == "decommissioned"
    wire.on("DELETE /v2/tenants/acme", refuse(404, "not_found", "tenant 'acme' does not exist"))
    ran = akidb("tenant", command, "acme")
    assert (ran.code, ran.err) == (1, "akidb: tenant 'acme' does not exist\n")


def test_a_deletion_that_takes_its_time_is_waited_for(akidb: Any, wire: Any, reply: Any) -> None:
    wire.on(f"DELETE {COLLECTIONS}/films", reply(JOB, 202))
    wire.on("GET /v2/jobs/0198", looks(reply, {"done": 1}, {"done": 3, "state": "succeeded"}))
    ran = akidb("collection", "delete", "films", "--yes")
    assert (ran.code, ran.out, ran.err) == (0, "Deleted collection 'films'.\n", "")
    assert len(wire.asked) == 3


def test_without_waiting_the_job_is_shown(akidb: Any, wire: Any, reply: Any) -> None:
    wire.on(f"DELETE {COLLECTIONS}/films", reply(JOB, 202))
    assert akidb("collection", "delete", "films", "--no-wait", "--json").json == JOB
    assert query_of(wire.asked[0]) == {"wait_s": "0"}
    assert "0198" in akidb("collection", "delete", "films", "--no-wait").out
    assert len(wire.asked) == 2


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ({"state": "failed", "error": "the disk is gone"}, "failed: the disk is gone"),
        ({"state": "cancelled"}, "cancelled"),
    ],
)
def test_a_deletion_that_ends_otherwise_is_an_error(
    akidb: Any, wire: Any, reply: Any, end: dict[str, Any], says: str
) -> None:
    wire.on(f"DELETE {COLLECTIONS}/films", reply(JOB, 202))
    wire.on("GET /v2/jobs/0198", looks(reply, end))
    ran = akidb("collection", "delete", "films", "--yes")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"akidb: delete collection 'films' {says} (job 0198)\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["collection", "delete", "films"],
        ["database", "delete", "main"],
        ["tenant", "decommission", "acme"],
        ["tenant", "purge", "acme"],
    ],
)
def test_whoever_says_no_destroys_nothing(
    akidb: Any, wire: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    primary, secondary = pty.openpty()
    with os.fdopen(primary, "wb", buffering=0) as person, os.fdopen(secondary) as terminal:
        person.write(b"n\n")
        monkeypatch.setattr(sys, "stdin", terminal)
        ran = akidb(*arguments)
    assert ran.code == 1
    assert "?" in ran.out
    assert wire.asked == []


def test_what_a_job_says_reaches_the_terminal_without_control_characters(
    akidb: Any, wire: Any, reply: Any
) -> None:
    job = {**JOB, "subject": "\x1b[31mfilms", "error": "[b]\x1b[2J"}
    wire.on("GET /v2/jobs", reply({"jobs": [job], "next_cursor": None}))
    listed = akidb("job", "list").out
    assert "\x1b" not in listed
    assert "[b]" in listed
    assert json.loads(akidb("job", "list", "--json").out)["jobs"] == [job]
