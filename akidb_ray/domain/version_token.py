"""Version tokens: how far the shards of a collection had got after a write, as opaque text.

A client that names the token of a write in a read sees that write. Whoever writes in several
requests names all of their tokens, with commas between them: of each shard the highest sequence
counts. A shard that no token names may be at any version.

Today's form is the base64 of msgpack: [1, the collection's id, [[shard, epoch, sequence], ...]].
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import CollectionId
from akidb_ray.domain.placement import ShardPlacement

MAX_TOKENS = 64
_MAX_TOKEN_BYTES = 4096
_FORMAT = 1
_Whole = Annotated[int, msgspec.Meta(ge=0)]


class _Token(msgspec.Struct, frozen=True, array_like=True):
    format: int
    collection: bytes
    reached: list[tuple[_Whole, _Whole, _Whole]]


def version_token(
    collection_id: CollectionId, reached: Iterable[tuple[ShardPlacement, int]]
) -> str:
    """The token of the sequences that these shards have reached."""
    parts = [(placement.number, placement.epoch, sequence) for placement, sequence in reached]
    encoded = msgspec.msgpack.encode(_Token(_FORMAT, collection_id.bytes, parts))
    return base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def least_sequences(
    tokens: str | None, collection_id: CollectionId, shard_count: int
) -> Mapping[int, int]:
    """The sequence that each named shard must have reached; of no token: none.

    Sequences go on from epoch to epoch, and an acknowledged write outlives the epoch in which it
    was made: so the token of an older epoch asks for the same. Raises InvalidArgument that names
    `min_version`, also for the token of another collection, such as one of the same name that was
    deleted since.
    """
    if tokens is None:
        return {}
    given = tokens.split(",")
    if len(given) > MAX_TOKENS:
        raise InvalidArgument("min_version", f"must be at most {MAX_TOKENS} versions")
    least: dict[int, int] = {}
    for token in map(_read, given):
        _check_collection(token, collection_id.bytes)
        for number, _, sequence in token.reached:
            if number >= shard_count:
                raise InvalidArgument("min_version", "names a shard that there is not")
            least[number] = max(sequence, least.get(number, 0))
    return least


def one_token(tokens: Iterable[str]) -> str:
    """The token of several writes to one collection, at least one: it asks for what any of theirs
    does. Raises InvalidArgument as `least_sequences`, also when their collections differ.
    """
    read = [_read(token) for token in tokens]
    highest: dict[int, tuple[int, int, int]] = {}
    for token in read:
        _check_collection(token, read[0].collection)
        for part in token.reached:
            known = highest.get(part[0], part)
            highest[part[0]] = max(known, part, key=lambda reached: reached[2])
    merged = _Token(_FORMAT, read[0].collection, list(highest.values()))
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(merged)).decode().rstrip("=")


def _check_collection(token: _Token, collection: bytes) -> None:
    if token.collection != collection:
        reason = "is a version of another collection, or of one that was deleted since"
        raise InvalidArgument("min_version", reason)


def _read(token: str) -> _Token:
    try:
        if len(token) > _MAX_TOKEN_BYTES:
            raise ValueError(token[:10])
        padded = token.encode() + b"=" * (-len(token) % 4)
        read = msgspec.msgpack.decode(base64.b64decode(padded, b"-_", validate=True), type=_Token)
        if read.format != _FORMAT or any(s >= 2**63 for _, _, s in read.reached):
            raise ValueError(read.format)
    except ValueError:
        raise InvalidArgument("min_version", "is not a version that a write answered") from None
    return read
