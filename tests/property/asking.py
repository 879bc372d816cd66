"""Rules that ask the shard all kinds of questions, and compare the answers with the oracle's.

Vectors may be equally near, and the shard compares them in single precision. So scores are compared
within a tolerance, and what has just the score of a limit may be there or not.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.filter import EVERYTHING, Filter, Scalar
from akidb_ray.domain.fusion import fuse
from akidb_ray.domain.query import (
    FacetQuery,
    Fusion,
    FusionMethod,
    GroupQuery,
    Hit,
    HybridQuery,
    RangeQuery,
    ScrollQuery,
    TextQuery,
    VectorQuery,
)
from akidb_ray.domain.scalars import ScalarKey, scalar_key
from akidb_ray.shard.faceting import facets
from akidb_ray.shard.grouping import search_groups
from akidb_ray.shard.likeness import like
from akidb_ray.shard.ranging import in_range
from akidb_ray.shard.scrolling import scroll
from tests.property.choices import (
    FILTERS,
    WORDS,
    Draft,
    drafts,
    id_lists,
    ids,
    seeds,
    vectors_of,
)
from tests.property.machine import ALL
from tests.property.naive_text import ranked
from tests.property.oracle import Known
from tests.property.upkeep import Upkeep

TOLERANCE = 1e-3
wide_filters = st.sampled_from([EVERYTHING, EVERYTHING, EVERYTHING, *FILTERS])
keys = st.sampled_from(["n", "n", "tags", "tags[]", "deep.x"])
limits = st.integers(1, 30)
words = st.sampled_from([*WORDS, "runs", "1", "3", "7"])
word_lists = st.lists(words, max_size=3)
group_values = (
    st.none()
    | st.none()
    | st.lists(st.sampled_from(["x", "y", "ü", 1, 2.0, True, "other"]), max_size=4)
)


def values_of(document: Known, key: str) -> dict[ScalarKey, Scalar]:
    """The different strings, numbers and booleans at a path."""
    values = document.flat.get(key.removesuffix("[]"), [])
    return {scalar_key(value): value for value in values if isinstance(value, (str, int, float))}


def close(scores: Iterable[float]) -> Any:
    return pytest.approx(list(scores), rel=1e-4, abs=TOLERANCE)


def asked_for(words: Sequence[str], phrase: Sequence[str]) -> str:
    return " ".join([*words, *([f'"{" ".join(phrase)}"'] if phrase else [])])


class Asking(Upkeep):
    @rule(
        filter=wide_filters,
        limit=limits,
        offset=st.integers(0, 30),
        at=st.integers(0, 60),
        seed=seeds,
    )
    def search_on(self, filter: Filter, limit: int, offset: int, at: int, seed: int) -> None:
        """Behind an offset, and with the score of the document `at` as the threshold."""
        (asked,) = vectors_of(1, seed)
        best = self._best(self.oracle.scores(asked, filter, self.clock.now))
        threshold = best[at][1] if at < len(best) else None
        query = VectorQuery(
            asked, limit, filter, exact=True, offset=offset, score_threshold=threshold
        )
        hits = self.replica.view().search(query, ALL)
        surely, perhaps = self._within(best, threshold)
        assert len(surely[offset:][:limit]) <= len(hits) <= len(perhaps[offset:][:limit])
        assert [hit.score for hit in hits] == close(s for _, s in best[offset:][: len(hits)])
        assert {hit.id for hit in hits} <= set(perhaps)

    @rule(asked=st.lists(st.tuples(seeds, wide_filters, limits, st.booleans()), max_size=5))
    def search_many(self, asked: list[tuple[int, Filter, int, bool]]) -> None:
        queries = [
            VectorQuery(vectors_of(1, seed)[0], limit, filter, exact=exact)
            for seed, filter, limit, exact in asked
        ]
        found = self.replica.view().search_many(queries, ALL, threads=1)
        assert len(found) == len(queries)
        for hits, query in zip(found, queries, strict=True):
            scores = self.oracle.scores(query.vector, query.filter, self.clock.now)
            self._are_the_best(hits, scores, query.limit, query.exact)

    @rule(filter=wide_filters, limit=limits, at=st.integers(0, 60), seed=seeds, exact=st.booleans())
    def search_within_a_radius(
        self, filter: Filter, limit: int, at: int, seed: int, exact: bool
    ) -> None:
        """That of the document `at`."""
        (asked,) = vectors_of(1, seed)
        best = self._best(self.oracle.scores(asked, filter, self.clock.now))
        radius = best[at % len(best)][1] if best else 0.0
        hits = in_range(
            self.replica.view(), RangeQuery(asked, radius, limit, filter, exact=exact), ALL
        )
        surely, perhaps = self._within(best, radius)
        assert len(surely[:limit]) <= len(hits) <= len(perhaps[:limit])
        assert {hit.id for hit in hits} <= set(perhaps)
        if exact or limit >= len(best):
            assert [hit.score for hit in hits] == close(s for _, s in best[: len(hits)])

    @rule(id=ids, filter=wide_filters, limit=limits, exact=st.booleans())
    def search_like(self, id: str, filter: Filter, limit: int, exact: bool) -> None:
        view, alive = self.replica.view(), self.oracle.alive(self.clock.now)
        query = VectorQuery(vectors_of(1, 0)[0], limit, filter, exact=exact)
        if id not in alive:
            with pytest.raises(NotFound):
                like(view, id, query, ALL)
            return
        scores = self.oracle.scores(alive[id].vector, filter, self.clock.now)
        scores.pop(id, None)
        self._are_the_best(like(view, id, query, ALL), scores, limit, exact)

    @rule(
        filter=wide_filters,
        key=keys,
        limit=st.integers(1, 5),
        size=st.integers(1, 5),
        values=group_values,
        seed=seeds,
        exact=st.booleans(),
    )
    def search_groups(
        self,
        filter: Filter,
        key: str,
        limit: int,
        size: int,
        values: Sequence[Scalar] | None,
        seed: int,
        exact: bool,
    ) -> None:
        (asked,) = vectors_of(1, seed)
        query = GroupQuery(VectorQuery(asked, 1, filter, exact=exact), key, limit, size, values)
        found = search_groups(self.replica.view(), query, ALL)
        alive = self.oracle.alive(self.clock.now)
        members: dict[ScalarKey, dict[str, float]] = {}
        for id, score in self.oracle.scores(asked, filter, self.clock.now).items():
            for identity in values_of(alive[id], key):
                if values is None or identity in map(scalar_key, values):
                    members.setdefault(identity, {})[id] = score
        assert len(found) == min(limit, len(members))
        assert len({scalar_key(group.value) for group in found}) == len(found)
        for group in found:
            self._are_the_best(group.hits, members[scalar_key(group.value)], size, exact)
        best = self.oracle.best((self._best(scores)[0][1] for scores in members.values()), limit)
        if exact:
            assert [group.hits[0].score for group in found] == close(best)

    @rule(
        words=word_lists,
        phrase=word_lists,
        filter=wide_filters,
        limit=limits,
        offset=st.sampled_from([0, 0, 1, 5]),
    )
    def search_words(
        self, words: list[str], phrase: list[str], filter: Filter, limit: int, offset: int
    ) -> None:
        now = self.clock.now
        texts = {id: document.text for id, document in self.oracle.alive(now).items()}
        matching, text = set(self.oracle.matching(filter, now)), asked_for(words, phrase)
        best = ranked(texts, matching, text, offset + limit, self.spec.language)[offset:]
        query = TextQuery(text, limit, filter, offset=offset)
        hits = self.replica.view().search(query, ALL)
        assert [hit.id for hit in hits] == [id for _, id in best]
        assert [hit.score for hit in hits] == pytest.approx([score for score, _ in best])

    @rule(
        words=word_lists,
        filter=wide_filters,
        method=st.sampled_from(list(FusionMethod)),
        limit=limits,
        offset=st.integers(0, 3),
        seed=seeds,
    )
    def search_both_ways(
        self,
        words: list[str],
        filter: Filter,
        method: FusionMethod,
        limit: int,
        offset: int,
        seed: int,
    ) -> None:
        """What is asked for by vector and by words is the fusion of what either finds."""
        view, (asked,), text = self.replica.view(), vectors_of(1, seed), asked_for(words, [])
        query = HybridQuery(
            asked, text, Fusion(method), limit, filter, exact=True, candidates=40, offset=offset
        )
        by_vector = view.search(VectorQuery(asked, 40, filter, exact=True), ALL)
        by_text = view.search(TextQuery(text, 40, filter), ALL)
        fused = fuse(by_vector, by_text, query.fusion, self.oracle.metric)[offset:][:limit]
        hits = view.search(query, ALL)
        assert [hit.id for hit in hits] == [id for id, _ in fused]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in fused])

    @rule(filter=wide_filters, key=keys, limit=limits)
    def count_values(self, filter: Filter, key: str, limit: int) -> None:
        now = self.clock.now
        counts: Counter[ScalarKey] = Counter()
        for id in self.oracle.matching(filter, now):
            counts.update(values_of(self.oracle.alive(now)[id], key).keys())
        found = facets(self.replica.view(), FacetQuery(key, limit, filter), ALL)
        best = sorted((-count, identity) for identity, count in counts.items())[:limit]
        assert [(-facet.count, scalar_key(facet.value)) for facet in found] == best

    @rule(filter=wide_filters, limit=limits, draft=drafts, gone=id_lists)
    def scroll(self, filter: Filter, limit: int, draft: Draft, gone: list[str]) -> None:
        """All pages of a view; then all again, while others write."""
        view, now = self.replica.view(), self.clock.now
        assert self._scrolled(limit, filter, lambda: view) == self.oracle.matching(filter, now)
        before, steps = self.oracle.alive(now), iter(range(1_000))

        def meanwhile() -> Any:
            step = next(steps)
            self.upsert(Draft(draft.ids[step : step + 2], draft.payloads, seed=step))
            self.delete(gone[step : step + 2])
            return self.replica.view()

        found = self._scrolled(limit, filter, meanwhile)
        assert found == sorted(set(found))
        stayed = set(before) - set(draft.ids) - set(gone)
        matching = set(self.oracle.matching(filter, now))
        assert stayed & matching <= set(found) <= (stayed & matching) | set(draft.ids) | set(gone)

    def _scrolled(self, limit: int, filter: Filter, view_of_page: Callable[[], Any]) -> list[str]:
        found: list[str] = []
        while True:
            query = ScrollQuery(limit, found[-1] if found else None, filter)
            page = scroll(view_of_page(), query, ALL)
            found += [document.id for document in page]
            if len(page) < limit:
                return found

    def _are_the_best(
        self, hits: Sequence[Hit], scores: dict[str, float], limit: int, exact: bool
    ) -> None:
        """As many of these documents as there can be, and the best ones if `exact`."""
        best = self.oracle.best(scores.values(), limit)
        assert len(hits) == len({hit.id for hit in hits}) == len(best)
        assert [hit.score for hit in hits] == close(scores[hit.id] for hit in hits)
        if exact:
            assert [hit.score for hit in hits] == close(best)

    def _best(self, scores: dict[str, float]) -> list[tuple[str, float]]:
        sign = -1 if self.oracle.metric.larger_is_better else 1
        return sorted(scores.items(), key=lambda item: sign * item[1])

    def _within(
        self, best: list[tuple[str, float]], least: float | None
    ) -> tuple[list[str], list[str]]:
        """Ids of the documents that surely and that perhaps score `least`, best first."""
        if least is None:
            return [id for id, _ in best], [id for id, _ in best]
        sign = 1 if self.oracle.metric.larger_is_better else -1
        spare = TOLERANCE + 1e-4 * abs(least)
        surely = [id for id, score in best if sign * (score - least) > spare]
        return surely, [id for id, score in best if sign * (score - least) >= -spare]
