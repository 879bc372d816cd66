"""Range search: all that is within the radius, and nothing beyond."""

from collections.abc import Callable

import numpy as np
import pytest

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import Vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Filter, Range, RowFilter
from akidb_ray.domain.query import RangeQuery
from akidb_ray.shard.ranging import in_range
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import DIMENSION, INDEXED, delete, only, opened, seal, upsert
from tests.unit.storage.watched_filesystem import WatchedFileSystem

Settle = Callable[[Replica], None]
ALL = RowFilter()
ORIGIN = np.zeros(DIMENSION, np.float32)


def on_a_line(count: int) -> Vectors:
    """Vectors at the distances 0, 1, 2, ... of the origin."""
    vectors = np.zeros((count, DIMENSION), np.float32)
    vectors[:, 0] = np.arange(count)
    return vectors


def fill(replica: Replica, count: int) -> None:
    ids = [f"{number:04}" for number in range(count)]
    payloads = [{"n": number} for number in range(count)]
    upsert(replica, *ids, vectors=on_a_line(count), payloads=payloads)


@pytest.mark.parametrize("exact", [True, False])
def test_all_within_the_radius_are_found_with_those_on_its_edge(
    replica: Replica, settle: Settle, exact: bool
) -> None:
    fill(replica, 50)
    settle(replica)
    delete(replica, "0003")
    found = in_range(replica.view(), RangeQuery(ORIGIN, 5.0, exact=exact), ALL)
    assert [hit.id for hit in found] == ["0000", "0001", "0002", "0004", "0005"]
    assert [hit.score for hit in found] == [0, 1, 2, 4, 5]
    assert found[0].payload == b'{"n":0}'


@pytest.mark.parametrize("exact", [True, False])
def test_none_is_missing_of_more_than_one_search_asks_for(
    replica: Replica, settle: Settle, exact: bool
) -> None:
    fill(replica, 1500)
    settle(replica)
    found = in_range(replica.view(), RangeQuery(ORIGIN, 1200.5, exact=exact), ALL)
    assert [hit.score for hit in found] == list(range(1201))
    found = in_range(replica.view(), RangeQuery(ORIGIN, 1e9, exact=exact), ALL)
    assert len(found) == 1500
    found = in_range(replica.view(), RangeQuery(ORIGIN, 1e9, limit=700, exact=exact), ALL)
    assert [hit.score for hit in found] == list(range(700))


def test_only_what_passes_and_is_visible_is_within_the_radius(
    replica: Replica, settle: Settle
) -> None:
    fill(replica, 30)
    settle(replica)
    query = RangeQuery(ORIGIN, 20.0, filter=Filter((Range("n", gte=18),)), with_payload=False)
    found = in_range(replica.view(), query, ALL)
    assert [(hit.id, hit.payload) for hit in found] == [(f"00{n}", None) for n in (18, 19, 20)]
    found = in_range(replica.view(), query, RowFilter(only("n", 19)))
    assert [hit.id for hit in found] == ["0019"]


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.DOT])
def test_where_larger_is_better_the_radius_is_the_least_score(
    fs: WatchedFileSystem, metric: Metric
) -> None:
    replica = opened(fs, INDEXED, CollectionSpec(DIMENSION, metric))
    vectors = np.zeros((3, DIMENSION), np.float32)
    vectors[:, :2] = [[1, 0], [3, 4], [-1, 0]]
    upsert(replica, "same", "near", "opposite", vectors=vectors)
    seal(replica)
    asked = vectors[0]
    near = 0.6 if metric is Metric.COSINE else 3.0
    found = in_range(replica.view(), RangeQuery(asked, 0.5), ALL)
    assert {hit.id: hit.score for hit in found} == pytest.approx({"same": 1, "near": near})
    found = in_range(replica.view(), RangeQuery(asked, -1.0), ALL)
    assert [hit.id for hit in found][-1] == "opposite"
    assert in_range(replica.view(), RangeQuery(asked, 3.1), ALL) == []


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("limit", RangeQuery(ORIGIN, 1.0, limit=0)),
        ("limit", RangeQuery(ORIGIN, 1.0, limit=10_001)),
        ("radius", RangeQuery(ORIGIN, float("nan"))),
        ("radius", RangeQuery(ORIGIN, float("inf"))),
        ("radius", RangeQuery(ORIGIN, -0.1)),
        ("params.ef", RangeQuery(ORIGIN, 1.0, ef=0)),
        ("vector", RangeQuery(ORIGIN[1:], 1.0)),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(
    replica: Replica, field: str, query: RangeQuery
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        in_range(replica.view(), query, ALL)
    assert caught.value.fields["field"] == field
