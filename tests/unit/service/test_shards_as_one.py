"""A collection of three shards answers like one of a single shard with the same documents."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import InvalidArgument, NotFound
from akidb_ray.domain.filter import EVERYTHING, Filter
from akidb_ray.domain.fusion import fuse
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.query import (
    FacetQuery,
    Fusion,
    FusionMethod,
    Hit,
    ShardSearch,
    ShardTextStatistics,
)
from akidb_ray.domain.scalars import scalar_key
from akidb_ray.service import search as search_service
from akidb_ray.service.incoming import IncomingDocument
from akidb_ray.service.search import SearchAnswer, SearchMode, SearchRequest
from akidb_ray.shard import faceting
from tests.unit.service.twins import FILTERS, ONE, THREE, Twins, documents, shown, twins, vector

COUNT = 400
SEED = 11


@pytest.fixture(params=list(Metric))
async def filled(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins(tmp_path, request.param) as filled:
        await filled.put(documents(COUNT, SEED))
        yield filled


def requests(count: int, seed: int) -> list[SearchRequest]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        threshold = None if number % 3 else float(rng.normal() + 1)
        made.append(
            SearchRequest(
                vector=vector(seed + number),
                filter=FILTERS[number % len(FILTERS)],
                limit=int(rng.integers(1, 200)),
                offset=int(rng.integers(0, 40)) if number % 2 else 0,
                score_threshold=threshold,
                with_payload=bool(number % 5),
                with_vector=not number % 4,
                exact=True,
            )
        )
    return made


async def both(filled: Twins, request: SearchRequest) -> tuple[SearchAnswer, SearchAnswer]:
    return (
        await filled.search.search(ROOT, ONE, request),
        await filled.search.search(ROOT, THREE, request),
    )


async def test_vector_searches_find_the_same(filled: Twins) -> None:
    for request in requests(30, seed=1):
        alone, merged = await both(filled, request)
        assert shown(alone.hits) == shown(merged.hits), request


async def test_a_batch_finds_what_its_searches_find_one_by_one(filled: Twins) -> None:
    asked = requests(30, seed=2)
    for ref in (ONE, THREE):
        together = await filled.search.batch(ROOT, ref, asked)
        for request, answer in zip(asked, together, strict=True):
            assert isinstance(answer, SearchAnswer)
            single = await filled.search.search(ROOT, ref, request)
            assert shown(answer.hits) == shown(single.hits)


async def test_texts_are_embedded_and_found_alike(filled: Twins) -> None:
    for text in ("a red river", "paper house", ""):
        alone, merged = await both(filled, SearchRequest(text=text, exact=True, limit=20))
        assert shown(alone.hits) == shown(merged.hits)


async def test_more_like_a_document_leaves_it_out_wherever_it_is(filled: Twins) -> None:
    for row in (1, 2, 3, 5, 6, 7, 8, 10):
        request = SearchRequest(id=f"doc {row:04d}", exact=True, limit=12, offset=row % 3)
        alone, merged = await both(filled, request)
        assert shown(alone.hits) == shown(merged.hits)
        assert len(merged.hits) == 12
        assert request.id not in {hit.id for hit in merged.hits}
    for ref in (ONE, THREE):
        with pytest.raises(NotFound, match="doc none"):
            await filled.search.search(ROOT, ref, SearchRequest(id="doc none"))


async def test_keyword_search_scores_by_the_words_of_the_whole_collection(filled: Twins) -> None:
    for text in ("red", "green stone", '"night river"', "rain rain paper", "nothing", ""):
        for filter in FILTERS:
            request = SearchRequest(text=text, mode=SearchMode.KEYWORD, filter=filter, limit=COUNT)
            alone, merged = await both(filled, request)
            assert shown(alone.hits) == shown(merged.hits)
            some = await filled.search.search(ROOT, THREE, replace(request, limit=7, offset=5))
            assert shown(some.hits) == shown(merged.hits[5:12])


async def test_scores_follow_documents_that_come_change_and_go(filled: Twins) -> None:
    request = SearchRequest(text="red stone", mode=SearchMode.KEYWORD, limit=COUNT)
    for change in ("delete", "put", "expire"):
        for ref in (ONE, THREE):
            if change == "delete":
                await filled.documents.delete_matching(ROOT, ref, FILTERS[2])
            elif change == "put":
                await filled.documents.upsert(ROOT, ref, documents(80, SEED + 1))
            else:
                red = [
                    IncomingDocument(f"red {row}", vector(row), "red", expires_at=1.0)
                    for row in range(50)
                ]
                await filled.documents.upsert(ROOT, ref, red)
        alone, merged = await both(filled, request)
        assert shown(alone.hits) == shown(merged.hits)
        assert merged.hits


async def test_only_words_in_several_shards_are_asked_for_twice(filled: Twins) -> None:
    kinds: list[type] = []

    async def note(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        kinds.append(type(items[0]))

    filled.hosts.before = note
    words = SearchRequest(text="red", mode=SearchMode.KEYWORD)
    likeness = SearchRequest(vector=vector(1), exact=True)
    for ref, request, asked in (
        (ONE, words, [ShardSearch]),
        (THREE, likeness, [ShardSearch] * 3),
        (THREE, words, [ShardTextStatistics] * 3 + [ShardSearch] * 3),
    ):
        kinds.clear()
        await filled.search.search(ROOT, ref, request)
        assert kinds == asked


async def test_a_text_of_too_many_words_is_refused_alike(filled: Twins) -> None:
    text = " ".join(f"w{number}" for number in range(1025))
    for ref in (ONE, THREE):
        with pytest.raises(InvalidArgument, match="text: must have at most 1024"):
            await filled.search.search(ROOT, ref, SearchRequest(text=text, mode=SearchMode.KEYWORD))


@pytest.mark.parametrize("method", FusionMethod)
async def test_hybrid_search_fuses_the_lists_of_the_whole_collection(
    filled: Twins, method: FusionMethod
) -> None:
    metric = filled.shards.collection.spec.metric
    for number, filter in enumerate(FILTERS):
        hybrid = SearchRequest(
            vector=vector(number),
            text="red river house",
            mode=SearchMode.HYBRID,
            fusion=Fusion(method),
            filter=filter,
            limit=15,
            offset=number,
            exact=True,
        )
        alone = replace(hybrid, fusion=Fusion(), limit=100, offset=0)
        legs = (
            replace(alone, text=None, mode=SearchMode.VECTOR),
            replace(alone, vector=None, mode=SearchMode.KEYWORD, exact=False),
        )
        found_in = [(await filled.search.search(ROOT, ref, hybrid)).hits for ref in (ONE, THREE)]
        assert shown(found_in[0]) == shown(found_in[1])
        for ref in (ONE, THREE):
            lists = [(await filled.search.search(ROOT, ref, leg)).hits for leg in legs]
            expected = fuse(*lists, Fusion(method), metric)[number : number + 15]
            found = (await filled.search.search(ROOT, ref, hybrid)).hits
            assert [(hit.id, hit.score) for hit in found] == expected
            contents = {hit.id: (hit.payload, hit.text) for own in lists for hit in own}
            assert all((hit.payload, hit.text) == contents[hit.id] for hit in found)
            least = found[len(found) // 2].score if found else 0.0
            above = await filled.search.search(ROOT, ref, replace(hybrid, score_threshold=least))
            assert shown(above.hits) == shown([hit for hit in found if hit.score >= least])


async def test_groups_are_the_best_of_all_shards(filled: Twins) -> None:
    for number, filter in enumerate(FILTERS):
        request = SearchRequest(vector=vector(number), filter=filter, exact=True)
        for key, limit, size in (("n", 3, 4), ("tags", 2, 9), ("row", 20, 2), ("n", 50, 100)):
            answers = [
                await filled.search.groups(ROOT, ref, request, key, limit, size)
                for ref in (ONE, THREE)
            ]
            alone, merged = [
                [(scalar_key(group.value), shown(group.hits)) for group in answer.groups]
                for answer in answers
            ]
            assert alone == merged


async def test_groups_by_words_and_by_likeness_leave_out_what_they_must(filled: Twins) -> None:
    request = SearchRequest(id="doc 0001", exact=True)
    alone, merged = [
        (await filled.search.groups(ROOT, ref, request, "tags", 3, 100)).groups
        for ref in (ONE, THREE)
    ]
    assert [shown(group.hits) for group in alone] == [shown(group.hits) for group in merged]
    assert all(hit.id != request.id for group in merged for hit in group.hits)
    words = SearchRequest(text="red paper", mode=SearchMode.KEYWORD)
    alone, merged = [
        (await filled.search.groups(ROOT, ref, words, "n", 10, 100)).groups for ref in (ONE, THREE)
    ]
    assert [shown(group.hits) for group in alone] == [shown(group.hits) for group in merged]
    for refused in (
        replace(words, mode=SearchMode.HYBRID),
        replace(words, offset=1),
        replace(words, explain=True),
        replace(words, score_threshold=0.5),
    ):
        with pytest.raises(InvalidArgument):
            await filled.search.groups(ROOT, THREE, refused, "n")


async def test_facets_count_over_all_shards(filled: Twins) -> None:
    for filter in FILTERS:
        for key, limit in (("n", 5), ("tags", 2), ("row", 50), ("missing", 5)):
            query = FacetQuery(key, limit, filter)
            alone, merged = [await filled.search.facets(ROOT, ref, query) for ref in (ONE, THREE)]
            assert merged.exact
            assert [(scalar_key(f.value), f.count) for f in alone.facets] == [
                (scalar_key(f.value), f.count) for f in merged.facets
            ]


def test_the_service_asks_for_as_many_values_as_a_shard_tells_of() -> None:
    assert search_service.MAX_FACETS == faceting.MAX_FACETS


async def test_counts_gets_and_scrolls_are_those_of_the_whole(filled: Twins) -> None:
    read = filled.documents
    for filter in FILTERS:
        assert await read.count(ROOT, ONE, filter) == await read.count(ROOT, THREE, filter)
        for limit in (1, 7, 100, COUNT, 10_000):
            if limit == 1 and filter is EVERYTHING:
                continue
            pages = [await scrolled(filled, ref, filter, limit) for ref in (ONE, THREE)]
            assert pages[0] == pages[1]
            assert pages[0] == sorted(pages[0])
    ids = ["doc 0003", "doc 0001", "none", "doc 0002", "doc 0001"]
    for ref in (ONE, THREE):
        found = await read.get_many(ROOT, ref, ids, with_vector=True)
        assert [document.id for document in found] == ["doc 0003", "doc 0001", "doc 0002"]
        with pytest.raises(NotFound):
            await read.get(ROOT, ref, "none")


async def scrolled(filled: Twins, ref: Any, filter: Filter, limit: int) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        page = await filled.documents.scroll(ROOT, ref, filter, limit, cursor, with_payload=False)
        assert len(page.documents) == limit or page.next_cursor is None
        assert all(document.payload is None for document in page.documents)
        ids += [document.id for document in page.documents]
        cursor = page.next_cursor
        if cursor is None:
            return ids


async def test_patches_and_deletes_change_the_same_documents(filled: Twins) -> None:
    write = filled.documents
    patch = PayloadPatch(set={"seen": True}, unset=("row",))
    ids = [f"doc {row:04d}" for row in range(30)]
    for ref in (ONE, THREE):
        by_filter = await write.patch_matching(ROOT, ref, patch, FILTERS[1])
        by_ids = await write.patch_ids(ROOT, ref, patch, ids)
        gone = await write.delete_ids(ROOT, ref, ids[10:20])
        more = await write.delete_matching(ROOT, ref, FILTERS[2])
        done = [(w.affected, w.skipped) for w in (by_filter, by_ids, gone, more)]
        assert by_ids.affected + by_ids.skipped == 30
        if ref is ONE:
            expected = done
        assert done == expected
    everything = SearchRequest(vector=vector(3), exact=True, limit=COUNT)
    alone, merged = await both(filled, everything)
    assert _contents(alone.hits) == _contents(merged.hits)
    assert len(merged.hits) < COUNT


def _contents(hits: Any) -> dict[str, bytes | None]:
    return {hit.id: hit.payload for hit in hits if isinstance(hit, Hit)}
