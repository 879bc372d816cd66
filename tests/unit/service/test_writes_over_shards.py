"""Writes over several shards: conditions, keys, what is said when a part fails, and versions."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import numpy as np
import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import InvalidArgument, NotFound, PreconditionFailed, Unavailable
from akidb_ray.domain.filter import EVERYTHING, Filter, Match
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.query import FacetQuery
from akidb_ray.domain.version_token import least_sequences, version_token
from akidb_ray.domain.write import ABSENT, UpsertMode, WriteOptions
from akidb_ray.service.documents import Written
from akidb_ray.service.incoming import IncomingDocument
from akidb_ray.service.search import SearchRequest
from tests.unit.service.twins import DIMENSION, ONE, THREE, Twins, documents, twins, vector

SOME = documents(60, 9)
IDS = [document.id for document in SOME]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins(tmp_path) as opened:
        yield opened


async def test_modes_and_conditions_hold_document_by_document(opened: Twins) -> None:
    write = opened.documents
    assert (await write.upsert(ROOT, THREE, SOME[:40], UpsertMode.INSERT)).affected == 40
    again = await write.upsert(ROOT, THREE, SOME, UpsertMode.INSERT)
    assert (again.affected, again.skipped) == (20, 40)
    await write.delete_ids(ROOT, THREE, IDS[:10])
    update = await write.upsert(ROOT, THREE, SOME, UpsertMode.UPDATE)
    assert (update.affected, update.skipped) == (50, 10)
    only = WriteOptions(only_if=Filter((Match("n", (1, 2)),)))
    matching = await write.count(ROOT, THREE, only.only_if)
    gone = await write.delete_ids(ROOT, THREE, IDS, only)
    assert (gone.affected, gone.skipped) == (matching, 60 - matching)


async def test_versions_are_conditions_of_the_shards_that_have_the_documents(
    opened: Twins,
) -> None:
    write = opened.documents
    absent = WriteOptions(if_versions=dict.fromkeys(IDS, ABSENT))
    assert (await write.upsert(ROOT, THREE, SOME, options=absent)).affected == 60
    with pytest.raises(PreconditionFailed):
        await write.upsert(ROOT, THREE, SOME, options=absent)
    found = await write.get_many(ROOT, THREE, IDS)
    present = WriteOptions(if_versions={document.id: document.version for document in found})
    patch = PayloadPatch(set={"seen": 1})
    assert (await write.patch_ids(ROOT, THREE, patch, IDS, present)).affected == 60
    with pytest.raises(PreconditionFailed):
        await write.delete_ids(ROOT, THREE, IDS, present)
    with pytest.raises(InvalidArgument, match="other"):
        await write.delete_ids(ROOT, THREE, IDS, WriteOptions(if_versions={"other": 1}))
    for refused in (
        write.patch_matching(ROOT, THREE, patch, EVERYTHING, present),
        write.delete_matching(ROOT, THREE, EVERYTHING, present),
    ):
        with pytest.raises(InvalidArgument, match="if_versions"):
            await refused


async def test_the_same_key_completes_a_write_that_failed_in_part(opened: Twins) -> None:
    write = opened.documents
    down = opened.store_of(1)
    opened.hosts.down.add(down)
    # Counting what is there, for the quota, needs all shards: so these are updates of nothing.
    await _refused(write.upsert(ROOT, THREE, SOME, UpsertMode.UPDATE, WriteOptions()))
    opened.hosts.down.clear()
    await write.upsert(ROOT, THREE, SOME)
    for what, key in ((_patch, "patch"), (_delete, "delete")):
        options = WriteOptions(idempotency_key=key)
        opened.hosts.down.add(down)
        failed = await _refused(what(opened, options))
        done = failed.fields["patched" if key == "patch" else "deleted"]
        assert 0 < done < 60
        assert len(failed.fields["acknowledged_ids"]) == done
        opened.hosts.down.clear()
        completed = await what(opened, options)
        assert completed.affected == 60, "shards that were done give their first answer"
        assert (await what(opened, options)) == completed
    assert await write.count(ROOT, THREE) == 0


async def _refused(writing: Awaitable[Written]) -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        await writing
    assert refused.value.retryable
    return refused.value


def _patch(opened: Twins, options: WriteOptions) -> Awaitable[Written]:
    patch = PayloadPatch(set={"seen": 1})
    return opened.documents.patch_ids(ROOT, THREE, patch, IDS, options)


def _delete(opened: Twins, options: WriteOptions) -> Awaitable[Written]:
    return opened.documents.delete_ids(ROOT, THREE, IDS, options)


async def test_reads_that_name_a_version_see_the_write_or_are_refused(opened: Twins) -> None:
    write, search = opened.documents, opened.search
    written = await write.upsert(ROOT, THREE, SOME)
    version = written.version
    reached = least_sequences(version, 3)
    assert sorted(reached) == [0, 1, 2]
    await write.get(ROOT, THREE, IDS[0], min_version=version)
    assert await write.count(ROOT, THREE, min_version=version) == 60
    assert (await write.scroll(ROOT, THREE, min_version=version)).documents
    assert (await search.facets(ROOT, THREE, FacetQuery("n"), version)).facets
    request = SearchRequest(vector=vector(1), min_version=version)
    assert len((await search.search(ROOT, THREE, request)).hits) == 10
    placements = opened.shards.placements
    ahead = version_token([(placements[1], reached[1] + 1)])
    late = SearchRequest(vector=vector(1), min_version=ahead, partial_results=True)
    assert (await search.search(ROOT, THREE, late)).missing_shards == (1,)
    with pytest.raises(Unavailable):
        await write.count(ROOT, THREE, min_version=ahead)
    with pytest.raises(InvalidArgument, match="another collection"):
        await write.count(ROOT, ONE, min_version=version)
    with pytest.raises(InvalidArgument, match="min_version"):
        await write.count(ROOT, THREE, min_version="nonsense")


async def test_a_document_expires_when_its_time_has_come(opened: Twins) -> None:
    now_or_never = [
        IncomingDocument("past", vector(1), expires_at=1.0),
        IncomingDocument("later", vector(2), expires_at=4e9),
        IncomingDocument("never", vector(3)),
    ]
    await opened.documents.upsert(ROOT, THREE, now_or_never)
    found = await opened.documents.get_many(ROOT, THREE, ["past", "later", "never"])
    assert [(document.id, document.expires_at) for document in found] == [
        ("later", 4e9),
        ("never", float("inf")),
    ]
    wrong = IncomingDocument("x", vector(1), expires_at=-1.0)
    with pytest.raises(InvalidArgument, match="expires_at"):
        await opened.documents.upsert(ROOT, THREE, [*now_or_never, wrong])


async def test_columns_are_written_like_documents_and_checked_before_any_is(
    opened: Twins,
) -> None:
    ids = [str(number) for number in range(30)]
    vectors = np.stack([vector(number) for number in range(30)])
    good = DocumentBatch(ids, vectors, ["red"] * 30, [b'{"n": 1}'] * 30)
    assert (await opened.documents.upsert_batch(ROOT, THREE, good)).affected == 30
    assert await opened.documents.count(ROOT, THREE, Filter((Match("n", (1,)),))) == 30
    zero = vectors.copy()
    zero[29] = 0
    for batch, field in (
        (DocumentBatch([*ids[:29], ""], vectors, good.texts, good.payloads), "documents[29].id"),
        (DocumentBatch(ids, zero, good.texts, good.payloads), "documents[29].vector"),
        (
            DocumentBatch(ids, vectors[:, : DIMENSION - 1], good.texts, good.payloads),
            "documents[0].vector",
        ),
        (
            DocumentBatch(ids, vectors, good.texts, [*good.payloads[:29], b"[]"]),
            "documents[29].payload",
        ),
        (DocumentBatch(ids, vectors[:3], good.texts, good.payloads), "documents"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await opened.documents.upsert_batch(ROOT, ONE, batch)
        assert refused.value.fields["field"] == field
    assert await opened.documents.count(ROOT, ONE) == 0


async def test_a_cursor_of_nothing_is_refused(opened: Twins) -> None:
    for cursor in ("", "%", "a", "_w"):
        with pytest.raises(InvalidArgument, match="cursor"):
            await opened.documents.scroll(ROOT, THREE, cursor=cursor)
    page = await opened.documents.scroll(ROOT, THREE)
    assert (list(page.documents), page.next_cursor) == ([], None)
    with pytest.raises(NotFound):
        await opened.documents.get(ROOT, THREE, "none")
