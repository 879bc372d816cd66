"""Collections take no more documents than they were made for, whoever else is writing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.errors import DeadlineExceeded, QuotaExceeded, Unavailable
from akidb_ray.domain.ids import StoreId
from akidb_ray.service.collections import CollectionRef
from akidb_ray.service.document_limits import DocumentLimits
from akidb_ray.service.documents import Documents
from akidb_ray.service.incoming import IncomingDocument
from tests.in_process import Database, running_database

SMALL = CollectionRef("default", "default", "small")
LIMIT = 10
PATIENCE_S = 20


@dataclass
class Held:
    """Holds up the first call of one method, or all of them, until they are let go."""

    method: str
    only_first: bool = True
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if method == self.method and not (self.only_first and self.reached.is_set()):
            self.reached.set()
            await self.go_on.wait()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with running_database(tmp_path, stores=1) as database:
        spec = CollectionSpec(16, Metric.L2, max_doc_count=LIMIT)
        await database.services.collections.create(ROOT, SMALL, spec)
        yield database


def batch(*names: object) -> list[IncomingDocument]:
    return [IncomingDocument(str(name), [1.0] * 16) for name in names]


async def upsert(database: Database, *names: object) -> int:
    documents = database.services.documents
    return (await documents.upsert(ROOT, SMALL, batch(*names))).affected


async def count(database: Database) -> int:
    return await database.services.documents.count(ROOT, SMALL)


async def test_batches_at_once_get_all_the_room_there_is_and_no_more(database: Database) -> None:
    writes = [upsert(database, *(f"{n} {row}" for row in range(3))) for n in range(10)]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert answers.count(3) == 3
    refused = [answer for answer in answers if answer != 3]
    assert {type(answer) for answer in refused} == {QuotaExceeded}
    assert await count(database) == 9


async def test_who_needs_no_room_is_not_held_up_by_who_takes_the_last(database: Database) -> None:
    await upsert(database, *range(9))
    held = Held("write")
    database.hosts.before = held
    last = asyncio.create_task(upsert(database, 8, 9))
    await held.reached.wait()
    async with asyncio.timeout(PATIENCE_S):
        assert await upsert(database, *range(9)) == 9
    assert not last.done()
    held.go_on.set()
    assert await last == 2


async def test_the_same_documents_again_are_not_refused_for_those_under_way(
    database: Database,
) -> None:
    held = Held("write")
    database.hosts.before = held
    first = asyncio.create_task(upsert(database, *range(LIMIT)))
    await held.reached.wait()
    again = asyncio.create_task(upsert(database, *range(LIMIT)))
    held.go_on.set()
    assert (await first, await again) == (LIMIT, LIMIT)
    with pytest.raises(QuotaExceeded):
        await upsert(database, "one more")


async def test_a_failed_write_gives_its_room_back(database: Database) -> None:
    async def down_for_writes(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        (database.hosts.down.add if method == "write" else database.hosts.down.discard)(store_id)

    database.hosts.before = down_for_writes
    with pytest.raises(Unavailable):
        await upsert(database, *range(LIMIT))
    database.hosts.before = None
    database.hosts.down.clear()
    assert await upsert(database, *(f"other {row}" for row in range(LIMIT))) == LIMIT


async def test_all_who_wait_for_a_stuck_host_give_up_in_time_and_write_nothing_later(
    database: Database,
) -> None:
    held = Held("ask", only_first=False)
    database.hosts.before = held
    limits = DocumentLimits(database.hosts, wait_s=0.2)
    documents: Documents = replace(database.services.documents, limits=limits)
    writes = [documents.upsert(ROOT, SMALL, batch(name)) for name in range(8)]
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(answer) for answer in answers} == {DeadlineExceeded}
    held.go_on.set()
    assert await count(database) == 0
    await documents.upsert(ROOT, SMALL, batch(*range(LIMIT)))
    assert await count(database) == LIMIT
