"""Tokens and cursors that clients carry: read back as they were made, anything else refused."""

import base64

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import StoreId
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.scroll_cursor import read_cursor, scroll_cursor
from akidb_ray.domain.version_token import least_sequences, version_token

STORE = StoreId.new()


def test_a_token_says_how_far_each_shard_must_have_got() -> None:
    reached = {0: 5, 2: 2**62, 63: 0}
    token = version_token([(ShardPlacement(n, STORE, 4), s) for n, s in reached.items()])
    assert least_sequences(token, 64) == reached
    assert least_sequences(version_token([]), 1) == {}
    assert least_sequences(None, 1) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"5",
        b"null",
        b"[[1, 1]]",
        b"[[0, 1, -1]]",
        b"[[0, 1, 1.5]]",
        b"[[0, 1, true]]",
        b'[["0", 1, 1]]',
        b"[[0, 1, 9223372036854775808]]",
        b'{"a": 1}',
        b"[[[], 1, 1]]",
        b"\xff",
        b"[" * 5000,
    ],
)
def test_a_token_that_no_write_gave_is_refused(content: bytes) -> None:
    for token in (base64.urlsafe_b64encode(content).decode(), content.decode("latin-1"), "é", "="):
        with pytest.raises(InvalidArgument, match="min_version"):
            least_sequences(token, 4)


def test_a_token_of_more_shards_than_there_are_is_refused() -> None:
    token = version_token([(ShardPlacement(4, STORE), 1)])
    with pytest.raises(InvalidArgument, match="another collection"):
        least_sequences(token, 4)


@pytest.mark.parametrize("after", ["a", "ü/日本 ?", "\0", "x" * 512])
def test_a_cursor_is_the_id_that_it_was_made_of(after: str) -> None:
    assert read_cursor(scroll_cursor(after)) == after


@pytest.mark.parametrize("cursor", ["", "=", "%", "_w", "é", "\ud800", scroll_cursor("x" * 513)])
def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    assert read_cursor(None) is None
    with pytest.raises(InvalidArgument, match="cursor"):
        read_cursor(cursor)
