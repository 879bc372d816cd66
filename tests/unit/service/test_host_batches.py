"""A host's batch: searches that are alike are answered in one pass, and none harms another."""

import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.cluster.host_calls import searched_together
from akidb_ray.cluster.host_server import Caller
from akidb_ray.domain.errors import InvalidArgument, NotFound, Unavailable
from akidb_ray.domain.filter import Filter, Match, RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import (
    HybridQuery,
    ScrollQuery,
    ShardCount,
    ShardGet,
    ShardHits,
    ShardScroll,
    ShardSearch,
    ShardVector,
    TextQuery,
    VectorQuery,
)
from akidb_ray.domain.write import ShardDelete, WriteOutcome
from tests.unit.service.twins import ONE, documents, shown, twins, vector

Opened = tuple[Callable[[list[Any]], list[Any]], ShardKey]
ALL = RowFilter()
SOME = RowFilter(Filter((Match("n", (1, 2, 3)),)))


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    async with twins(tmp_path) as filled:
        await filled.put(documents(80, 3))
        collections = filled.database.services.collections
        place = await collections.get(ROOT, ONE)
        calls = filled.hosts.hosts[place.placements[0].store_id].calls
        connection, other_end = socket.socketpair()
        caller = Caller(connection)
        with connection, other_end:
            yield (
                lambda items: calls.ask(items, caller),
                ShardKey(place.tenant.tenant_id, place.collection.collection_id, 0),
            )


async def test_what_is_asked_together_is_answered_as_alone(
    opened: Opened,
) -> None:
    ask, key = opened
    near = VectorQuery(vector(1), exact=True)
    items: list[Any] = [
        ShardSearch(key, near, ALL),
        ShardCount(key, ALL),
        ShardSearch(key, replace(near, vector=vector(2), limit=3, offset=2), ALL),
        ShardSearch(key, near, SOME),
        ShardSearch(key, replace(near, explain=True), ALL),
        ShardSearch(key, TextQuery("red"), ALL),
        ShardSearch(key, HybridQuery(vector(4), "red"), ALL),
        ShardSearch(key, replace(near, filter=SOME.visible), ALL),
        ShardGet(key, ["doc 0001"], ALL),
        ShardScroll(key, ScrollQuery(4), SOME),
        ShardVector(key, "doc 0002", ALL),
    ]
    assert [len(group) for group in searched_together(items)] == [3, *[1] * 8]
    for item, answer in zip(items, ask(items), strict=True):
        (alone,) = ask([item])
        if isinstance(alone, ShardHits):
            assert shown(answer.hits) == shown(alone.hits)
            assert (answer.explanation is None) == (not item.query.explain)
        elif isinstance(alone, list):
            assert [document.id for document in answer] == [document.id for document in alone]
        else:
            assert np.array_equal(answer, alone)


async def test_a_wrong_search_is_alone_with_its_error(opened: Opened) -> None:
    ask, key = opened
    near = VectorQuery(vector(1), exact=True)
    elsewhere = ShardKey(TenantId.new(), CollectionId.new(), 0)
    answers = ask(
        [
            ShardSearch(key, near, ALL),
            ShardSearch(key, replace(near, vector=vector(1)[:5]), ALL),
            ShardSearch(key, near, ALL),
            ShardSearch(key, near, ALL, min_version=2**60),
            ShardSearch(elsewhere, near, ALL),
            ShardSearch(elsewhere, near, ALL),
            ShardVector(key, "none", ALL),
        ]
    )
    kinds = [ShardHits, InvalidArgument, ShardHits, Unavailable, NotFound, NotFound, NotFound]
    assert [type(answer) for answer in answers] == kinds
    assert shown(answers[0].hits) == shown(answers[2].hits)


async def test_nothing_is_written_for_a_caller_that_has_left(tmp_path: Path) -> None:
    async with twins(tmp_path) as filled:
        await filled.put(documents(5, 3))
        place = await filled.database.services.collections.get(ROOT, ONE)
        key = ShardKey(place.tenant.tenant_id, place.collection.collection_id, 0)
        calls = filled.hosts.hosts[place.placements[0].store_id].calls
        connection, other_end = socket.socketpair()
        deletions = [ShardDelete(key, ALL, ids=["doc 0001"]), ShardDelete(key, ALL, ids=["x"])]
        with connection:
            other_end.close()
            refused = calls.write(deletions, Caller(connection))
        assert [type(answer) for answer in refused] == [Unavailable, Unavailable]
        connection, other_end = socket.socketpair()
        with connection, other_end:
            caller = Caller(connection)
            assert calls.ask([ShardCount(key, ALL)], caller) == [5]
            (deleted, _) = calls.write(deletions, caller)
            assert isinstance(deleted, WriteOutcome)
            assert calls.ask([ShardCount(key, ALL)], caller) == [4]
