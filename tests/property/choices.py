"""What a history of a shard is made of, chosen by Hypothesis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from hypothesis import strategies as st

from akidb_ray.domain.document import NEVER, DocumentBatch, Vectors
from akidb_ray.domain.filter import EVERYTHING, Filter, Match, Range
from akidb_ray.domain.patch import PayloadPatch
from akidb_ray.domain.write import Durability

DIMENSION = 16
FILTERS = [
    EVERYTHING,
    Filter((Match("n", (1, 3)),)),
    Filter((Range("n", gte=2, lt=5.5),)),
    Filter((Match("tags", ("x",)), Range("n", lt=4))),
    Filter((Match("deep.x", (True, "ü")),)),
]
# In seconds. A document with a lifetime of 0 has expired already.
SPANS_S = [0.5, 1.0, 5.0, 40.0, 3_600.0, 86_399.5, 86_400.0]
WORDS = ["red", "the", "Films", "running", "film", "größe", "run", "日本"]
DEEDS = ["write", "buffer", "patch", "attach", "tick", "flush", "improve", "hold"]

ids = st.sampled_from([*map(str, range(45)), "ü", "日本", "a b"])
id_lists = st.lists(ids, max_size=16)
seeds = st.integers(0, 2**16)
filters = st.sampled_from(FILTERS)
lifetimes = st.sampled_from([-1.0, 0.0, *SPANS_S, NEVER])
tags = st.lists(st.sampled_from("xyz"), max_size=3)
numbers = st.integers(0, 6) | st.floats(0, 6)
deep = st.fixed_dictionaries({}, optional={"x": st.sampled_from([True, 1, "ü", None])})
payloads = st.none() | st.fixed_dictionaries(
    {}, optional={"n": numbers, "tags": tags, "deep": deep}
)


def vectors_of(count: int, seed: int) -> Vectors:
    """In four clusters, some of them equal."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(4, DIMENSION)) * 3
    vectors = centres[rng.integers(0, 4, count)] + rng.normal(size=(count, DIMENSION))
    vectors[rng.random(count) < 0.1] = centres[0]
    return vectors.astype(np.float32)


def text_of(seed: int, row: int) -> str | None:
    """Some common words, in some order, some of them twice; and the numbers, which are rare."""
    if row % 5 == 0:
        return None
    number = 31 * seed + 7 * row
    chosen = [WORDS[(number >> shift) % len(WORDS)] for shift in range(1 + number % 5)]
    return f"{' '.join(chosen)}, {seed} {row}"


@dataclass(frozen=True)
class Draft:
    """Documents with these ids. They take payloads and lifetimes in turn."""

    ids: Sequence[str]
    payloads: Sequence[Mapping[str, Any] | None] = (None,)
    lifetimes_s: Sequence[float] = (NEVER,)
    seed: int = 0

    def batch(self, now: float) -> DocumentBatch:
        count = len(self.ids)
        contents = [self.payloads[row % len(self.payloads)] for row in range(count)]
        ends = [now + self.lifetimes_s[row % len(self.lifetimes_s)] for row in range(count)]
        return DocumentBatch(
            list(self.ids),
            vectors_of(count, self.seed),
            [text_of(self.seed, row) for row in range(count)],
            [None if content is None else orjson.dumps(content) for content in contents],
            None if set(self.lifetimes_s) == {NEVER} else np.array(ends, np.float64),
        )


some_lifetimes = st.just([NEVER]) | st.lists(lifetimes, min_size=1, max_size=4)
drafts = st.builds(
    Draft, id_lists, st.lists(payloads, min_size=1, max_size=5), some_lifetimes, seeds
)


@dataclass(frozen=True)
class Terms:
    """On what terms a write is made; `versions` says how its first ids are checked."""

    durability: Durability = Durability.FSYNC
    key: str | None = None
    versions: str = "any"
    only_if: Filter = EVERYTHING


PLAIN, BUFFERED = Terms(), Terms(Durability.BUFFERED)
terms = st.sampled_from([PLAIN, BUFFERED]) | st.builds(
    Terms,
    st.sampled_from(Durability),
    st.none() | st.sampled_from([f"k{number}" for number in range(12)]),
    st.sampled_from(["any", "any", "right", "wrong"]),
    st.sampled_from([EVERYTHING, EVERYTHING, *FILTERS]),
)


@dataclass(frozen=True)
class PatchDraft:
    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    replace: bool = False
    lifetime_s: float | None = None

    def patch(self, now: float) -> PayloadPatch:
        expires_at = None if self.lifetime_s is None else now + self.lifetime_s
        return PayloadPatch(self.set, self.unset, self.replace, expires_at)


set_values = st.fixed_dictionaries(
    {}, optional={"n": numbers, "tags": tags, "deep.x": st.sampled_from([True, 2]), "deep": deep}
)
unset_keys = st.lists(st.sampled_from(["n", "tags", "deep.x", "o.p"]), max_size=2, unique=True)


@st.composite
def _changes(draw: st.DrawFn) -> PatchDraft:
    values, keys = draw(set_values), draw(unset_keys)
    lifetime_s = draw(st.none() | lifetimes)
    if draw(st.integers(0, 3)) == 0:
        return PatchDraft(values, replace=True, lifetime_s=lifetime_s)
    unset = tuple(key for key in keys if key not in values)
    if not values and not unset and lifetime_s is None:
        unset = ("n",)
    return PatchDraft(values, unset, lifetime_s=lifetime_s)


patches = _changes()


@dataclass(frozen=True)
class Interruption:
    """Something done at the `after`-th step of some work where another thread could do it."""

    after: int
    deed: str
    draft: Draft


interruptions = st.none() | st.builds(
    Interruption, st.integers(1, 40), st.sampled_from(DEEDS), drafts
)
