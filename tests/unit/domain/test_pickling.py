"""Values that cross processes come out as they went in."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from akidb_ray.domain.filter import EVERYTHING, Filter, Match, Range, RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import Hit, ShardHits, ShardSearch, TextQuery, VectorQuery

KEY = ShardKey(TenantId.new(), CollectionId.new(), 3)
FILTER = Filter(must=(Match("genre", ("drama",)), Filter(should=(Range("year", gte=1990),))))


@pytest.mark.parametrize(
    "value",
    [KEY, KEY.tenant_id, EVERYTHING, FILTER, RowFilter(), RowFilter(FILTER)],
    ids=lambda value: type(value).__name__,
)
def test_a_value_equals_what_it_was_and_has_its_type(value: object) -> None:
    copy = pickle.loads(pickle.dumps(value))
    assert copy == value
    assert hash(copy) == hash(value)
    assert type(copy) is type(value)


def test_a_search_keeps_every_field() -> None:
    vector = np.arange(12, dtype=np.float32)[::2]
    query = VectorQuery(vector, 7, FILTER, 200, True, False, True, 3, 0.5, True)
    search = ShardSearch(KEY, query, RowFilter(FILTER), 9)
    copy = pickle.loads(pickle.dumps(search))
    assert (copy.shard, copy.visible, copy.min_version) == (KEY, RowFilter(FILTER), 9)
    assert copy.query.vector.dtype == np.float32
    assert np.array_equal(copy.query.vector, vector)
    # Values with arrays don't compare: their representations do.
    none = np.empty(0, np.float32)
    assert repr(replace(copy.query, vector=none)) == repr(replace(query, vector=none))


def test_a_search_for_words_and_what_is_found_keep_every_field() -> None:
    words = ShardSearch(KEY, TextQuery("red river", filter=FILTER), RowFilter())
    assert repr(pickle.loads(pickle.dumps(words))) == repr(words)
    hits = ShardHits([Hit("a", 0.5, 3, b"{}", "text", None), Hit("b", 0.25, 1)])
    assert repr(pickle.loads(pickle.dumps(hits))) == repr(hits)
