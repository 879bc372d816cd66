"""What a write means, said as simply as possible: the other half of the oracle."""

from typing import Any

import orjson

from akidb_ray.domain.errors import PreconditionFailed
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import (
    ABSENT,
    ShardDelete,
    ShardPatch,
    ShardUpsert,
    ShardWrite,
    UpsertMode,
)
from tests.property.oracle import Change, Documents, Known, documents_of


def change_of(write: ShardWrite, alive: Documents) -> Change:
    """What a write does to the documents that have not expired. Raises PreconditionFailed."""
    for id, wanted in write.options.if_versions.items():
        if (alive[id].version if id in alive else ABSENT) != wanted:
            raise PreconditionFailed(f"{id!r} has another version")
    if isinstance(write, ShardUpsert):
        return _upserted(write, alive)
    named = list(alive) if write.ids is None else list(dict.fromkeys(write.ids))
    if write.ids is None:
        named = [id for id in named if passes(write.filter, alive[id].flat, id)]
    chosen = [id for id in named if id in alive and _is_free(alive, id, write.options.only_if)]
    counts = (len(chosen), len(named) - len(chosen))
    if isinstance(write, ShardDelete):
        return Change({}, frozenset(chosen), *counts)
    assert isinstance(write, ShardPatch)
    return Change({id: _patched(alive[id], write.patch) for id in chosen}, frozenset(), *counts)


def _upserted(write: ShardUpsert, alive: Documents) -> Change:
    documents = documents_of(write.documents)
    put = {
        id: document
        for id, document in documents.items()
        if not (write.mode is UpsertMode.INSERT and id in alive)
        and not (write.mode is UpsertMode.UPDATE and id not in alive)
        and not (id in alive and not _is_free(alive, id, write.options.only_if))
    }
    return Change(put, frozenset(), len(put), len(documents) - len(put))


def _is_free(alive: Documents, id: str, only_if: Filter) -> bool:
    return passes(only_if, alive[id].flat, id)


def _patched(document: Known, patch: PayloadPatch) -> Known:
    expires_at = document.expires_at if patch.expires_at is None else patch.expires_at
    payload = orjson.dumps(payload_after(document.content, patch))
    return Known(document.vector, document.text, payload, expires_at)


def payload_after(payload: dict[str, Any], patch: PayloadPatch) -> dict[str, Any]:
    """The payload after a patch, by the words of `domain/patch.py`, one step at a time."""
    if patch.replace:
        return dict(patch.set)
    after, values = orjson.loads(orjson.dumps([payload, dict(patch.set)]))
    for key, value in values.items():
        target, name = _place(after, key, make=True)
        target[name] = value
    for key in patch.unset:
        target, name = _place(after, key, make=False)
        target.pop(name, None)
    return after


def _place(payload: dict[str, Any], key: str, *, make: bool) -> tuple[dict[str, Any], str]:
    """The object that a key ends in, and its name there."""
    here = payload
    while key not in here and "." in key:
        head, rest = key.split(".", 1)
        if not isinstance(here.get(head), dict):
            if not make:
                return {}, key
            here[head] = {}
        here, key = here[head], rest
    return here, key
