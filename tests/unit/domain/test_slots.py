"""A document stays in the shard that its id was hashed to when it was written: nothing here may
ever change.
"""

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from akidb_ray.domain.ids import slot_of, slots_of
from akidb_ray.domain.placement import group_by_shard

RECORDED = {
    "a": 3615,
    "doc-1": 65,
    "tt0111161": 4084,
    "ü": 3950,
    "日本語": 183,
    "x" * 512: 2662,
    "0198c0de-0000-7000-8000-000000000000": 1335,
}


def test_ids_have_the_slots_that_were_recorded() -> None:
    assert {document_id: slot_of(document_id) for document_id in RECORDED} == RECORDED
    assert slots_of(list(RECORDED)) == list(RECORDED.values())


def test_recorded_ids_are_in_the_shards_that_were_recorded() -> None:
    slots = list(RECORDED.values())
    assert group_by_shard(slots, 1) == {0: [0, 1, 2, 3, 4, 5, 6]}
    assert group_by_shard(slots, 3) == {2: [0, 2, 3], 0: [1, 4, 6], 1: [5]}
    assert group_by_shard(slots, 64) == {
        56: [0],
        1: [1],
        63: [2],
        61: [3],
        2: [4],
        41: [5],
        20: [6],
    }


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1)), st.integers(1, 64))
def test_many_ids_go_where_each_goes(ids: list[str], shard_count: int) -> None:
    slots = [xxhash.xxh3_64(document_id.encode()).intdigest() % 4096 for document_id in ids]
    assert slots_of(ids) == [slot_of(document_id) for document_id in ids] == slots
    owner = {
        row: number for number, rows in group_by_shard(slots, shard_count).items() for row in rows
    }
    assert owner == {row: slot * shard_count // 4096 for row, slot in enumerate(slots)}
