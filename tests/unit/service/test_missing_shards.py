"""Hosts that are slow, stuck or down, and callers that go away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.errors import DeadlineExceeded, InvalidArgument, NotFound, Unavailable
from akidb_ray.domain.filter import Filter, Match
from akidb_ray.domain.ids import StoreId, slot_of
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.placement import shard_of
from akidb_ray.domain.query import FacetQuery, ShardGet, ShardSearch, ShardTextStatistics
from akidb_ray.service.search import SearchAnswer, SearchMode, SearchRequest
from tests.unit.service.twins import ONE, THREE, Twins, documents, shown, twins, vector

COUNT = 90
EXACT = SearchRequest(vector=vector(1), exact=True, limit=20)
SHORT = replace(EXACT, timeout_ms=30)
# Only the stuck host takes all of it, however busy the machine is.
AMPLE = replace(EXACT, timeout_ms=1500)
HYBRID = replace(EXACT, text="red river", mode=SearchMode.HYBRID)


@dataclass
class Watch:
    """Notes calls, and holds up those to `stuck` stores until it is told to let them go."""

    stuck: set[StoreId] = field(default_factory=set)
    calls: list[tuple[str, StoreId, Sequence[Any]]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        self.calls.append((method, store_id, items))
        if store_id in self.stuck:
            self.held.set()
            await self.go.wait()


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins(tmp_path) as filled:
        await filled.put(documents(COUNT, 5))
        yield filled


@pytest.fixture
def watch(filled: Twins) -> Watch:
    watch = Watch()
    filled.hosts.before = watch
    return watch


def number_of(document_id: str) -> int:
    return shard_of(slot_of(document_id), 3)


async def without(filled: Twins, number: int, request: SearchRequest) -> list[Any]:
    """What a search finds that leaves out the documents of one shard."""
    everything = await filled.search.search(
        ROOT, THREE, replace(request, timeout_ms=None, limit=COUNT)
    )
    hits = [hit for hit in everything.hits if number_of(hit.id) != number]
    return shown(hits[: request.limit])


async def test_a_stuck_host_costs_no_more_than_the_deadline(filled: Twins, watch: Watch) -> None:
    watch.stuck.add(filled.store_of(1))
    for request in (SHORT, replace(SHORT, mode=SearchMode.HYBRID, text="red")):
        with pytest.raises(DeadlineExceeded):
            await filled.search.search(ROOT, THREE, request)
    with pytest.raises(DeadlineExceeded):
        await filled.search.groups(ROOT, THREE, SHORT, "n")
    with pytest.raises(DeadlineExceeded):
        await filled.search.facets(ROOT, THREE, FacetQuery("n"), timeout_ms=30)
    watch.go.set()
    assert (await filled.search.search(ROOT, THREE, EXACT)).missing_shards == ()


async def test_reads_of_documents_end_at_the_deadline_and_leave_none_out(
    filled: Twins, watch: Watch
) -> None:
    watch.stuck.add(filled.store_of(1))
    read = filled.documents
    ids = [document.id for document in documents(COUNT, 5)]
    away = next(document_id for document_id in ids if number_of(document_id) == 1)
    for reading in (
        read.get(ROOT, THREE, away, timeout_ms=30),
        read.get_many(ROOT, THREE, ids, timeout_ms=30),
        read.scroll(ROOT, THREE, timeout_ms=30),
        read.count(ROOT, THREE, timeout_ms=30),
    ):
        with pytest.raises(DeadlineExceeded):
            await reading
    here = next(document_id for document_id in ids if number_of(document_id) == 0)
    assert (await read.get(ROOT, THREE, here)).id == here, "only its own shard is asked"
    for timeout_ms in (0, 600_001):
        with pytest.raises(InvalidArgument, match="timeout_ms"):
            await read.count(ROOT, THREE, timeout_ms=timeout_ms)
    watch.go.set()
    assert await read.count(ROOT, THREE, timeout_ms=60_000) == COUNT


@pytest.mark.parametrize("mode", [SearchMode.KEYWORD, SearchMode.HYBRID])
async def test_a_stuck_shard_leaves_time_for_the_steps_after_it(
    filled: Twins, watch: Watch, mode: SearchMode
) -> None:
    watch.stuck.add(filled.store_of(1))
    exact = mode is not SearchMode.KEYWORD
    request = SearchRequest(text="red river", mode=mode, exact=exact, limit=100)
    request = replace(request, timeout_ms=3000, partial_results=True)
    answer = await filled.search.search(ROOT, THREE, request)
    assert answer.missing_shards == (1,)
    assert len(answer.hits) > 10
    assert all(number_of(hit.id) != 1 for hit in answer.hits)
    assert any(hit.payload and hit.text for hit in answer.hits), "contents came, too"
    asked = [(type(items[0]), store) for _, store, items in watch.calls]
    assert asked.count((ShardTextStatistics, filled.store_of(1))) == 1
    assert (ShardSearch, filled.store_of(1)) not in asked, "it is not waited for again"
    groups = replace(request, mode=SearchMode.KEYWORD, exact=False)
    found = await filled.search.groups(ROOT, THREE, groups, "n")
    assert found.missing_shards == (1,)
    assert found.groups
    late = replace(request, partial_results=False, timeout_ms=30)
    with pytest.raises(DeadlineExceeded):
        await filled.search.search(ROOT, THREE, late)


async def test_a_large_partial_answer_has_its_contents(filled: Twins, watch: Watch) -> None:
    watch.stuck.add(filled.store_of(1))
    request = replace(EXACT, limit=100, timeout_ms=2000, partial_results=True)
    answer = await filled.search.search(ROOT, THREE, request)
    assert answer.missing_shards == (1,)
    assert len(answer.hits) == sum(number_of(d.id) != 1 for d in documents(COUNT, 5))
    assert any(hit.payload for hit in answer.hits)


async def test_a_partial_answer_holds_the_others_and_names_who_is_missing(
    filled: Twins, watch: Watch
) -> None:
    expected = await without(filled, 1, EXACT)
    watch.stuck.add(filled.store_of(1))
    answer = await filled.search.search(ROOT, THREE, replace(AMPLE, partial_results=True))
    assert answer.missing_shards == (1,)
    assert shown(answer.hits) == expected
    watch.stuck.clear()
    filled.hosts.down.add(filled.store_of(1))
    answer = await filled.search.search(ROOT, THREE, replace(EXACT, partial_results=True))
    assert (answer.missing_shards, shown(answer.hits)) == ((1,), expected)
    hybrid = await filled.search.search(ROOT, THREE, replace(HYBRID, partial_results=True))
    assert hybrid.missing_shards == (1,)
    assert len(hybrid.hits) == HYBRID.limit
    assert all(number_of(hit.id) != 1 for hit in hybrid.hits)
    groups = await filled.search.groups(
        ROOT, THREE, replace(EXACT, partial_results=True), "tags", 3, 50
    )
    assert groups.missing_shards == (1,)
    assert all(number_of(hit.id) != 1 for group in groups.groups for hit in group.hits)


async def test_without_leave_for_partial_answers_a_missing_shard_fails_the_search(
    filled: Twins,
) -> None:
    filled.hosts.down.add(filled.store_of(2))
    for request in (EXACT, HYBRID):
        with pytest.raises(Unavailable):
            await filled.search.search(ROOT, THREE, request)
    filled.hosts.down.update(filled.store_of(number) for number in (0, 1))
    with pytest.raises(Unavailable):
        await filled.search.search(ROOT, THREE, replace(EXACT, partial_results=True))


async def test_what_is_wrong_with_a_request_is_said_whatever_may_be_missing(
    filled: Twins,
) -> None:
    filled.hosts.down.add(filled.store_of(0))
    request = replace(EXACT, partial_results=True)
    with pytest.raises(InvalidArgument, match="vector"):
        await filled.search.search(ROOT, THREE, replace(request, vector=[1.0]))
    with pytest.raises(InvalidArgument, match="key"):
        await filled.search.groups(ROOT, THREE, request, "")


async def test_a_shard_that_is_lost_between_two_steps_is_missing(
    filled: Twins, watch: Watch
) -> None:
    async def lose(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if isinstance(items[0], ShardGet):
            filled.hosts.down.add(filled.store_of(1))

    filled.hosts.before = lose
    found = await filled.search.search(ROOT, THREE, replace(HYBRID, partial_results=True))
    assert found.missing_shards == (1,)
    assert found.hits
    assert all(number_of(hit.id) != 1 and hit.payload != b"" for hit in found.hits)
    with pytest.raises(Unavailable):
        await filled.search.search(ROOT, THREE, HYBRID)


async def test_a_document_that_stops_passing_while_it_is_found_is_not_shown(
    filled: Twins,
) -> None:
    one = Filter((Match("n", (1, 2, 3, 4)),))
    request = replace(HYBRID, filter=one, limit=10)
    hits = (await filled.search.search(ROOT, THREE, request)).hits
    gone, changed = hits[0].id, hits[1].id

    async def change() -> None:
        await filled.documents.delete_ids(ROOT, THREE, [gone])
        await filled.documents.patch_ids(ROOT, THREE, PayloadPatch(set={"n": 77}), [changed])

    changing: list[asyncio.Task[None]] = []

    async def change_first(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if isinstance(items[0], ShardGet):
            if not changing:
                changing.append(asyncio.create_task(change()))
            await changing[0]

    filled.hosts.before = change_first
    after = (await filled.search.search(ROOT, THREE, request)).hits
    assert [hit.id for hit in after] == [hit.id for hit in hits[2:]]


async def test_each_search_of_a_batch_has_its_own_deadline_and_its_own_error(
    filled: Twins, watch: Watch
) -> None:
    watch.stuck.add(filled.store_of(1))
    asked = [
        SHORT,
        EXACT,
        replace(EXACT, limit=0),
        replace(AMPLE, partial_results=True),
        SearchRequest(id="none"),
        replace(EXACT, timeout_ms=-1),
    ]
    # Behind the deadlines of the others; the second search has none.
    asyncio.get_running_loop().call_later(3.0, watch.go.set)
    late, whole, wrong, partial, unknown, odd = await filled.search.batch(ROOT, THREE, asked)
    assert isinstance(late, DeadlineExceeded)
    assert isinstance(whole, SearchAnswer)
    assert isinstance(wrong, InvalidArgument)
    assert wrong.fields["field"] == "limit"
    assert isinstance(partial, SearchAnswer)
    assert partial.missing_shards == (1,)
    assert isinstance(unknown, NotFound)
    assert isinstance(odd, InvalidArgument)
    assert odd.fields["field"] == "timeout_ms"


async def test_a_batch_takes_one_call_per_host_and_step(filled: Twins, watch: Watch) -> None:
    asked = [replace(EXACT, vector=vector(seed)) for seed in range(40)]
    texts = [SearchRequest(text=f"red {number}", exact=True) for number in range(10)]
    answers = await filled.search.batch(ROOT, THREE, [*asked, *texts])
    assert all(isinstance(answer, SearchAnswer) for answer in answers)
    stores = {filled.store_of(number) for number in range(3)}
    assert {store for _, store, _ in watch.calls} == stores
    assert [len(items) for _, _, items in watch.calls] == [50] * len(stores)


async def test_a_caller_that_goes_away_stops_its_work_and_harms_nobody(
    filled: Twins, watch: Watch
) -> None:
    watch.stuck.add(filled.store_of(1))
    before = asyncio.all_tasks()
    leaving = asyncio.create_task(filled.search.search(ROOT, THREE, EXACT))
    staying = asyncio.create_task(filled.search.search(ROOT, THREE, EXACT))
    await watch.held.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    watch.go.set()
    assert shown((await staying).hits) == shown((await filled.search.search(ROOT, ONE, EXACT)).hits)
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before, "nothing goes on for who went away"


async def test_explanations_name_the_shards_and_count_their_documents(filled: Twins) -> None:
    for request, searches in ((replace(EXACT, explain=True), 1), (HYBRID, 2)):
        answer = await filled.search.search(ROOT, THREE, replace(request, explain=True))
        assert answer.explanation is not None
        assert [number for number, _ in answer.explanation] == [0, 1, 2]
        rows = sum(
            plan.rows for _, explanation in answer.explanation for plan in explanation.segments
        )
        assert rows == COUNT, "only the search for vectors goes by segments"
        assert all("filter" in explanation.took_ms for _, explanation in answer.explanation)
        took = [explanation.took_ms.keys() for _, explanation in answer.explanation]
        assert all(("text" in steps) == (searches == 2) for steps in took)
    assert (await filled.search.search(ROOT, THREE, EXACT)).explanation is None
