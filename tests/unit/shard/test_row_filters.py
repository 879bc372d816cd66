"""What a principal may not see, it can neither read, nor overwrite, nor delete."""

from collections.abc import Callable

import pytest

from akidb_ray.domain.errors import Forbidden
from akidb_ray.domain.filter import Filter, RowFilter
from akidb_ray.domain.query import ShardVersions
from akidb_ray.domain.write import ShardDelete
from akidb_ray.shard.reading import answer
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import (
    SHARD,
    count,
    crashed,
    delete,
    delete_where,
    get,
    ids_of,
    only,
    patch,
    search,
    upsert,
    vectors_for,
)

OURS = RowFilter(only("team", "ours"))


@pytest.fixture
def filled(replica: Replica, settle: Callable[[Replica], None]) -> Replica:
    upsert(replica, "a", "b", payload={"team": "ours"})
    upsert(replica, "x", "y", payload={"team": "theirs"})
    upsert(replica, "z")
    settle(replica)
    return replica


def test_only_visible_documents_are_read(filled: Replica) -> None:
    assert [d.id for d in get(filled, "a", "x", "z", visible=OURS)] == ["a"]
    versions = answer(filled.view(), ShardVersions(SHARD, ["a", "x", "none"], OURS))
    assert versions == {"a": get(filled, "a")[0].version}
    hits = search(filled, vectors_for(["x"])[0], limit=10, visible=OURS)
    assert sorted(h.id for h in hits) == ["a", "b"]
    assert filled.view().count(Filter(), OURS) == 2
    assert filled.view().count(only("team", "theirs"), OURS) == 0


def test_visible_document_may_be_overwritten(filled: Replica) -> None:
    upsert(filled, "a", "new", payload={"team": "ours", "n": 1}, visible=OURS)
    assert count(filled, only("n", 1)) == 2


@pytest.mark.parametrize("payload", [{"team": "theirs"}, {}, None])
def test_document_that_would_be_invisible_is_not_written(
    filled: Replica, payload: dict[str, str] | None
) -> None:
    payloads = [{"team": "ours"}, payload]
    with pytest.raises(Forbidden):
        upsert(filled, "new", "a", payloads=payloads, visible=OURS)
    assert ids_of(filled) == ["a", "b", "x", "y", "z"]


@pytest.mark.parametrize("stolen", ["x", "z"])
def test_invisible_document_is_not_overwritten(filled: Replica, stolen: str) -> None:
    before = get(filled, stolen)[0].version
    with pytest.raises(Forbidden):
        upsert(filled, "a", stolen, payload={"team": "ours"}, visible=OURS)
    assert get(filled, stolen)[0].version == before
    assert get(filled, "a")[0].version < before + 1


def test_only_visible_documents_are_deleted(filled: Replica) -> None:
    assert delete(filled, "a", "x", "z", "missing", visible=OURS).affected == 1
    assert ids_of(filled) == ["b", "x", "y", "z"]
    assert delete_where(filled, Filter(), visible=OURS).affected == 1
    assert ids_of(crashed(filled)) == ["x", "y", "z"]


def test_id_given_twice_is_deleted_once(filled: Replica) -> None:
    outcome = filled.write(ShardDelete(SHARD, OURS, ids=["a", "a", "b", "a"]))
    assert outcome.affected == 2


def test_filter_of_a_delete_cannot_widen_what_is_visible(filled: Replica) -> None:
    assert delete_where(filled, only("team", "theirs"), visible=OURS).affected == 0
    assert count(filled) == 5


def test_row_filter_without_a_must_is_obeyed(filled: Replica) -> None:
    (theirs,) = only("team", "theirs").must
    not_theirs = RowFilter(Filter(must_not=(theirs,)))
    assert [d.id for d in get(filled, "a", "x", "z", visible=not_theirs)] == ["a", "z"]
    with pytest.raises(Forbidden):
        upsert(filled, "new", payload={"team": "theirs"}, visible=not_theirs)
    with pytest.raises(Forbidden):
        upsert(filled, "x", visible=not_theirs)
    with pytest.raises(Forbidden):
        patch(filled, "a", set={"team": "theirs"}, visible=not_theirs)
    assert delete(filled, "a", "x", visible=not_theirs).affected == 1
    assert ids_of(filled) == ["b", "x", "y", "z"]
