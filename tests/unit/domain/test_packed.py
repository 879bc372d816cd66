"""Values kept as bytes: unpacked they are what they were."""

import pickle

import pytest

from akidb_ray.domain.collection import Collection, CollectionState
from akidb_ray.domain.packed import PackedMapping, PackedSequence, pack
from tests.contract.catalog.things import SPEC, START, a_collection, a_database, a_tenant

TENANT = a_tenant(metadata={"seats": [1, 2, {"x": None}]})
DATABASE = a_database(TENANT.tenant_id)
COLLECTIONS = [a_collection(DATABASE.database_id, number) for number in range(5)]


def packed(*parts: list[Collection]) -> PackedSequence[Collection]:
    sequence = PackedSequence[Collection](map(pack, parts), sum(map(len, parts)))
    again: PackedSequence[Collection] = pickle.loads(pickle.dumps(sequence))
    return again


def test_a_packed_sequence_is_that_of_its_values() -> None:
    sequence = packed(COLLECTIONS[:3], COLLECTIONS[3:])
    assert list(sequence) == COLLECTIONS
    assert (len(sequence), sequence[1], sequence[-1]) == (5, COLLECTIONS[1], COLLECTIONS[4])
    assert sequence[3:] == tuple(COLLECTIONS[3:])
    assert sequence == tuple(COLLECTIONS)
    assert tuple(COLLECTIONS) == sequence
    assert sequence != COLLECTIONS[:4]
    assert hash(sequence) == hash(packed(COLLECTIONS))
    with pytest.raises(IndexError):
        sequence[5]


def test_values_of_all_kinds_come_back_with_their_types() -> None:
    values = (TENANT, DATABASE, *COLLECTIONS, START)
    again = tuple(PackedSequence[object]([pack(values)], len(values)))
    assert again == values
    assert list(map(type, again)) == list(map(type, values))
    state = again[2]
    assert isinstance(state, Collection)
    assert state.state is CollectionState.READY


def test_what_values_have_in_common_is_there_once() -> None:
    first, second = packed([COLLECTIONS[0], COLLECTIONS[1]])
    assert first.spec == SPEC
    assert first.spec is second.spec
    assert first.database_id is second.database_id


def test_a_packed_mapping_is_that_of_its_pairs() -> None:
    plain = {collection.collection_id: collection.name for collection in COLLECTIONS}
    mapping = PackedMapping(PackedSequence(map(pack, [list(plain.items())]), len(plain)))
    again = pickle.loads(pickle.dumps(mapping))
    assert again == plain
    assert plain == again
    assert len(again) == 5
    assert again[COLLECTIONS[2].collection_id] == COLLECTIONS[2].name
    assert again.get(TENANT.tenant_id) is None
    assert again == pickle.loads(pickle.dumps(again)), "also after it was used"
