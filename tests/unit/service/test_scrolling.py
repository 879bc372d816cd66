"""A page of a scroll over shards: whole, in order, and without reading much more than it shows."""

import random
from collections import Counter

import pytest

from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.ids import slot_of
from akidb_ray.domain.placement import shard_of
from akidb_ray.service.scrolling import ScrollMerge


def spread(ids: list[str], shards: int) -> dict[int, list[str]]:
    parts: dict[int, list[str]] = {number: [] for number in range(shards)}
    for document_id in sorted(ids):
        parts[shard_of(slot_of(document_id), shards)].append(document_id)
    return parts


def page_of(
    parts: dict[int, list[str]], after: str | None, limit: int
) -> tuple[list[str], str | None, Counter[int]]:
    """The ids of a page, where the next one starts, and how many documents each shard read."""
    merge, read = ScrollMerge(list(parts), after, limit), Counter[int]()
    while asked := merge.ask():
        for number, (count, behind) in asked.items():
            found = [id for id in parts[number] if behind is None or id > behind][:count]
            read[number] += len(found)
            merge.take(number, [StoredDocument(id, 1) for id in found])
    documents, last = merge.page()
    return [document.id for document in documents], last, read


@pytest.mark.parametrize("shards", [1, 2, 16])
@pytest.mark.parametrize("limit", [1, 10, 333, 1000, 2000])
def test_pages_hold_every_document_once_and_in_order(shards: int, limit: int) -> None:
    ids = [f"{number:x}" for number in random.Random(limit).sample(range(10**6), 1000)]
    parts, seen = spread(ids, shards), list[str]()
    after: str | None = None
    while True:
        page, after, _ = page_of(parts, after, limit)
        seen += page
        if after is None:
            break
        assert len(page) == limit
        assert after == page[-1]
    assert seen == sorted(ids)


def test_documents_that_lie_in_one_shard_are_all_found() -> None:
    ids = [str(number) for number in range(3000)]
    parts = spread(ids, 4)
    lonely = {number: part if number == 2 else [] for number, part in parts.items()}
    uneven = {number: part if number == 2 else part[::50] for number, part in parts.items()}
    for shards in (lonely, uneven):
        expected = sorted(id for part in shards.values() for id in part)
        page, after, _ = page_of(shards, None, 500)
        assert page == expected[:500]
        assert after == page[-1]
        assert page_of(shards, after, 5000)[0] == expected[500:]


@pytest.mark.parametrize(("shards", "limit"), [(1, 10_000), (16, 1000)])
def test_little_more_is_read_than_is_shown(shards: int, limit: int) -> None:
    parts = spread([str(number) for number in range(30_000)], shards)
    page, _, read = page_of(parts, None, limit)
    assert len(page) == limit
    assert read.total() <= 1.7 * limit
    assert shards > 1 or read.total() == limit + 1
