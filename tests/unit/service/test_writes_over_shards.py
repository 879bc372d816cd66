"""Writes over several shards: conditions, keys, what is said when a part fails, and versions."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import InvalidArgument, NotFound, PreconditionFailed, Unavailable
from akidb_ray.domain.filter import EVERYTHING, Filter, Match
from akidb_ray.domain.jobs import JobState
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
    collection_id = opened.shards.collection.collection_id
    reached = least_sequences(version, collection_id, 3)
    assert sorted(reached) == [0, 1, 2]
    await write.get(ROOT, THREE, IDS[0], min_version=version)
    assert await write.count(ROOT, THREE, min_version=version) == 60
    assert (await write.scroll(ROOT, THREE, min_version=version)).documents
    assert (await search.facets(ROOT, THREE, FacetQuery("n"), version)).facets
    request = SearchRequest(vector=vector(1), min_version=version)
    assert len((await search.search(ROOT, THREE, request)).hits) == 10
    placements = opened.shards.placements
    ahead = version_token(collection_id, [(placements[1], reached[1] + 1)])
    late = SearchRequest(vector=vector(1), min_version=ahead, partial_results=True)
    assert (await search.search(ROOT, THREE, late)).missing_shards == (1,)
    with pytest.raises(Unavailable):
        await write.count(ROOT, THREE, min_version=ahead)
    with pytest.raises(InvalidArgument, match="another collection"):
        await write.count(ROOT, ONE, min_version=version)
    with pytest.raises(InvalidArgument, match="min_version"):
        await write.count(ROOT, THREE, min_version="nonsense")


async def test_versions_of_several_writes_are_named_together(opened: Twins) -> None:
    write = opened.documents
    written = [await write.upsert(ROOT, THREE, [document]) for document in SOME[:6]]
    versions = [each.version for each in written]
    together = ",".join(versions)
    assert await write.count(ROOT, THREE, min_version=together) == 6
    collection_id = opened.shards.collection.collection_id
    every = [least_sequences(version, collection_id, 3) for version in versions]
    highest = {n: max(e.get(n, 0) for e in every) for n in range(3) if any(n in e for e in every)}
    assert least_sequences(together, collection_id, 3) == highest


async def test_a_version_of_a_collection_that_was_made_anew_is_refused(opened: Twins) -> None:
    services = opened.database.services
    again = replace(THREE, collection="again")
    spec = CollectionSpec(16, Metric.COSINE, 3)
    await services.collections.create(ROOT, again, spec)
    document = IncomingDocument("a", [1.0] * 16)
    version = (await services.documents.upsert(ROOT, again, [document])).version
    job = await services.collections.delete(ROOT, again)
    async with asyncio.timeout(60):
        while (await services.jobs.get(ROOT, str(job.job_id))).state is not JobState.SUCCEEDED:
            await asyncio.sleep(0)
    await services.copy.catch_up()
    await services.collections.create(ROOT, again, spec)
    await services.documents.upsert(ROOT, again, [document])
    with pytest.raises(InvalidArgument, match="was deleted since"):
        await services.documents.get(ROOT, again, "a", min_version=version)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (float("nan"), ""),
        ({"deep": [1.0, float("-inf")]}, ".deep[1]"),
        (10**400, ""),
        ("\ud800", ""),
        ({"\ud800": 1}, ""),
    ],
)
async def test_patches_and_upserts_refuse_the_same_values_by_their_paths(
    opened: Twins, value: Any, path: str
) -> None:
    await opened.documents.upsert(ROOT, THREE, SOME)
    with pytest.raises(InvalidArgument) as refused:
        await opened.documents.patch_ids(ROOT, THREE, PayloadPatch(set={"n": value}), IDS)
    assert refused.value.fields["field"] == f"patch.set.n{path}"
    document = IncomingDocument("new", vector(1), payload={"n": value})
    with pytest.raises(InvalidArgument) as refused:
        await opened.documents.upsert(ROOT, THREE, [*SOME, document])
    assert refused.value.fields["field"] == f"documents[60].payload.n{path}"
    assert refused.value.fields["row"] == 60
    assert await opened.documents.count(ROOT, THREE) == 60


async def test_whole_numbers_of_more_than_64_bits_are_kept_by_upserts_and_patches(
    opened: Twins,
) -> None:
    document = IncomingDocument("a", vector(1), payload={"put": 2**70})
    await opened.documents.upsert(ROOT, THREE, [document])
    await opened.documents.patch_ids(ROOT, THREE, PayloadPatch(set={"set": -(2**80)}), ["a"])
    found = await opened.documents.get(ROOT, THREE, "a")
    assert json.loads(found.payload or b"") == {"put": 2**70, "set": -(2**80)}
    as_floats = Filter((Match("put", (float(2**70),)), Match("set", (-float(2**80),))))
    assert await opened.documents.count(ROOT, THREE, as_floats) == 1


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
