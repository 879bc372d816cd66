"""Backpressure of one shard, and the memory of a host."""

import pytest

from akidb_ray.domain.errors import Exhausted
from akidb_ray.shard.host_memory import HostMemory
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.pressure import write_delay_s

POLICY = ShardPolicy(unindexed_slow_rows=100, unindexed_max_rows=200, max_write_delay_s=1.0)


def test_delay_rises_from_the_slow_mark_to_the_end() -> None:
    assert [write_delay_s(rows, POLICY) for rows in (0, 100, 150, 199)] == [0, 0, 0.5, 0.99]


def test_write_is_refused_at_the_end() -> None:
    with pytest.raises(Exhausted, match="200 rows of this shard wait to be indexed") as caught:
        write_delay_s(200, POLICY)
    assert caught.value.retryable


def test_memory_is_counted_by_owner() -> None:
    memory = HostMemory(1000)
    memory.set("a", 300)
    memory.set("b", 300)
    memory.set("a", 100)
    assert memory.used_bytes == 400
    memory.set("b", 0)
    assert memory.used_bytes == 100


def test_what_does_not_fit_is_refused() -> None:
    memory = HostMemory(1000)
    memory.set("a", 900)
    memory.admit(50)
    with pytest.raises(Exhausted, match="900 bytes of memory of 1000, and 51 more"):
        memory.admit(51)


def test_reserved_room_counts_until_it_is_given_back() -> None:
    memory = HostMemory(1000)
    with memory.reserved(600):
        assert memory.used_bytes == 600
        with pytest.raises(Exhausted), memory.reserved(500):
            pytest.fail("there was no room")
    assert memory.used_bytes == 0
    assert not memory.tight
    memory.set("a", 851)
    assert memory.tight
