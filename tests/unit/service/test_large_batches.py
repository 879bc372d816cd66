"""Large batches are prepared in a thread: others are answered meanwhile."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.service.collections import CollectionRef
from akidb_ray.service.incoming import IncomingDocument
from tests.unit.service.twins import DIMENSION, ONE, THREE, Twins, twins


class SeenIds(list[str]):
    """Notes which threads go through it."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(ids)
        self.threads: list[int] = []

    def __iter__(self) -> Iterator[str]:
        self.threads.append(threading.get_ident())
        return super().__iter__()


class SeenVector(list[float]):
    """Notes which thread measures it."""

    thread = 0

    def __len__(self) -> int:
        self.thread = threading.get_ident()
        return super().__len__()


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(("count", "in_thread"), [(10, False), (1000, True)])
async def test_many_documents_are_prepared_in_a_thread(
    opened: Twins, count: int, in_thread: bool
) -> None:
    seen = SeenVector([1.0] * DIMENSION)
    batch = [IncomingDocument(str(row), seen) for row in range(count)]
    assert (await opened.documents.upsert(ROOT, THREE, batch)).affected == count
    assert (seen.thread != threading.get_ident()) == in_thread


@pytest.mark.parametrize(("count", "in_thread"), [(10, False), (1000, True)])
async def test_many_columns_are_checked_in_a_thread(
    opened: Twins, count: int, in_thread: bool
) -> None:
    seen = SeenIds([str(row) for row in range(count)])
    nothing = [None] * count
    batch = DocumentBatch(seen, np.ones((count, DIMENSION), np.float32), nothing, nothing)
    assert (await opened.documents.upsert_batch(ROOT, THREE, batch)).affected == count
    assert (seen.threads[0] != threading.get_ident()) == in_thread


@pytest.mark.parametrize("ref", [ONE, THREE])
@pytest.mark.parametrize(("count", "in_thread"), [(10, False), (1000, True)])
async def test_many_ids_are_looked_up_in_a_thread(
    opened: Twins, ref: CollectionRef, count: int, in_thread: bool
) -> None:
    ids = [str(row) for row in range(count)]
    batch = [IncomingDocument(document_id, [1.0] * DIMENSION) for document_id in ids]
    await opened.documents.upsert(ROOT, ref, batch)
    to_get, to_delete = SeenIds(ids), SeenIds(ids)
    found = await opened.documents.get_many(ROOT, ref, to_get)
    assert [document.id for document in found] == ids
    assert (await opened.documents.delete_ids(ROOT, ref, to_delete)).affected == count
    here = threading.get_ident()
    assert (to_get.threads[-1] != here) == (to_delete.threads[0] != here) == in_thread
    assert await opened.documents.count(ROOT, ref) == 0
