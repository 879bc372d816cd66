"""A collection is got, or made when there is none, whoever else does the same."""

import asyncio
from typing import Any

import akidb
import pytest
from akidb import AkiDBError, AsyncClient, CollectionInfo
from akidb.control_flows import ControlFlows
from akidb.requests import Reply

from tests.in_process import MODEL
from tests.unit.client.driving import Script, answer, problem, raised_by

NONE = problem(404, "not_found")
TAKEN = problem(409, "already_exists")
FULL = problem(429, "quota_exceeded")


def shown(state: str = "ready", **settings: Any) -> Reply:
    there = {"name": "films", "state": state, "metric": "l2", "dimension": 16, "version": 1}
    return answer({"collection_id": "1", "embedding_model": None, **there, **settings})


def got(script: Script, **settings: Any) -> CollectionInfo:
    flows = ControlFlows(script.calls())
    return script.run(flows.get_or_create_collection("/v1/collections", "films", settings))


def asked(script: Script) -> list[str]:
    return [f"{request.method} {request.path}" for request in script.requests]


LOOK, MAKE = "GET /v1/collections/films", "POST /v1/collections"


def test_one_that_is_there_is_only_looked_up() -> None:
    script = Script([shown()])
    assert got(script).dimension == 16
    assert asked(script) == [LOOK]


def test_one_that_is_not_there_is_made() -> None:
    script = Script([NONE, shown()])
    assert got(script, dimension=16, metric=None).name == "films"
    assert asked(script) == [LOOK, MAKE]


def test_one_that_somebody_else_makes_at_this_moment_is_got() -> None:
    for between in ([TAKEN], [FULL, shown("creating"), shown("creating"), TAKEN]):
        script = Script([NONE, *between, shown()])
        assert got(script, dimension=16).state == "ready"
        assert script.waits_s


def test_one_that_was_half_made_is_finished_by_the_same_request() -> None:
    script = Script([shown("creating"), shown()])
    got(script, dimension=16)
    assert asked(script) == [LOOK, MAKE]


def test_one_that_is_being_deleted_is_waited_for_and_made_anew() -> None:
    script = Script([shown("deleting", metric="dot"), TAKEN, NONE, shown()])
    assert got(script, metric="l2").state == "ready"
    assert asked(script) == [LOOK, MAKE, LOOK, MAKE]


def test_a_creation_whose_answer_was_lost_is_asked_for_again() -> None:
    lost = akidb.ConnectionFailed("lost")
    script = Script([NONE, lost, TAKEN, shown()])
    assert got(script, dimension=16).state == "ready"


def test_one_that_stays_half_made_or_finds_no_room_is_told() -> None:
    script = Script([shown("creating"), TAKEN] * 60)
    assert raised_by(lambda: got(script, dimension=16)).code == "already_exists"
    assert script.now_s <= 60
    full = Script([NONE, FULL, NONE])
    assert raised_by(lambda: got(full, dimension=16)).code == "quota_exceeded"


@pytest.mark.parametrize("state", ["ready", "creating"])
def test_a_setting_that_differs_is_told_with_both_values(state: str) -> None:
    error = raised_by(lambda: got(Script([shown(state)]), dimension=16, metric="cosine"))
    assert isinstance(error, akidb.AlreadyExists)
    assert error.detail == "collection 'films' exists with metric 'l2', not 'cosine'"
    assert error.fields == {"field": "metric", "existing": "l2", "given": "cosine"}


def test_a_setting_that_there_is_not_is_told() -> None:
    error = raised_by(lambda: got(Script([shown()]), size=16), TypeError)
    assert "a collection has no setting 'size'" in str(error)


async def test_many_at_once_get_the_one_collection(client: AsyncClient) -> None:
    settings: Any = {"dimension": 16, "metric": "dot", "shard_count": 2}
    made = await asyncio.gather(
        *(client.get_or_create_collection("films", **settings) for _ in range(8))
    )
    assert len({(await each.info()).id for each in made}) == 1
    assert [info.name async for info in client.list_collections()] == ["films"]
    again = await client.get_or_create_collection("films", description="of another day")
    assert (await again.info()).metric == "dot"
    with pytest.raises(akidb.AlreadyExists, match="shard_count 2, not 3"):
        await client.get_or_create_collection("films", shard_count=3)
    with pytest.raises(akidb.InvalidArgument, match="dimension"):
        await client.get_or_create_collection("new")


async def test_a_model_says_the_dimension_each_time(client: AsyncClient) -> None:
    for _ in range(2):
        notes = await client.get_or_create_collection("notes", embedding_model=MODEL)
    assert (await notes.info()).embedding_model == MODEL
    with pytest.raises(AkiDBError, match=rf"embedding_model '{MODEL}', not 'other'"):
        await client.get_or_create_collection("notes", embedding_model="other")
