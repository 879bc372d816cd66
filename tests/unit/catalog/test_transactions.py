"""Which transactions the followers hear of."""

from akidb_ray.catalog.feed import Feed
from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.catalog.transactions import Transactions
from akidb_ray.domain.ids import TenantId
from tests.contract.catalog.things import START, a_job, a_tenant


class HeardFeed(Feed):
    """Counts how often all followers are woken."""

    heard = 0

    async def publish(self) -> None:
        self.heard += 1
        await super().publish()


async def test_followers_are_woken_by_a_new_version_and_by_nothing_else() -> None:
    store = MemoryStore(lambda: START)
    feed = HeardFeed(store)
    transactions = Transactions(store, feed)
    job = a_job(TenantId.new())
    await transactions.write(lambda repos: repos.jobs.add(job))
    assert feed.heard == 0
    await transactions.write(lambda repos: repos.tenants.add(a_tenant()))
    assert feed.heard == 1
    await transactions.see_through(lambda: store.set_root_key_hash(b"new"))
    assert feed.heard == 2
    await transactions.close()
