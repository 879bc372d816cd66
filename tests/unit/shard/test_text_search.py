"""Keyword search in a shard: scores do not depend on segments, seals, merges and filters."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from akidb_ray.domain.collection import Language
from akidb_ray.domain.document import NEVER, DocumentBatch
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import EVERYTHING, Filter, RowFilter
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.segment.view import view_of
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.text_search import search_text
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.property.naive_text import Scored, ranked
from tests.unit.shard.shards import (
    POLICY,
    SHARD,
    SPEC,
    Clock,
    delete,
    only,
    opened,
    reopened,
    seal,
    vectors_for,
)

FILMS = {
    "alien": "In space no one hears the crew of a spaceship",
    "blade": "A blade runner hunts replicants; the film of rain and neon",
    "casa": "War, love and a café in Casablanca",
    "dune": "War over the spice of a desert planet, a war of worlds",
    "empty": "",
    "fog": "Films about fog. A film, a fog, the films",
    "none": None,
}


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path)


def put(
    replica: Replica,
    texts: Mapping[str, str | None],
    expires_at: float = NEVER,
    payload: Mapping[str, Any] | None = None,
) -> None:
    raw = None if payload is None else orjson.dumps(payload)
    batch = DocumentBatch(
        list(texts),
        vectors_for(list(texts)),
        list(texts.values()),
        [raw] * len(texts),
        np.full(len(texts), expires_at),
    )
    replica.write(ShardUpsert(SHARD, batch, RowFilter()))


def found(
    replica: Replica,
    text: str,
    limit: int = 10,
    filter: Filter = EVERYTHING,
    language: Language = Language.ENGLISH,
) -> Scored:
    view = replica.view()
    masks = [segment.allowed((filter,), view.now) for segment in view.segments]
    hits = search_text(view.segments, masks, view.now, language, text, limit)
    for _, id, segment, row in hits:
        assert segment.segment.row(row).id == id
    return [(-score, id) for score, id, _, _ in hits]


QUERIES = ["war", "film fog", "the", "a war film", '"war of worlds"', '"film of" rain', "café", "x"]


@pytest.mark.parametrize("query", QUERIES)
def test_scores_are_those_of_bm25(fs: OsFileSystem, query: str) -> None:
    replica = opened(fs)
    put(replica, FILMS)
    assert found(replica, query) == ranked(FILMS, set(FILMS), query, 10)
    assert found(replica, query, limit=1) == ranked(FILMS, set(FILMS), query, 1)
    replica.close()


def test_seals_merges_and_reopenings_change_no_score(fs: OsFileSystem) -> None:
    replica = opened(fs, replace(POLICY, index_min_rows=2, merge_factor=2))
    before: list[Scored] = []

    def check() -> None:
        assert [found(replica, query) for query in QUERIES] == before

    put(replica, {"fog": "an older text about war"})
    for number, (id, text) in enumerate(FILMS.items()):
        put(replica, {id: text})
        if number == 3:
            replica.freeze()
    put(replica, {"gone": "war film in space"})
    delete(replica, "gone")
    before = [found(replica, query) for query in QUERIES]
    assert before == [ranked(FILMS, set(FILMS), query, 10) for query in QUERIES]
    seal(replica)
    check()
    replica = reopened(replica)
    check()
    put(replica, {"gone": "the war is over"})
    seal(replica)
    delete(replica, "gone")
    check()
    seal(replica)
    replica = reopened(replica)
    check()
    replica.close()


def test_filters_choose_and_leave_scores_as_they_are(fs: OsFileSystem) -> None:
    replica = opened(fs)
    put(replica, {id: FILMS[id] for id in ("alien", "dune", "fog")}, payload={"n": 1})
    put(replica, {id: FILMS[id] for id in ("blade", "casa", "none")}, payload={"n": 2})
    for query in QUERIES:
        everything = found(replica, query)
        chosen = found(replica, query, filter=only("n", 1))
        assert chosen == [hit for hit in everything if hit[1] in ("alien", "dune", "fog")]
    replica.close()


def test_expired_documents_count_for_nothing(fs: OsFileSystem) -> None:
    clock = Clock()
    replica = opened(fs, clock=clock)
    put(replica, FILMS)
    put(replica, {"brief": "war war film", "short": "war"}, expires_at=clock.now + 10)
    texts = {**FILMS, "brief": "war war film", "short": "war"}
    for _ in range(2):
        assert found(replica, "war film") == ranked(texts, set(texts), "war film", 10)
    clock.now += 11
    for _ in range(2):
        assert found(replica, "war film") == ranked(FILMS, set(FILMS), "war film", 10)
    seal(replica)
    assert found(replica, "war film") == ranked(FILMS, set(FILMS), "war film", 10)
    replica.close()


def test_documents_with_the_same_score_come_in_the_order_of_their_ids(fs: OsFileSystem) -> None:
    replica = opened(fs)
    ids = [f"{number:03d}" for number in np.random.default_rng(1).permutation(200)]
    for start in range(0, 200, 50):
        put(replica, dict.fromkeys(ids[start : start + 50], "the same war"))
        if start < 100:
            seal(replica)
    assert [id for _, id in found(replica, "war", limit=30)] == sorted(ids)[:30]
    replica.close()


def test_language_decides_what_is_found(fs: OsFileSystem) -> None:
    replica = opened(fs, spec=replace(SPEC, language=Language.GERMAN))
    texts = {"a": "Die Häuser der Stadt", "b": "ein Haus", "c": "houses"}
    put(replica, texts)
    for _ in range(2):
        assert {id for _, id in found(replica, "Haus", language=Language.GERMAN)} == {"a", "b"}
        assert {id for _, id in found(replica, "haus", language=Language.NONE)} == {"b"}
        assert {id for _, id in found(replica, "house", language=Language.ENGLISH)} == {"c"}
        seal(replica)
    replica.close()


@pytest.mark.parametrize("text", ["", " !? ", "unknown", '"fog war"', '"the unknown"'])
def test_texts_that_nothing_has_find_nothing(fs: OsFileSystem, text: str) -> None:
    replica = opened(fs)
    assert found(replica, text) == []
    put(replica, FILMS)
    assert found(replica, text) == []
    assert found(replica, "war", limit=0) == []
    replica.close()


def test_too_many_words_are_refused(fs: OsFileSystem) -> None:
    replica = opened(fs)
    with pytest.raises(InvalidArgument, match="text"):
        found(replica, " ".join(f"w{number}" for number in range(1025)))
    replica.close()


def test_older_views_see_their_rows_only(fs: OsFileSystem) -> None:
    replica = opened(fs)
    put(replica, {id: FILMS[id] for id in ("casa", "fog")})
    older = replica.view()
    put(replica, {"dune": FILMS["dune"]})
    assert [id for _, id in found(replica, "war")] == ["dune", "casa"]
    masks = [segment.live for segment in older.segments]
    (hit,) = search_text(older.segments, masks, older.now, Language.ENGLISH, "war", 10)
    texts = {id: FILMS[id] for id in ("casa", "fog")}
    assert [(-hit[0], hit[1])] == ranked(texts, set(texts), "war", 10)
    replica.close()


def test_searches_beside_writes_see_whole_batches(fs: OsFileSystem) -> None:
    replica = opened(fs)
    done, errors = threading.Event(), []

    def read() -> None:
        try:
            while not done.is_set():
                hits = found(replica, "war", limit=10_000)
                assert len(hits) % 5 == 0
                # All texts are alike, so all scores are.
                assert len({score for score, _ in hits}) <= 1
                assert [id for _, id in hits] == sorted(id for _, id in hits)
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(60):
        put(replica, {f"{number:03d}-{row}": "a long war" for row in range(5)})
        if number % 20 == 19:
            seal(replica)
    done.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert len(found(replica, "war", limit=10_000)) == 300
    replica.close()


def test_sums_over_rows_that_do_not_change_are_remembered(fs: OsFileSystem) -> None:
    replica = opened(fs)
    put(replica, FILMS)
    (segment,) = replica.view().segments
    assert segment.text_totals == {}
    found(replica, "war")
    (totals,) = segment.text_totals.values()
    assert totals.documents == 5
    assert view_of(segment.segment, segment.live).text_totals == {}
    replica.close()
