"""Version tokens: how far each shard had got after a write, as opaque text.

A client that names the token of a write in a read sees that write. Today's form is the base64 of
[[shard, epoch, sequence], ...]; a shard that is not named may be at any version.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping

import orjson

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.placement import ShardPlacement

_MAX_TOKEN_BYTES = 8192


def version_token(reached: Iterable[tuple[ShardPlacement, int]]) -> str:
    """The token of the sequences that these shards have reached."""
    parts = [[placement.number, placement.epoch, sequence] for placement, sequence in reached]
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def least_sequences(token: str | None, shard_count: int) -> Mapping[int, int]:
    """The sequence that each named shard must have reached; of no token: none.

    Sequences go on from epoch to epoch, so the epoch asks for nothing more. Raises InvalidArgument
    that names `min_version`.
    """
    if token is None:
        return {}
    try:
        if len(token) > _MAX_TOKEN_BYTES:
            raise ValueError(token[:10])
        padded = token.encode() + b"=" * (-len(token) % 4)
        parts = orjson.loads(base64.b64decode(padded, b"-_", validate=True))
        reached = {_whole(number): _whole(sequence) for number, _, sequence in parts}
    except (ValueError, TypeError, binascii.Error):
        raise InvalidArgument("min_version", "is not a version that a write answered") from None
    if any(number >= shard_count for number in reached):
        raise InvalidArgument("min_version", "is a version of another collection")
    return reached


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(value)
    return value
