"""Insert-only and update-only writes, patches, conditions: decided against what is stored."""

import json
import math
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import Forbidden, InvalidArgument, PreconditionFailed
from akidb_ray.domain.filter import Filter, HasId, RowFilter
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import (
    ABSENT,
    ShardPatch,
    ShardUpsert,
    UpsertMode,
    WriteOptions,
    WriteOutcome,
)
from akidb_ray.shard.replica import Replica
from tests.unit.shard.shards import (
    SHARD,
    crashed,
    delete,
    get,
    ids_of,
    only,
    patch,
    upsert,
    vectors_for,
)

Settle = Callable[[Replica], None]


def payloads(replica: Replica) -> dict[str, Any]:
    return {d.id: orjson.loads(d.payload or b"null") for d in get(replica, *ids_of(replica))}


def version(replica: Replica, document_id: str) -> int:
    return get(replica, document_id)[0].version


def test_insert_skips_what_is_stored(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", payload={"n": 1})
    settle(replica)
    outcome = upsert(replica, "a", "b", payload={"n": 2}, mode=UpsertMode.INSERT)
    assert (outcome.affected, outcome.skipped) == (1, 1)
    assert payloads(replica) == {"a": {"n": 1}, "b": {"n": 2}}
    assert payloads(crashed(replica)) == {"a": {"n": 1}, "b": {"n": 2}}


def test_update_skips_what_is_not_stored(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", payload={"n": 1})
    settle(replica)
    outcome = upsert(replica, "a", "b", payload={"n": 2}, mode=UpsertMode.UPDATE)
    assert (outcome.affected, outcome.skipped) == (1, 1)
    assert payloads(replica) == {"a": {"n": 2}}


def test_write_that_changes_nothing_is_not_logged(replica: Replica) -> None:
    before = upsert(replica, "a")
    outcome = upsert(replica, "a", mode=UpsertMode.INSERT)
    assert outcome == WriteOutcome(before.sequence, 0, 1)
    assert delete(replica, options=WriteOptions(only_if=only("n", 1))).sequence == before.sequence


def test_expected_version_lets_a_write_pass_once(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", payload={"n": 1})
    settle(replica)
    options = WriteOptions(if_versions={"a": version(replica, "a")})
    upsert(replica, "a", payload={"n": 2}, options=options)
    with pytest.raises(PreconditionFailed, match="'a' has version") as caught:
        upsert(replica, "a", payload={"n": 3}, options=options)
    assert caught.value.fields == {"id": "a", "version": version(replica, "a")}
    assert payloads(replica) == {"a": {"n": 2}}


def test_one_wrong_version_refuses_the_whole_batch(replica: Replica) -> None:
    upsert(replica, "a", "b", payload={"n": 1})
    with pytest.raises(PreconditionFailed):
        upsert(replica, "a", "b", options=WriteOptions(if_versions={"b": 99}))
    with pytest.raises(PreconditionFailed):
        delete(replica, "a", options=WriteOptions(if_versions={"b": 99}))
    with pytest.raises(PreconditionFailed):
        patch(replica, "a", set={"n": 5}, options=WriteOptions(if_versions={"b": 99}))
    assert payloads(replica) == {"a": {"n": 1}, "b": {"n": 1}}


def test_absent_is_a_version_to_expect(replica: Replica) -> None:
    options = WriteOptions(if_versions={"a": ABSENT})
    upsert(replica, "a", options=options)
    with pytest.raises(PreconditionFailed, match="was to be missing"):
        upsert(replica, "a", options=options)
    delete(replica, "a")
    upsert(replica, "a", options=options)
    with pytest.raises(PreconditionFailed, match="'b' does not exist, version 3"):
        delete(replica, "a", options=WriteOptions(if_versions={"b": 3}))


def test_condition_holds_back_stored_documents_that_do_not_pass(
    replica: Replica, settle: Settle
) -> None:
    upsert(replica, "a", payload={"draft": True})
    upsert(replica, "b", payload={"draft": False})
    settle(replica)
    drafts = WriteOptions(only_if=only("draft", True))
    outcome = upsert(replica, "a", "b", "c", payload={"n": 1}, options=drafts)
    assert (outcome.affected, outcome.skipped) == (2, 1)
    assert payloads(replica) == {"a": {"n": 1}, "b": {"draft": False}, "c": {"n": 1}}
    assert delete(replica, "b", "x", options=drafts) == WriteOutcome(outcome.sequence, 0, 2)


def test_condition_without_a_must_holds_back_documents_too(
    replica: Replica, settle: Settle
) -> None:
    upsert(replica, "a", "b", payload={"draft": True})
    settle(replica)
    (is_draft,) = only("draft", True).must
    for held_back in (Filter(must_not=(is_draft,)), Filter(should=(HasId(("x",)),))):
        options = WriteOptions(only_if=held_back)
        assert upsert(replica, "a", payload={"n": 1}, options=options).affected == 0
        assert delete(replica, "a", options=options).affected == 0
        assert patch(replica, "a", set={"n": 1}, options=options).affected == 0
    by_id = WriteOptions(only_if=Filter(should=(HasId(("a",)),)))
    assert delete(replica, "a", "b", options=by_id).affected == 1
    assert ids_of(replica) == ["b"]


def test_patch_sets_and_unsets_keys_and_keeps_the_rest(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", payload={"n": 1, "deep": {"x": 1, "y": 2}})
    before = get(replica, "a")[0]
    settle(replica)
    outcome = patch(replica, "a", "missing", set={"deep.x": 9, "tags": ["t"]}, unset=("n",))
    assert (outcome.affected, outcome.skipped) == (1, 1)
    for now in (replica, crashed(replica)):
        after = get(now, "a")[0]
        assert orjson.loads(after.payload or b"") == {"deep": {"x": 9, "y": 2}, "tags": ["t"]}
        assert after.version == outcome.sequence
        assert (after.text, after.vector.tobytes()) == (before.text, before.vector.tobytes())
        assert ids_of(now, only("tags", "t")) == ["a"]
        assert ids_of(now, only("n", 1)) == []


def test_patch_replaces_the_payload(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", payload={"n": 1})
    upsert(replica, "none")
    settle(replica)
    patch(replica, "a", "none", set={"m": 2}, replace=True)
    assert payloads(replica) == {"a": {"m": 2}, "none": {"m": 2}}


def test_patch_by_filter_changes_all_that_pass(replica: Replica, settle: Settle) -> None:
    upsert(replica, "a", "b", payload={"n": 1})
    upsert(replica, "c", payload={"n": 2})
    settle(replica)
    change = PayloadPatch(set={"seen": True})
    outcome = replica.write(ShardPatch(SHARD, RowFilter(), change, filter=only("n", 1)))
    assert outcome.affected == 2
    assert ids_of(replica, only("seen", True)) == ["a", "b"]


def test_patched_cosine_vector_comes_back_as_it_was(replica: Replica) -> None:
    upsert(replica, "a")
    for _ in range(5):
        patch(replica, "a", set={"n": 1})
    (found,) = get(replica, "a")
    assert found.vector == pytest.approx(vectors_for(["a"])[0], rel=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"set": {"n": object()}}, {"set": {"n": math.inf}}, {"set": {}}, {"unset": ("a[]",)}],
)  # fmt: skip
def test_patch_that_cannot_be_is_refused_and_changes_nothing(
    replica: Replica, change: dict[str, Any]
) -> None:
    upsert(replica, "a", payload={"n": 1})
    with pytest.raises(InvalidArgument):
        patch(replica, "a", **change)
    assert payloads(replica) == {"a": {"n": 1}}


def test_patch_keeps_whole_numbers_of_more_than_64_bits_as_they_are(replica: Replica) -> None:
    raw = json.dumps({"n": 2**70, "old": 10**300}).encode()
    batch = DocumentBatch(["a"], vectors_for(["a"]), [None], [raw])
    replica.write(ShardUpsert(SHARD, batch, RowFilter()))
    patch(replica, "a", set={"more": -(2**80)}, unset=("x",))
    (found,) = get(replica, "a")
    assert json.loads(found.payload or b"") == {"n": 2**70, "old": 10**300, "more": -(2**80)}


def test_patch_cannot_move_a_document_out_of_sight_or_touch_a_hidden_one(replica: Replica) -> None:
    ours = RowFilter(only("owner", "us"))
    upsert(replica, "a", payload={"owner": "us"})
    upsert(replica, "b", payload={"owner": "them"})
    with pytest.raises(Forbidden):
        patch(replica, "a", visible=ours, set={"owner": "them"})
    assert patch(replica, "b", visible=ours, set={"x": 1}) == WriteOutcome(2, 0, 1)
    hidden = WriteOptions(if_versions={"b": ABSENT})
    patch(replica, "a", visible=ours, set={"x": 1}, options=hidden)
    assert payloads(replica) == {"a": {"owner": "us", "x": 1}, "b": {"owner": "them"}}
