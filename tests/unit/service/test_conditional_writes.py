"""`if_versions` over several shards: a write is refused as a whole where that can be."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.access.authorization import ROOT
from akidb_ray.domain.errors import PreconditionFailed, Unavailable
from akidb_ray.domain.filter import Filter, Match
from akidb_ray.domain.ids import StoreId, slot_of
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.placement import shard_of
from akidb_ray.domain.query import ShardVersions
from akidb_ray.domain.write import ABSENT, ShardPatch, WriteOptions
from tests.unit.service.twins import THREE, Twins, documents, twins

SOME = documents(60, 9)
IDS = [document.id for document in SOME]
SEEN = Filter((Match("seen", (1,)),))
PATCH = PayloadPatch(set={"seen": 1})


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins(tmp_path) as filled:
        await filled.documents.upsert(ROOT, THREE, SOME)
        yield filled


def ids_of(number: int) -> list[str]:
    return [document_id for document_id in IDS if shard_of(slot_of(document_id), 3) == number]


async def versions_of(filled: Twins) -> dict[str, int]:
    found = await filled.documents.get_many(ROOT, THREE, IDS)
    return {document.id: document.version for document in found}


async def changed(filled: Twins) -> int:
    return await filled.documents.count(ROOT, THREE, SEEN)


async def refusal(filled: Twins, options: WriteOptions) -> PreconditionFailed:
    with pytest.raises(PreconditionFailed) as refused:
        await filled.documents.patch_ids(ROOT, THREE, PATCH, IDS, options)
    return refused.value


async def test_one_wrong_version_refuses_the_write_in_all_shards(filled: Twins) -> None:
    known = await versions_of(filled)
    for wrong in (ids_of(0)[0], ids_of(1)[0], ids_of(2)[0]):
        for key in (None, f"key {wrong}"):
            options = WriteOptions(
                idempotency_key=key, if_versions={**known, wrong: known[wrong] + 1}
            )
            error = await refusal(filled, options)
            assert (error.fields["id"], error.fields["version"]) == (wrong, known[wrong])
            assert "acknowledged_ids" not in error.fields
            assert await changed(filled) == 0
    everywhere = WriteOptions(if_versions=dict.fromkeys(IDS, ABSENT))
    assert "acknowledged_ids" not in (await refusal(filled, everywhere)).fields
    with pytest.raises(PreconditionFailed):
        await filled.documents.upsert(ROOT, THREE, documents(60, 10), options=everywhere)
    with pytest.raises(PreconditionFailed):
        await filled.documents.delete_ids(ROOT, THREE, IDS, everywhere)
    assert await versions_of(filled) == known, "nothing was changed"


async def test_conditions_of_one_shard_alone_hold_for_the_whole_write(filled: Twins) -> None:
    known = await versions_of(filled)
    (one,) = ids_of(2)[:1]
    await refusal(filled, WriteOptions(if_versions={one: known[one] + 1}))
    assert await changed(filled) == 0
    right = WriteOptions(if_versions={one: known[one]})
    assert (await filled.documents.patch_ids(ROOT, THREE, PATCH, IDS, right)).affected == 60
    assert await changed(filled) == 60


async def test_the_key_of_a_conditional_write_that_failed_in_part_completes_it(
    filled: Twins,
) -> None:
    options = WriteOptions(idempotency_key="k", if_versions=await versions_of(filled))

    async def lose(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if method == "write":
            filled.hosts.down.add(filled.store_of(1))

    filled.hosts.before = lose
    with pytest.raises(Unavailable) as failed:
        await filled.documents.patch_ids(ROOT, THREE, PATCH, IDS, options)
    assert sorted(failed.value.fields["acknowledged_ids"]) == sorted(ids_of(0) + ids_of(2))
    filled.hosts.before = None
    filled.hosts.down.clear()
    assert await changed(filled) == 60 - len(ids_of(1))
    completed = await filled.documents.patch_ids(ROOT, THREE, PATCH, IDS, options)
    assert completed.affected == 60
    assert await changed(filled) == 60
    without_key = replace(options, idempotency_key=None)
    assert "acknowledged_ids" not in (await refusal(filled, without_key)).fields


async def test_a_completed_write_names_what_was_done_when_the_rest_is_refused(
    filled: Twins,
) -> None:
    known = await versions_of(filled)
    options = WriteOptions(idempotency_key="k", if_versions=known)
    filled.hosts.before = _losing(filled, 1)
    with pytest.raises(Unavailable):
        await filled.documents.patch_ids(ROOT, THREE, PATCH, IDS, options)
    filled.hosts.before = None
    filled.hosts.down.clear()
    await filled.documents.delete_ids(ROOT, THREE, ids_of(1)[:1])
    error = await refusal(filled, options)
    assert sorted(error.fields["acknowledged_ids"]) == sorted(ids_of(0) + ids_of(2))


def _losing(filled: Twins, number: int) -> Any:
    async def lose(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if method == "write":
            filled.hosts.down.add(filled.store_of(number))

    return lose


async def test_what_changes_between_look_and_write_refuses_its_shards_part(
    filled: Twins,
) -> None:
    options = WriteOptions(if_versions=await versions_of(filled))

    async def change_first(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if (method, store_id) == ("write", filled.store_of(1)):
            filled.hosts.before = None
            await filled.documents.delete_ids(ROOT, THREE, ids_of(1)[:1])

    filled.hosts.before = change_first
    error = await refusal(filled, options)
    assert error.fields["id"] == ids_of(1)[0]
    assert sorted(error.fields["acknowledged_ids"]) == sorted(ids_of(0) + ids_of(2))
    assert error.fields["patched"] == len(ids_of(0) + ids_of(2))
    assert await changed(filled) == error.fields["patched"]


async def test_versions_are_looked_at_once_per_host_and_only_when_several_have_some(
    filled: Twins,
) -> None:
    known = await versions_of(filled)
    calls: list[tuple[str, type]] = []

    async def note(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        calls.append((method, type(items[0])))

    filled.hosts.before = note
    patch = filled.documents.patch_ids
    await patch(ROOT, THREE, PATCH, IDS, WriteOptions(if_versions=known))
    assert calls == [("ask", ShardVersions)] * 3 + [("write", ShardPatch)] * 3
    calls.clear()
    known = await versions_of(filled)
    calls.clear()
    (one,) = ids_of(0)[:1]
    await patch(ROOT, THREE, PATCH, [one], WriteOptions(if_versions={one: known[one]}))
    assert calls == [("write", ShardPatch)]


async def test_a_shard_that_cannot_tell_versions_leaves_all_as_it_was(filled: Twins) -> None:
    options = WriteOptions(if_versions=await versions_of(filled))
    filled.hosts.down.add(filled.store_of(1))
    with pytest.raises(Unavailable) as failed:
        await filled.documents.patch_ids(ROOT, THREE, PATCH, IDS, options)
    assert "acknowledged_ids" not in failed.value.fields
    filled.hosts.down.clear()
    assert await changed(filled) == 0
