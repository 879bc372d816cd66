"""The root key: long, stored as a hash, compared as a whole."""

import pytest

from akidb_ray.access.authorization import ROOT, Action, Principal, Resource, RootOnly
from akidb_ray.access.keys import chosen_root_key, hash_key, key_matches, new_root_key
from akidb_ray.domain.errors import Forbidden, InvalidArgument
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import TenantId


def test_new_keys_differ_and_match_only_their_own_hash() -> None:
    first, second = new_root_key(), new_root_key()
    assert first != second
    assert len(first) > 40
    assert key_matches(first, hash_key(first))
    assert not key_matches(first, hash_key(second))
    assert first.encode() not in hash_key(first)


def test_an_operator_may_choose_the_key() -> None:
    chosen = "k" * 24
    assert chosen_root_key({"AKIDB_ROOT_KEY": chosen}) == chosen
    assert chosen_root_key({"AKIDB_ROOT_KEY": ""}) is None
    assert chosen_root_key({}) is None


@pytest.mark.parametrize("key", ["short", "k" * 23, "with a space in it, and long", "é" * 30])
def test_a_key_that_is_easy_to_guess_or_to_mistype_is_refused(key: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        chosen_root_key({"AKIDB_ROOT_KEY": key})
    assert refused.value.fields["field"] == "AKIDB_ROOT_KEY"
    assert key not in str(refused.value)


def test_root_sees_every_row_and_nobody_else_does_anything() -> None:
    resource = Resource("collection", "films", TenantId.new())
    assert RootOnly().authorize(ROOT, Action.READ_DOCUMENTS, resource) == RowFilter()
    with pytest.raises(Forbidden):
        RootOnly().authorize(Principal("eve", TenantId.new()), Action.READ_DOCUMENTS, resource)
