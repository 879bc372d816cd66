"""Which stores a deploy leaves alone."""

from akidb_ray.bootstrap.core import stores_of_others
from akidb_ray.domain.ids import StoreId

HERE, AWAY, REPLACED, RETIRED = (StoreId.new() for _ in range(4))


def test_a_store_is_kept_while_the_node_of_its_host_is_away() -> None:
    known = {
        HERE: "shard-host-a-0",
        AWAY: "shard-host-b-0",
        REPLACED: "shard-host-a-0",
        RETIRED: "",
    }
    assert stores_of_others(["shard-host-a-0"], known) == {AWAY}
    assert stores_of_others(["shard-host-a-0", "shard-host-b-0"], known) == set()
