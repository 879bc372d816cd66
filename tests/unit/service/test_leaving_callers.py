"""Callers that go away: reads end with them, writes that have begun go on to their end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.filter import EVERYTHING, Filter, Match
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.query import FacetQuery
from akidb_ray.domain.write import WriteOptions
from akidb_ray.service.search import SearchMode, SearchRequest
from tests.unit.service.twins import THREE, Twins, documents, twins, vector

SOME = documents(60, 9)
IDS = [document.id for document in SOME]
SEEN = Filter((Match("seen", (1,)),))


@dataclass
class Gate:
    """Holds up the calls of one method to one store until it is opened."""

    method: str
    store: StoreId
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if (method, store_id) == (self.method, self.store):
            self.reached.set()
            await self.opened.wait()


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins(tmp_path) as opened:
        yield opened


async def leave(opened: Twins, gate: Gate, work: Coroutine[Any, Any, Any]) -> None:
    """Begin `work`, and go away when it is held up."""
    opened.hosts.before = gate
    task = asyncio.create_task(work)
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def counted(opened: Twins, wanted: int, filter: Filter = EVERYTHING) -> None:
    """Wait until so many documents are there."""
    async with asyncio.timeout(60):
        while await opened.documents.count(ROOT, THREE, filter) != wanted:
            pass


async def test_a_write_that_has_begun_is_carried_out_in_all_shards(opened: Twins) -> None:
    write = opened.documents
    store = opened.store_of(1)
    patch = PayloadPatch(set={"seen": 1})
    for work, count, filter in (
        (write.upsert(ROOT, THREE, SOME), 60, EVERYTHING),
        (write.patch_ids(ROOT, THREE, patch, IDS), 60, SEEN),
        (write.delete_ids(ROOT, THREE, IDS[:30]), 30, EVERYTHING),
        (write.delete_matching(ROOT, THREE, SEEN), 0, EVERYTHING),
    ):
        gate = Gate("write", store)
        await leave(opened, gate, work)
        gate.opened.set()
        await counted(opened, count, filter)


async def test_a_conditional_write_goes_on_from_its_first_parts_to_its_last(
    opened: Twins,
) -> None:
    await opened.documents.upsert(ROOT, THREE, SOME)
    found = await opened.documents.get_many(ROOT, THREE, IDS)
    options = WriteOptions(if_versions={document.id: document.version for document in found})
    gate = Gate("ask", opened.store_of(1))
    patch = PayloadPatch(set={"seen": 1})
    await leave(opened, gate, opened.documents.patch_ids(ROOT, THREE, patch, IDS, options))
    gate.opened.set()
    await counted(opened, 60, SEEN)


async def test_a_write_that_has_not_begun_is_given_up(opened: Twins) -> None:
    gate = Gate("ask", opened.store_of(1))
    # Whether there is room for the documents is asked before any is written.
    before = asyncio.all_tasks()
    await leave(opened, gate, opened.documents.upsert(ROOT, THREE, SOME))
    gate.opened.set()
    await ended(before)
    assert await opened.documents.count(ROOT, THREE) == 0
    assert (await opened.documents.upsert(ROOT, THREE, SOME)).affected == 60


async def ended(before: set[Any]) -> None:
    """Nothing goes on but what went on before."""
    async with asyncio.timeout(60):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)


async def test_reads_end_with_their_callers(opened: Twins) -> None:
    await opened.documents.upsert(ROOT, THREE, SOME)
    read, search = opened.documents, opened.search
    words = SearchRequest(text="red", mode=SearchMode.KEYWORD)
    likeness = SearchRequest(vector=vector(1), exact=True)
    for reading in (
        read.get_many(ROOT, THREE, IDS),
        read.scroll(ROOT, THREE),
        read.count(ROOT, THREE),
        search.search(ROOT, THREE, words),
        search.search(ROOT, THREE, SearchRequest(text="red", mode=SearchMode.HYBRID)),
        search.groups(ROOT, THREE, likeness, "n"),
        search.facets(ROOT, THREE, FacetQuery("n")),
    ):
        before = asyncio.all_tasks()
        gate = Gate("ask", opened.store_of(1))
        await leave(opened, gate, reading)
        assert not gate.opened.is_set()
        await ended(before)
