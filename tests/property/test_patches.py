"""A patch does what its words say, whatever the payload is."""

from typing import Any

import orjson
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.patch import PayloadPatch, check_patch, patched
from tests.property.meaning import payload_after

names = st.sampled_from(["a", "b", "c", "ü", "a.b", "b.c", "a.b.c", ""])
keys = st.sampled_from(["a", "b", "ü", "a.b", "a.b.c", "b.c", "c.a", "a.", ".", "a..b"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
payloads = st.dictionaries(names, values, max_size=4)
patches = st.builds(
    PayloadPatch,
    st.dictionaries(keys, values, max_size=3),
    st.lists(keys, max_size=3).map(tuple),
    st.booleans(),
)


@given(payloads, patches)
@example({"a.b": 1, "a": {"b": 2}}, PayloadPatch({"a.b": 3}, ("a.b.c",)))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_patch_does_what_its_words_say(payload: dict[str, Any], patch: PayloadPatch) -> None:
    try:
        check_patch(patch)
    except InvalidArgument:
        assume(False)
    before = orjson.dumps([payload, dict(patch.set)])
    after = patched(payload, patch)
    # Encoded, so that True is not 1, and the order of the keys counts.
    assert orjson.dumps(after) == orjson.dumps(payload_after(payload, patch))
    assert orjson.dumps([payload, dict(patch.set)]) == before
