"""Tokens and cursors that clients carry: read back as they were made, anything else refused."""

import base64
from collections.abc import Mapping

import msgspec
import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import CollectionId, StoreId
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.scroll_cursor import read_cursor, scroll_cursor
from akidb_ray.domain.version_token import MAX_TOKENS, least_sequences, one_token, version_token

STORE = StoreId.new()
# Fixed: it names test cases, which every process that runs tests must know by the same names.
FILMS = CollectionId.parse("01990000-0000-7000-8000-000000000001")
packed = msgspec.msgpack.encode


def token(reached: Mapping[int, int], epoch: int = 4) -> str:
    return version_token(FILMS, [(ShardPlacement(n, STORE, epoch), s) for n, s in reached.items()])


def test_a_token_says_how_far_each_shard_must_have_got() -> None:
    reached = {0: 5, 2: 2**62, 63: 0}
    assert least_sequences(token(reached), FILMS, 64) == reached
    assert least_sequences(token({}), FILMS, 1) == {}
    assert least_sequences(None, FILMS, 1) == {}


def test_of_several_tokens_the_highest_sequence_of_each_shard_counts() -> None:
    given = ",".join((token({0: 5, 1: 7}), token({0: 4, 2: 9}), token({1: 8}, epoch=9)))
    assert least_sequences(given, FILMS, 3) == {0: 5, 1: 8, 2: 9}
    assert least_sequences(",".join([token({0: 1})] * MAX_TOKENS), FILMS, 1) == {0: 1}
    with pytest.raises(InvalidArgument, match="min_version: must be at most 64"):
        least_sequences(",".join([token({0: 1})] * (MAX_TOKENS + 1)), FILMS, 1)
    for wrong in (",", f"{token({})},", f"{token({})}, {token({})}"):
        with pytest.raises(InvalidArgument, match="is not a version"):
            least_sequences(wrong, FILMS, 1)


def test_a_token_of_another_collection_is_refused_also_beside_a_good_one() -> None:
    other = version_token(CollectionId.new(), [(ShardPlacement(0, STORE), 1)])
    for given in (other, f"{token({0: 1})},{other}"):
        with pytest.raises(InvalidArgument, match="another collection"):
            least_sequences(given, FILMS, 1)


def test_one_token_asks_for_what_any_of_several_does_and_is_of_one_collection() -> None:
    merged = one_token([token({0: 5, 1: 7}), token({0: 4, 2: 9})])
    assert least_sequences(merged, FILMS, 3) == {0: 5, 1: 7, 2: 9}
    other = version_token(CollectionId.new(), [(ShardPlacement(0, STORE), 9)])
    with pytest.raises(InvalidArgument, match="min_version: is a version of another collection"):
        one_token([token({0: 5}), other])


def test_a_token_of_all_shards_that_there_may_be_is_read_back() -> None:
    reached = dict.fromkeys(range(64), 2**63 - 1)
    assert least_sequences(token(reached, epoch=2**40), FILMS, 64) == reached


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"\x91" * 3000,
        packed(5),
        packed(None),
        packed({"a": 1}),
        packed([1, FILMS.bytes]),
        packed([2, FILMS.bytes, []]),
        packed([1, FILMS.bytes, [[1, 1]]]),
        packed([1, FILMS.bytes, [[0, 1, -1]]]),
        packed([1, FILMS.bytes, [[0, 1, 1.5]]]),
        packed([1, FILMS.bytes, [[0, 1, True]]]),
        packed([1, FILMS.bytes, [["0", 1, 1]]]),
        packed([1, FILMS.bytes, [[0, 1, 2**63]]]),
        packed([1, FILMS.bytes, []]) + b"\0",
        b"[[0, 1, 5]]",
    ],
)
def test_a_token_that_no_write_gave_is_refused(content: bytes) -> None:
    for token in (base64.urlsafe_b64encode(content).decode(), content.decode("latin-1"), "é", "="):
        with pytest.raises(InvalidArgument, match="min_version"):
            least_sequences(token, FILMS, 4)


def test_a_token_of_more_shards_than_there_are_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="min_version: names a shard"):
        least_sequences(token({4: 1}), FILMS, 4)


@pytest.mark.parametrize("after", ["a", "ü/日本 ?", "\0", "x" * 512])
def test_a_cursor_is_the_id_that_it_was_made_of(after: str) -> None:
    assert read_cursor(scroll_cursor(after)) == after


@pytest.mark.parametrize("cursor", ["", "=", "%", "_w", "é", "\ud800", scroll_cursor("x" * 513)])
def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    assert read_cursor(None) is None
    with pytest.raises(InvalidArgument, match="cursor"):
        read_cursor(cursor)
