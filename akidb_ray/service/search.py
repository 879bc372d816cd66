"""Search over all shards of a collection: one call per host for each step, however many searches
are carried out together. The steps are those of `OneSearch`.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from akidb_ray.access.authorization import Action, Principal
from akidb_ray.domain.bounds import check_whole
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.merging import merge_facets
from akidb_ray.domain.query import FacetQuery, ShardFacets, ShardRead
from akidb_ray.service.collections import CollectionRef, Collections
from akidb_ray.service.fan_out import (
    NO_DEADLINE,
    Deadline,
    ask_shards,
    least_of,
    present,
    shard_key,
    within,
)
from akidb_ray.service.group_search import GroupSearch
from akidb_ray.service.one_search import OneSearch
from akidb_ray.service.ports import Embedders, ShardHosts
from akidb_ray.service.search_request import (
    FacetsAnswer,
    GroupsAnswer,
    SearchAnswer,
    SearchMode,
    SearchRequest,
)

__all__ = ["FacetsAnswer", "GroupsAnswer", "Search", "SearchAnswer", "SearchMode", "SearchRequest"]
# As many as a shard tells of, see shard/faceting.py, which brings the index libraries along.
MAX_FACETS = 10_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Search:
    collections: Collections
    hosts: ShardHosts
    embedders: Embedders

    async def search(
        self, principal: Principal, ref: CollectionRef, request: SearchRequest
    ) -> SearchAnswer:
        """The best documents of the whole collection, best first, ties by id.

        Raises InvalidArgument that names the field, NotFound for the document that others are to be
        like, Unavailable and DeadlineExceeded.
        """
        (answer,) = await self.batch(principal, ref, [request])
        return _value(answer)

    async def batch(
        self, principal: Principal, ref: CollectionRef, requests: Sequence[SearchRequest]
    ) -> list[SearchAnswer | AkiDBError]:
        """The answer to each request, in their order: one that is wrong or late harms no other.

        Those with the same `timeout_ms` and `partial_results` share one call per host and step, and
        all their texts one call of the embedder.
        """
        deadlines = {r.timeout_ms: _deadline_of(r) for r in requests}
        place, visible = await self._searchable(principal, ref, _last_of(deadlines.values()))
        together: dict[tuple[int | None, bool], list[_Attempt]] = {}
        attempts = [_Attempt(place, visible, request) for request in requests]
        for attempt in attempts:
            alike = attempt.request.timeout_ms, attempt.request.partial_results
            together.setdefault(alike, []).append(attempt)
        steps = [
            self._carry_out(place, own, deadlines[timeout_ms], partial)
            for (timeout_ms, partial), own in together.items()
        ]
        await _together(steps)
        return [attempt.answer() for attempt in attempts]

    async def groups(
        self,
        principal: Principal,
        ref: CollectionRef,
        request: SearchRequest,
        key: str,
        limit: int = 10,
        size: int = 3,
    ) -> GroupsAnswer:
        """The best `limit` groups of documents that share a value at the payload path `key`, by
        their best document, and the best `size` documents of each, over all shards.

        They are the true ones when the request is `exact` or for words; else as good as the graphs.
        The request's own `limit` is not looked at. Raises InvalidArgument for an offset, a
        threshold, an explanation or the mode `hybrid`.
        """
        deadline = Deadline.after(request.timeout_ms)
        place, visible = await self._searchable(principal, ref, deadline)
        attempt = _Attempt(place, visible, request)
        await self._prepare(place, [attempt], deadline, request.partial_results)
        groups = GroupSearch.of(attempt.result(), key, limit, size)
        first = deadline.halfway() if request.partial_results else deadline
        groups.take(await ask_shards(self.hosts, place, groups.reads(), first))
        more = groups.more_reads()
        groups.take_more(more, await ask_shards(self.hosts, place, more, deadline))
        return groups.answer()

    async def facets(
        self,
        principal: Principal,
        ref: CollectionRef,
        query: FacetQuery,
        min_version: str | None = None,
        timeout_ms: int | None = None,
    ) -> FacetsAnswer:
        """The most frequent values at a payload path, most frequent first.

        Exact over all shards as long as none of them has more than MAX_FACETS different values that
        pass; beyond that a shard tells of its MAX_FACETS most frequent ones, counts may be too
        small, and the answer says that it is not exact.
        """
        check_whole("limit", query.limit, 1, MAX_FACETS)
        deadline = Deadline.after(timeout_ms)
        place, visible = await self._searchable(principal, ref, deadline)
        least = least_of(place, min_version)
        alone = len(place.placements) == 1
        limit = query.limit if alone else MAX_FACETS
        asked = FacetQuery(query.key, limit, query.filter)
        reads = [
            ShardFacets(shard_key(place, p.number), asked, visible, least.get(p.number, 0))
            for p in place.placements
        ]
        answers = await ask_shards(self.hosts, place, reads, deadline)
        found, _ = present([p.number for p in place.placements], answers, partial=False)
        exact = alone or all(len(part) < limit for part in found.values())
        return FacetsAnswer(merge_facets(found.values(), query.limit), exact)

    async def _carry_out(
        self,
        place: CollectionPlace,
        attempts: Sequence["_Attempt"],
        deadline: Deadline,
        partial: bool,
    ) -> None:
        await self._prepare(place, attempts, deadline, partial)
        live = _live(attempts)
        reads = [attempt.search.reads() for attempt in live]
        others_follow = any(attempt.search.needs_contents for attempt in live)
        first = deadline.halfway() if partial and others_follow else deadline
        found = await self._ask(place, reads, first)
        for attempt, answers in zip(live, found, strict=True):
            attempt.step(attempt.search.take, answers)
        live = [attempt for attempt in _live(attempts) if attempt.search.needs_contents]
        if not live:
            return
        gets = [attempt.search.content_reads() for attempt in live]
        contents = await self._ask(place, gets, deadline)
        for attempt, asked, documents in zip(live, gets, contents, strict=True):
            if asked:
                attempt.step(attempt.search.take_contents, asked, documents)

    async def _ask(
        self,
        place: CollectionPlace,
        reads: Sequence[Sequence[ShardRead[T]]],
        deadline: Deadline,
    ) -> list[list[T | AkiDBError]]:
        """The answers to several lists of reads, asked together."""
        every = [read for own in reads for read in own]
        answers = iter(await ask_shards(self.hosts, place, every, deadline))
        return [[next(answers) for _ in own] for own in reads]

    async def _searchable(
        self, principal: Principal, ref: CollectionRef, deadline: Deadline
    ) -> tuple[CollectionPlace, RowFilter]:
        ready = self.collections.ready(principal, ref, Action.READ_DOCUMENTS)
        return await within(deadline, ready, "the collection was not found in time")

    async def _prepare(
        self,
        place: CollectionPlace,
        attempts: Sequence["_Attempt"],
        deadline: Deadline,
        partial: bool,
    ) -> None:
        """Find out what the searches need to know before they can begin. A `partial` one needs time
        after it, when a shard has not answered.
        """
        live = _live(attempts)
        comparing = [attempt for attempt in live if attempt.search.needs_vector]
        counting = [attempt for attempt in live if attempt.search.needs_statistics]
        steps = []
        if comparing:
            steps.append(self._find_vectors(place, comparing, deadline))
        if counting:
            first = deadline.halfway() if partial else deadline
            steps.append(self._find_statistics(place, counting, first))
        await _together(steps)

    async def _find_statistics(
        self, place: CollectionPlace, attempts: Sequence["_Attempt"], deadline: Deadline
    ) -> None:
        reads = [attempt.search.statistics_reads() for attempt in attempts]
        found = await self._ask(place, reads, deadline)
        for attempt, answers in zip(attempts, found, strict=True):
            attempt.step(attempt.search.take_statistics, answers)

    async def _find_vectors(
        self, place: CollectionPlace, attempts: Sequence["_Attempt"], deadline: Deadline
    ) -> None:
        """Of texts, and of documents that others are to be like."""
        await self._embed(place, attempts, deadline)
        alike = [(a, read) for a in _live(attempts) if (read := a.search.vector_read()) is not None]
        answers = await ask_shards(self.hosts, place, [read for _, read in alike], deadline)
        for (attempt, _), answer in zip(alike, answers, strict=True):
            if isinstance(answer, AkiDBError):
                attempt.error = answer
            else:
                attempt.search.vector = answer

    async def _embed(
        self, place: CollectionPlace, attempts: Sequence["_Attempt"], deadline: Deadline
    ) -> None:
        asking = [(a, t) for a in _live(attempts) if (t := a.search.text_to_embed) is not None]
        model = place.collection.spec.embedding_model
        if not asking or model is None:
            return
        embedding = self.embedders.embed(model, [text for _, text in asking], "query")
        try:
            embedded = await within(deadline, embedding, "the text was not embedded in time")
        except AkiDBError as error:
            for attempt, _ in asking:
                attempt.error = error
            return
        for (attempt, _), vector in zip(asking, embedded.vectors, strict=True):
            attempt.search.vector = vector


class _Attempt:
    """A search among others: what goes wrong with it stays its own."""

    def __init__(self, place: CollectionPlace, visible: RowFilter, request: SearchRequest) -> None:
        self.request = request
        self.error: AkiDBError | None = None
        self._search: OneSearch | None = None
        try:
            self._search = OneSearch.of(place, visible, request)
        except AkiDBError as error:
            self.error = error

    @property
    def search(self) -> OneSearch:
        """Only while there is no error."""
        assert self._search is not None
        return self._search

    def step(self, take: Callable[..., None], *arguments: object) -> None:
        try:
            take(*arguments)
        except AkiDBError as error:
            self.error = error

    def result(self) -> OneSearch:
        """The search, unless something went wrong."""
        if self.error is not None:
            raise self.error
        return self.search

    def answer(self) -> SearchAnswer | AkiDBError:
        return self.search.answer() if self.error is None else self.error


async def _together(steps: Sequence[Coroutine[Any, Any, None]]) -> None:
    if len(steps) == 1:
        # Without a task of its own.
        await steps[0]
    elif steps:
        await asyncio.gather(*steps)


def _live(attempts: Sequence[_Attempt]) -> list[_Attempt]:
    return [attempt for attempt in attempts if attempt.error is None]


def _deadline_of(request: SearchRequest) -> Deadline:
    """None for a timeout that makes no sense, which the request's check will say."""
    try:
        return Deadline.after(request.timeout_ms)
    except InvalidArgument:
        return NO_DEADLINE


def _last_of(deadlines: Collection[Deadline]) -> Deadline:
    times = [deadline.at for deadline in deadlines if deadline.at is not None]
    return Deadline(max(times)) if times and len(times) == len(deadlines) else NO_DEADLINE


def _value(answer: SearchAnswer | AkiDBError) -> SearchAnswer:
    if isinstance(answer, AkiDBError):
        raise answer
    return answer
