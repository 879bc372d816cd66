"""Changes to a payload: keys set, keys unset, or the whole of it replaced.

A key is a path, as in filters: `a.b` goes into objects. A key that exists literally, dots and all,
is taken as it is. Setting makes the objects on its way; arrays are values and are not gone into.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.flattening import MAX_DEPTH, flatten
from akidb_ray.domain.json_values import check_json


@dataclass(frozen=True, slots=True)
class PayloadPatch:
    """Set first, then unset; with `replace`, the `set` values are all that is left.

    `expires_at` is in seconds since 1970, infinity for never; None leaves it as it is.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    replace: bool = False
    expires_at: float | None = None


def check_patch(patch: PayloadPatch) -> PayloadPatch:
    """Raise InvalidArgument, naming the path, for a patch that cannot be or does nothing."""
    for key in (*patch.set, *patch.unset):
        if not key or "[]" in key:
            raise InvalidArgument("patch", f"{key!r} is not a payload key; arrays are set whole")
        if key.count(".") >= MAX_DEPTH:
            raise InvalidArgument("patch", f"{key!r} is deeper than {MAX_DEPTH} levels")
    both = set(patch.set) & set(patch.unset)
    if both:
        raise InvalidArgument("patch.unset", f"{min(both)!r} is set as well")
    if patch.replace and patch.unset:
        raise InvalidArgument("patch.unset", "has no meaning when the payload is replaced")
    if not (patch.set or patch.unset or patch.replace or patch.expires_at is not None):
        raise InvalidArgument("patch", "changes nothing; set or unset a key")
    if patch.expires_at is not None and not patch.expires_at >= 0:
        raise InvalidArgument("patch.expires_at", "must be seconds since 1970")
    check_json(patch.set, "patch.set")
    try:
        flatten(patched({}, patch))
    except InvalidArgument as error:
        raise InvalidArgument("patch.set", error.fields["reason"]) from None
    return patch


def patched(payload: Mapping[str, Any], patch: PayloadPatch) -> dict[str, Any]:
    """The payload after the patch. The one given is not changed."""
    if patch.replace:
        return dict(patch.set)
    result = dict(payload)
    for key, value in patch.set.items():
        _set(result, key, value)
    for key in patch.unset:
        _unset(result, key)
    return result


def _set(target: dict[str, Any], key: str, value: Any) -> None:
    head, dot, rest = key.partition(".")
    if not dot or key in target:
        target[key] = value
        return
    inner = target.get(head)
    target[head] = dict(inner) if isinstance(inner, Mapping) else {}
    _set(target[head], rest, value)


def _unset(target: dict[str, Any], key: str) -> None:
    if key in target:
        del target[key]
        return
    head, dot, rest = key.partition(".")
    inner = target.get(head)
    if dot and isinstance(inner, Mapping):
        target[head] = dict(inner)
        _unset(target[head], rest)
