"""What a patch makes of a payload."""

import math
from typing import Any

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.patch import PayloadPatch, check_patch, patched


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("payload", "patch", "wanted"),
    [
        ({"a": 1, "b": 2}, PayloadPatch(set={"b": 3, "c": 4}), {"a": 1, "b": 3, "c": 4}),
        ({"a": 1, "b": 2}, PayloadPatch(unset=("a", "x")), {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, PayloadPatch(set={"a.b": 5}), {"a": {"b": 5, "c": 2}}),
        ({"a": {"b": 1, "c": 2}}, PayloadPatch(unset=("a.b",)), {"a": {"c": 2}}),
        ({}, PayloadPatch(set={"a.b.c": 1}), {"a": {"b": {"c": 1}}}),
        ({"a": 7}, PayloadPatch(set={"a.b": 1}), {"a": {"b": 1}}),
        ({"a.b": 1}, PayloadPatch(set={"a.b": 2}), {"a.b": 2}),
        ({"a.b": 1, "a": {"b": 9}}, PayloadPatch(unset=("a.b",)), {"a": {"b": 9}}),
        ({"a": 1}, PayloadPatch(set={"b": 2}, replace=True), {"b": 2}),
        ({"a": 1}, PayloadPatch(replace=True), {}),
        ({"a": 1}, PayloadPatch(unset=("a.b",)), {"a": 1}),
        ({"a": 1}, PayloadPatch(expires_at=5.0), {"a": 1}),
        ({}, PayloadPatch(set={"a": 2**70, "b": -(2**64)}), {"a": 2**70, "b": -(2**64)}),
        ({}, PayloadPatch(set={"a": nested(98)}), {"a": nested(98)}),
    ],
)  # fmt: skip
def test_patch_changes_what_it_names(
    payload: dict[str, Any], patch: PayloadPatch, wanted: dict[str, Any]
) -> None:
    assert patched(payload, check_patch(patch)) == wanted


def test_patched_payload_leaves_the_former_one_alone() -> None:
    payload = {"a": {"b": {"c": 1}}}
    patched(payload, PayloadPatch(set={"a.b.c": 2}, unset=("a.b.d",)))
    patched(payload, PayloadPatch(unset=("a.b.c",)))
    assert payload == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        (PayloadPatch(), "patch"),
        (PayloadPatch(set={"": 1}), "patch"),
        (PayloadPatch(unset=("a[].b",)), "patch"),
        (PayloadPatch(set={"a": 1}, unset=("a",)), "patch.unset"),
        (PayloadPatch(unset=("a",), replace=True), "patch.unset"),
        (PayloadPatch(expires_at=math.nan), "patch.expires_at"),
        (PayloadPatch(expires_at=-1.0), "patch.expires_at"),
        (PayloadPatch(set={".".join("a" * 200): 1}), "patch"),
        (PayloadPatch(set={"a": math.nan}), "patch.set.a"),
        (PayloadPatch(set={"a": {"b": [1, -math.inf]}}), "patch.set.a.b[1]"),
        (PayloadPatch(set={"a.b": 10**400}), "patch.set.a.b"),
        (PayloadPatch(set={"a": ["\ud800"]}), "patch.set.a[0]"),
        (PayloadPatch(set={"a": {"\ud800": 1}}), "patch.set.a"),
        (PayloadPatch(set={"a": {1: 2}}), "patch.set.a"),
        (PayloadPatch(set={"a": {2}}), "patch.set.a"),
        (PayloadPatch(set={"a.b": nested(99)}), "patch.set"),
        (PayloadPatch(set={"a": nested(5000)}), "patch.set"),
    ],
)
def test_patch_that_cannot_be_is_refused(patch: PayloadPatch, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_patch(patch)
    assert caught.value.fields["field"] == field
