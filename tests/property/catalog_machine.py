"""The catalog on SQLite beside the one in memory: the same is asked of both, and the same comes."""

import asyncio
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, initialize

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.memory.store import MemoryStore
from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.catalog.rules.collections import create_collection
from akidb_ray.catalog.rules.databases import create_database
from akidb_ray.catalog.rules.tenants import create_tenant
from akidb_ray.catalog.rules.users import create_user
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.directory import CatalogUpdate, Directory
from akidb_ray.domain.errors import AkiDBError, Internal
from akidb_ray.domain.ids import ClusterId, EntityId, StoreId
from akidb_ray.domain.listing import Listing, Page
from akidb_ray.domain.tenancy import UserStatus
from tests.property.catalog_choices import UNKNOWN

# A cluster that both catalogs are said to be of, when what they tell is compared.
ONE_CLUSTER = ClusterId(UUID(int=1))
STORES = [StoreId(UUID(int=number)) for number in range(1, 4)]
Work = Callable[[StoredCatalog], Awaitable[Any]]


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 1, 31, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Ids:
    """Makes the same ids in the same order for both catalogs, in no order of theirs."""

    made: int = 0

    def __call__(self) -> UUID:
        self.made += 1
        return UUID(int=random.Random(self.made).getrandbits(128))


@dataclass(frozen=True)
class Refused:
    """An error, as far as both must agree."""

    error: type[AkiDBError]
    fields: tuple[tuple[str, Any], ...]


class Catalogs(RuleBasedStateMachine):
    """`known` holds the ids of all things that were ever made, by their type."""

    ids: ClassVar[Ids]
    first_file: ClassVar[Path]

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "catalog.sqlite")
        shutil.copy(self.first_file, self.path)
        self.clock = Clock()
        self.memory_store = MemoryStore(self.clock)
        self.known: dict[type[EntityId], list[Any]] = defaultdict(list)
        for thing_id in self.run(first_ids(self.memory_store, self.ids)):
            self.known[type(thing_id)].append(thing_id)
        self.sqlite_store = self.run(SqliteStore.open(self.path, self.clock, create=False))
        self.memory = StoredCatalog(self.memory_store)
        self.sqlite = StoredCatalog(self.sqlite_store)
        self.follower = Directory(self.whole())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.sqlite.close())
            self.run(self.memory.close())
            self.runner.close()
            self.folder.cleanup()

    def run(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    def both(self, work: Work) -> Any:
        """Have it done by both. Returns what both answer, an error as `Refused`."""
        begin = self.ids.made
        answer = self._answer(work, self.sqlite)
        end, self.ids.made = self.ids.made, begin
        expected = self._answer(work, self.memory)
        assert answer == expected
        assert self.ids.made == end
        return answer

    def _answer(self, work: Work, catalog: StoredCatalog) -> Any:
        try:
            return self.run(work(catalog))
        except Internal:
            raise
        except AkiDBError as error:
            return Refused(type(error), tuple(sorted(error.fields.items())))

    def made(self, answer: Any, thing_id: Callable[[Any], EntityId]) -> None:
        """Remember the id of what was made, unless it was refused."""
        if not isinstance(answer, Refused):
            made = thing_id(answer)
            self.known[type(made)].append(made)

    def pick(self, id_type: type[EntityId], number: int) -> Any:
        """One of those that were made, the newest for 0; an unknown one for UNKNOWN."""
        made = self.known[id_type]
        if number == UNKNOWN or not made:
            return id_type(UUID(int=number))
        return made[-1 - number % len(made)]

    def all_pages(self, listing: Listing, page_of: Callable[[StoredCatalog, Listing], Any]) -> None:
        """Ask for all pages of a list, and compare each."""
        while True:
            page = self.both(lambda catalog, asked=listing: page_of(catalog, asked))
            if not isinstance(page, Page) or page.next_cursor is None:
                return
            assert page.next_cursor != listing.cursor
            listing = replace(listing, offset=0, cursor=page.next_cursor)

    def reopen(self) -> None:
        """End both processes, and start others on what they left."""
        self.run(self.sqlite.close())
        self.sqlite_store = self.run(SqliteStore.open(self.path, self.clock, create=False))
        self.memory_store = MemoryStore(self.clock, self.memory_store)
        self.sqlite = StoredCatalog(self.sqlite_store)
        self.memory = StoredCatalog(self.memory_store)

    def whole(self) -> CatalogUpdate:
        """All that both catalogs tell their followers, which is the same."""
        return self.updates(0)

    def updates(self, since: int) -> CatalogUpdate:
        """What both catalogs tell a follower that has version `since`."""
        told = self.run(self.sqlite_store.update_since(since))
        expected = self.run(self.memory_store.update_since(since))
        assert parts(told) == parts(expected)
        return replace(told, cluster_id=ONE_CLUSTER)


def parts(update: CatalogUpdate) -> tuple[Any, ...]:
    """What two updates have in common when they tell the same, in whatever form they hold it."""
    return (
        update.version,
        update.whole,
        list(update.tenants),
        list(update.databases),
        list(update.collections),
        {collection_id: places for collection_id, places in update.placements.items() if places},
        dict(update.stores),
        update.removed,
        update.root_key_hash,
    )


async def first_ids(store: CatalogStore, ids: Ids) -> list[EntityId]:
    """Make in an empty store what every history begins with. Returns the ids of all that."""
    ids.made = 0
    made: list[EntityId] = []
    async with store.writing() as repos:
        await repos.placement.register_store(STORES[0], "shard-host-0")
        for name in ("Acme", "Other"):
            tenant = await create_tenant(repos, name, None, None, None, None)
            users = [
                await create_user(repos, tenant.tenant_id, email, None, UserStatus.ACTIVE)
                for email in ("ada@b.c", "bob@b.c")
            ]
            films, empty = [
                await create_database(repos, tenant.tenant_id, name, "") for name in ("films", "x")
            ]
            plots = await create_collection(
                repos, films.database_id, "plots", CollectionSpec(16), ""
            )
            made += [tenant.tenant_id, *[user.user_id for user in users], plots]
            made += [empty.database_id, films.database_id]
    return made


async def make_first_file(path: Path, ids: Ids) -> None:
    """A file of what every history begins with: making one takes longer than a short history."""
    store = await SqliteStore.open(path, Clock(), create=True)
    await first_ids(store, ids)
    await store.close()
