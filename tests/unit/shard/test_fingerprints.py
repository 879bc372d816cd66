"""What tells one write with an idempotency key from another."""

import pytest

from akidb_ray.domain.filter import EVERYTHING, Filter, HasId, Match, Range, RowFilter
from akidb_ray.domain.write import ShardDelete, WriteOptions
from akidb_ray.shard.idempotency import request_of
from tests.unit.shard.shards import SHARD

A, B = Match("team", ("ours", 1, True)), Range("n", gte=1, lt=2.5)
PLAIN = Filter((A, B))


def fingerprint(filter: Filter, only_if: Filter = EVERYTHING) -> str:
    options = WriteOptions(idempotency_key="k", only_if=only_if)
    request = request_of(ShardDelete(SHARD, RowFilter(), filter=filter, options=options))
    assert request is not None
    return request.fingerprint.hex()


def test_fingerprints_in_files_of_before_are_still_those_of_their_writes() -> None:
    assert fingerprint(PLAIN, only_if=PLAIN) == "a9bf8ae0dfba778f4266c7628d231ce3"
    assert fingerprint(EVERYTHING) == "800c869c37a3436c0390e499b7481748"


@pytest.mark.parametrize("as_condition", [False, True])
def test_each_part_of_a_filter_is_in_the_fingerprint(as_condition: bool) -> None:
    filters = [
        EVERYTHING,
        PLAIN,
        Filter(must=(A,)),
        Filter(should=(A,)),
        Filter(must_not=(A,)),
        Filter(must=(A,), must_not=(B,)),
        Filter(must=(A,), should=(B,)),
        Filter(must=(A, Filter(should=(B,)))),
        Filter(must=(Filter(must=(A, B)),)),
        Filter(must=(HasId(("a",)),)),
        Filter(must_not=(EVERYTHING,)),
    ]
    found = {fingerprint(PLAIN, one) if as_condition else fingerprint(one) for one in filters}
    assert len(found) == len(filters)
