"""Answers given for idempotency keys, so that a write that is sent again is not carried out again.

They live in the log with the writes they answer, in memory, and in a file that each checkpoint
writes, because the log before it may go.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
import xxhash

from akidb_ray.domain.errors import Corrupt, Exhausted, InvalidArgument
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.write import ShardDelete, ShardPatch, ShardUpsert, ShardWrite, WriteOutcome
from akidb_ray.shard.operations import Answer

# A key, its entry in the dictionary and the answer, measured.
_BYTES_PER_KEY = 400


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer, the position of its write, and when it was given, in seconds since 1970."""

    answer: Answer
    sequence: int
    given_at: float

    @property
    def outcome(self) -> WriteOutcome:
        return WriteOutcome(self.sequence, self.answer.affected, self.answer.skipped)


@dataclass(frozen=True, slots=True)
class Request:
    """Digests of a key and of the write that came with it, 16 bytes each."""

    key: bytes
    fingerprint: bytes

    def answer(self, affected: int, skipped: int) -> Answer:
        return Answer(self.key, self.fingerprint, affected, skipped)


def request_of(write: ShardWrite) -> Request | None:
    """What identifies a write that carries a key, else None."""
    key = write.options.idempotency_key
    if key is None:
        return None
    return Request(xxhash.xxh3_128_digest(key.encode()), _fingerprint(write))


def _fingerprint(write: ShardWrite) -> bytes:
    digest = xxhash.xxh3_128(type(write).__name__.encode())
    options = sorted(write.options.if_versions.items()), _conditions(write.options.only_if)
    if isinstance(write, ShardUpsert):
        batch = write.documents
        digest.update(np.ascontiguousarray(batch.vectors).data)
        if batch.expires_at is not None:
            digest.update(np.ascontiguousarray(batch.expires_at).data)
        content: object = [list(batch.ids), list(batch.texts), list(batch.payloads), write.mode]
    elif isinstance(write, ShardDelete):
        content = [write.ids, _conditions(write.filter)]
    else:
        content = [write.ids, _conditions(write.filter), _patch_content(write)]
    digest.update(msgspec.msgpack.encode([options, content]))
    return digest.digest()


def _conditions(filter: Filter) -> list[str]:
    # Kept for a day: a later version must make the same of a write that is sent again.
    nested = any(isinstance(clause, Filter) for clause in filter.must)
    if nested or filter.should or filter.must_not:
        return [repr(filter)]
    return [repr(condition) for condition in filter.must]


def _patch_content(write: ShardPatch) -> object:
    patch = write.patch
    values: object = dict(patch.set)
    try:
        msgspec.msgpack.encode(values)
    except OverflowError:
        # It has no whole numbers of more than 64 bits.
        values = json.dumps(values)
    return [values, list(patch.unset), patch.replace, patch.expires_at]


class Answers:
    """The answers of one replica. Only its writer uses them, under the commit lock."""

    def __init__(self, keep_s: float, max_keys: int) -> None:
        self._keep_s = keep_s
        self._max_keys = max_keys
        # In the order in which they were given, so that the oldest are first.
        self._by_key: dict[bytes, KeptAnswer] = {}
        self.dirty = False

    @property
    def size_bytes(self) -> int:
        return len(self._by_key) * _BYTES_PER_KEY

    def find(self, request: Request, now: float) -> WriteOutcome | None:
        """The outcome of the write when it was carried out before.

        Raises InvalidArgument when the key came with another write, Exhausted when there is no
        room for another key.
        """
        self._drop_old(now)
        kept = self._by_key.get(request.key)
        if kept is None:
            if len(self._by_key) >= self._max_keys:
                raise Exhausted(
                    f"this shard remembers {self._max_keys} idempotency keys of the last "
                    f"{self._keep_s:.0f} s already; write without a key, or later"
                )
            return None
        if kept.answer.fingerprint != request.fingerprint:
            reason = "was used for another request before; use a new key for each request"
            raise InvalidArgument("idempotency_key", reason)
        return kept.outcome

    def keep(self, answer: Answer, sequence: int, given_at: float) -> None:
        self._by_key.pop(answer.key, None)
        self._by_key[answer.key] = KeptAnswer(answer, sequence, given_at)
        self.dirty = True

    def _drop_old(self, now: float) -> None:
        while self._by_key:
            key, oldest = next(iter(self._by_key.items()))
            if oldest.given_at > now - self._keep_s:
                return
            del self._by_key[key]
            self.dirty = True

    def encode(self, now: float) -> bytes:
        """All answers, as a file holds them; b"" when there are none."""
        self._drop_old(now)
        return msgspec.msgpack.encode(list(self._by_key.values())) if self._by_key else b""

    def load(self, raw: bytes, file: str) -> None:
        """Raises Corrupt."""
        try:
            kept: Iterable[KeptAnswer] = msgspec.msgpack.decode(raw, type=list[KeptAnswer])
        except msgspec.MsgspecError as error:
            raise Corrupt(file, f"cannot be decoded: {error}") from error
        self._by_key = {one.answer.key: one for one in kept}
