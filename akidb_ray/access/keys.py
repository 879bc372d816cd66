"""The root key: made once, shown once, stored as a hash."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping

from akidb_ray.domain.errors import InvalidArgument

ROOT_KEY_VARIABLE = "AKIDB_ROOT_KEY"
_PREFIX = "akdb_root_"
MIN_KEY_CHARACTERS = 24


def new_root_key() -> str:
    """A key of 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def chosen_root_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """The key that the operator chose by AKIDB_ROOT_KEY, None when there is none.

    It must be too long to guess. Raises InvalidArgument.
    """
    key = environment.get(ROOT_KEY_VARIABLE, "")
    if not key:
        return None
    if len(key) < MIN_KEY_CHARACTERS or not key.isprintable() or " " in key or not key.isascii():
        raise InvalidArgument(
            ROOT_KEY_VARIABLE,
            f"must be at least {MIN_KEY_CHARACTERS} printable ASCII characters without spaces",
        )
    return key


def hash_key(key: str) -> bytes:
    """SHA-256. Keys are random and long, so a slow password hash would add cost and no safety."""
    return hashlib.sha256(key.encode()).digest()


def key_matches(key: str, stored_hash: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(hash_key(key), stored_hash)
