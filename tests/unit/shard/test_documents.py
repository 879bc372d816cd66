"""Upsert, delete, get, count and search mean the same wherever the documents are."""

from collections.abc import Callable

import numpy as np
import pytest

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import InvalidArgument, TooLarge
from akidb_ray.domain.filter import Filter, Match, Range, RowFilter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.status import status_of
from tests.unit.shard.shards import (
    DIMENSION,
    INDEXED,
    SHARD,
    count,
    crashed,
    delete,
    delete_where,
    get,
    ids_of,
    only,
    opened,
    seal,
    search,
    upsert,
    vectors_for,
)
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Settle = Callable[[Replica], None]


def test_upserted_document_comes_back_whole(replica: Replica, settle: Settle) -> None:
    outcome = upsert(replica, "a", "b", payload={"n": 1})
    settle(replica)
    (found,) = get(replica, "b")
    assert (found.id, found.text, found.payload) == ("b", "text 0 of b", b'{"n":1}')
    assert found.version == outcome.sequence
    np.testing.assert_array_equal(found.vector, vectors_for(["b"])[0])
    assert outcome.affected == 2


def test_missing_documents_are_left_out_and_order_is_kept(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", "b", "c")
    settle(replica)
    assert [d.id for d in get(replica, "c", "missing", "a")] == ["c", "a"]
    assert get(replica) == []


def test_later_document_takes_the_place_of_the_former(replica: Replica, settle: Settle) -> None:
    first = upsert(replica, "a", "b", payload={"n": 1})
    settle(replica)
    second = upsert(replica, "a", payload={"n": 2}, seed=1)
    a, b = get(replica, "a", "b")
    assert (a.payload, b.payload) == (b'{"n":2}', b'{"n":1}')
    assert b.version == first.sequence < a.version == second.sequence
    np.testing.assert_array_equal(a.vector, vectors_for(["a"], seed=1)[0])
    assert count(replica) == 2
    assert count(replica, only("n", 1)) == 1
    settle(replica)
    assert [h.id for h in search(replica, vectors_for(["a"], seed=1)[0], limit=9)] == ["a", "b"]


def test_last_of_equal_ids_in_a_batch_wins(replica: Replica, settle: Settle) -> None:
    payloads = [{"n": 1}, {"n": 2}, {"n": 3}]
    outcome = upsert(replica, "a", "b", "a", payloads=payloads)
    settle(replica)
    assert outcome.affected == 2
    assert [d.payload for d in get(replica, "a", "b")] == [b'{"n":3}', b'{"n":2}']
    assert count(replica) == 2


def test_deleted_document_is_gone_and_can_come_back(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", "b", "c")
    settle(replica)
    assert delete(replica, "a", "missing", "a", "c").affected == 2
    assert get(replica, "a", "c") == []
    assert ids_of(replica) == ["b"]
    assert delete(replica, "a").affected == 0
    settle(replica)
    upsert(replica, "a", seed=3)
    assert ids_of(replica) == ["a", "b"]
    assert get(replica, "a")[0].text == "text 3 of a"


def test_delete_by_filter_removes_what_passes(replica: Replica, settle: Settle) -> None:
    ids = [str(number) for number in range(10)]
    upsert(replica, *ids, payloads=[{"n": number} for number in range(10)])
    settle(replica)
    assert delete_where(replica, Filter((Range("n", gte=3),))).affected == 7
    assert ids_of(replica) == ["0", "1", "2"]
    assert delete_where(replica, only("n", 99)).affected == 0
    assert delete_where(replica, Filter()).affected == 3
    assert count(replica) == 0


def test_delete_by_filter_sees_the_writes_before_it_in_its_group(replica: Replica) -> None:
    upsert(replica, "a", payload={"n": 1})
    upsert(replica, "a", payload={"n": 2})
    assert delete_where(replica, only("n", 1)).affected == 0
    assert delete_where(replica, only("n", 2)).affected == 1


def test_counts_are_exact_under_filters(replica: Replica, settle: Settle) -> None:
    ids = [str(number) for number in range(10)]
    upsert(replica, *ids, payloads=[{"n": number, "even": number % 2 == 0} for number in range(10)])
    settle(replica)
    delete(replica, "0", "1")
    assert count(replica) == 8
    assert count(replica, only("even", True)) == 4
    assert count(replica, Filter((Match("even", (True,)), Range("n", lt=5)))) == 2
    assert count(replica, only("even", 1)) == 0


def test_search_finds_the_nearest_that_pass(replica: Replica, settle: Settle) -> None:
    ids = [f"{number:02}" for number in range(50)]
    upsert(replica, *ids, payloads=[{"n": number % 3} for number in range(50)])
    settle(replica)
    upsert(replica, *ids[:10], seed=1)
    delete(replica, *ids[10:20])
    asked = vectors_for(["question"])[0]
    alive = [(vectors_for([i], 0)[0], i) for i in ids[20:] if int(i) % 3 == 2]
    alive.sort(key=lambda pair: float(np.linalg.norm(pair[0] - asked)))
    hits = search(replica, asked, limit=7, filter=only("n", 2), with_vector=True)
    assert [h.id for h in hits] == [i for _, i in alive[:7]]
    for hit, (vector, _) in zip(hits, alive, strict=False):
        assert hit.score == pytest.approx(float(np.linalg.norm(vector - asked)), rel=1e-5)
        assert hit.payload == b'{"n":2}'
        np.testing.assert_array_equal(hit.vector, vector)


def test_equally_near_documents_come_in_order_of_id(replica: Replica) -> None:
    same = np.ones((4, DIMENSION), np.float32)
    upsert(replica, "d", "b", vectors=same[:2])
    seal(replica)
    upsert(replica, "c", "a", vectors=same[:2])
    assert [h.id for h in search(replica, same[0], limit=10)] == ["a", "b", "c", "d"]


def test_hits_hold_only_what_was_asked_for(replica: Replica) -> None:
    upsert(replica, "a", payload={"n": 1})
    (bare,) = search(replica, vectors_for(["a"])[0], with_payload=False)
    assert (bare.payload, bare.text, bare.vector) == (None, None, None)


def test_empty_shard_finds_nothing(replica: Replica) -> None:
    assert search(replica, vectors_for(["a"])[0]) == []
    assert (count(replica), ids_of(replica)) == (0, [])
    assert delete_where(replica, Filter()).affected == 0
    assert upsert(replica).affected == 0


@pytest.mark.parametrize("magnitude", [1e-20, 1e-3, 1.0, 1e6, 1e17])
def test_cosine_vector_comes_back_within_rounding(
    fs: WatchedFileSystem, settle: Settle, magnitude: float
) -> None:
    replica = opened(fs, INDEXED, CollectionSpec(DIMENSION, Metric.COSINE))
    ids = [str(number) for number in range(30)]
    vectors = (vectors_for(ids) * magnitude).astype(np.float32)
    upsert(replica, *ids, vectors=vectors)
    settle(replica)
    for again in (replica, crashed(replica)):
        found = np.array([d.vector for d in get(again, *ids)])
        np.testing.assert_allclose(found, vectors, rtol=1e-6)
        (best,) = search(again, vectors[7], limit=1, with_vector=True)
        assert best.id == "7"
        assert best.score == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(best.vector, vectors[7], rtol=1e-6)


@pytest.mark.parametrize("metric", Metric)
def test_score_is_what_users_know(fs: WatchedFileSystem, metric: Metric) -> None:
    replica = opened(fs, INDEXED, CollectionSpec(DIMENSION, metric))
    a, b = vectors_for(["a", "b"])
    upsert(replica, "a", vectors=a[None])
    expected = {
        Metric.COSINE: float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
        Metric.DOT: float(a @ b),
        Metric.L2: float(np.linalg.norm(a - b)),
    }
    assert search(replica, b)[0].score == pytest.approx(expected[metric], rel=1e-5)


@pytest.mark.parametrize(
    "payload", [b"{", b"[]", b'{"a":' * 900 + b"1" + b"}" * 900, b'{"n": 1' + b"0" * 400 + b"}"]
)
def test_payload_that_could_not_be_read_again_never_gets_into_the_log(
    replica: Replica, payload: bytes
) -> None:
    bad = DocumentBatch(["a"], vectors_for(["a"]), [None], [payload])
    with pytest.raises(InvalidArgument):
        replica.write(ShardUpsert(SHARD, bad, RowFilter()))
    upsert(replica, "b")
    assert ids_of(crashed(replica)) == ["b"]


def test_vector_that_does_not_fit_is_refused_and_nothing_kept(replica: Replica) -> None:
    for vectors in (np.ones((2, DIMENSION + 1)), np.full((2, DIMENSION), np.nan)):
        with pytest.raises(InvalidArgument):
            upsert(replica, "a", "b", vectors=vectors.astype(np.float32))
    with pytest.raises(InvalidArgument):
        search(replica, np.ones(DIMENSION - 1, np.float32))
    assert count(replica) == 0


def test_document_above_the_limit_of_a_record_is_refused(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("akidb_ray.shard.operations.MAX_CONTENT_BYTES", 2000)
    with pytest.raises(TooLarge):
        upsert(replica, "a", payload={"s": "x" * 2000})
    upsert(replica, "b")
    assert ids_of(replica) == ["b"]


def test_batch_above_the_limit_of_a_record_is_one_write_of_several(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("akidb_ray.shard.operations.MAX_CONTENT_BYTES", 2000)
    ids = [f"{number:02}" for number in range(40)]
    outcome = upsert(replica, *ids, payload={"s": "x" * 500})
    assert outcome.affected == 40
    assert {d.version for d in get(replica, *ids)} == {outcome.sequence}
    assert outcome.sequence > 10, "records of one group"
    delete(replica, *ids[:5])
    before = [(d.id, d.version, d.payload) for d in get(replica, *ids)]
    again = crashed(replica)
    assert [(d.id, d.version, d.payload) for d in get(again, *ids)] == before
    assert len(before) == 35


def test_view_stays_as_it_was_while_writes_go_on(replica: Replica, settle: Settle) -> None:
    ids = [str(number) for number in range(40)]
    upsert(replica, *ids, payloads=[{"n": number} for number in range(40)])
    settle(replica)
    view, asked = replica.view(), vectors_for(["question"])[0]
    query = VectorQuery(asked, limit=100, with_vector=True)

    def contents() -> list[object]:
        hits = view.search(query, RowFilter())
        documents = view.get([*ids, "new"], RowFilter(), with_vector=True)
        rows = [(d.id, d.version, d.text, d.payload, d.vector.tolist()) for d in documents]
        found = [(h.id, h.score, h.version, h.payload) for h in hits]
        counts = [view.count(Filter((Range("n", lt=20),)), RowFilter()), view.documents]
        return [
            rows,
            found,
            counts,
            view.sequence,
            sorted(view.matching_ids(Filter(), RowFilter())),
        ]

    before = contents()
    upsert(replica, *ids[:10], "new", seed=1, payload={"n": 0})
    assert contents() == before
    delete(replica, *ids[5:30])
    for number in range(300):
        upsert(replica, f"more-{number}")
    assert contents() == before
    seal(replica)
    upsert(replica, *ids, seed=2)
    seal(replica)
    assert contents() == before
    replica.close()
    assert contents() == before


def test_sequence_rises_with_every_write(replica: Replica) -> None:
    outcomes = [upsert(replica, "a"), delete(replica, "a"), upsert(replica, "a"), delete(replica)]
    assert [o.sequence for o in outcomes] == [1, 2, 3, 4]
    assert replica.view().sequence == 4


def test_status_counts_what_is_there(replica: Replica) -> None:
    upsert(replica, *map(str, range(30)))
    assert status_of(replica).unindexed == status_of(replica).documents == 30
    seal(replica)
    upsert(replica, "new")
    delete(replica, "0")
    status = status_of(replica)
    assert (status.documents, status.unindexed, status.segments) == (30, 1, 2)
    assert status.wal_bytes == replica.wal.size_bytes > 0
