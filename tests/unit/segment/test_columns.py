from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.filter import Condition, Filter, Match, Range, flatten, passes
from akidb_ray.segment.columns import MAX_PATHS, Columns, decode_columns, encode_columns

PAYLOADS: list[dict[str, Any]] = [
    {},
    {"n": 1, "s": "a", "b": True},
    {"n": 1.0, "s": "b", "b": False},
    {"n": 2.5, "s": "", "b": [True, False]},
    {"n": -3, "s": ["a", "z", "a"]},
    {"n": [1, 5, 2.5], "s": "ä"},
    {"n": 0, "s": "日本"},
    {"n": -0.0, "s": "\U0001f600"},
    {"n": 2**53 + 1},
    {"n": float(2**53)},
    {"n": 2**63 - 1},
    {"n": 2**63},
    {"n": 2**63 + 1},
    {"n": 2**64 - 1},
    {"n": -(2**63)},
    {"n": 1e300},
    {"n": 5e-324},
    {"n": True, "s": 1, "b": 0},
    {"n": "1", "s": True, "b": "true"},
    {"n": None, "s": [], "b": {}},
    {"n": {"n": 4}, "s": [{"s": "in"}]},
]
VALUES: list[Any] = [
    1, 1.0, True, False, 0, -0.0, 2.5, -3, 5, "a", "b", "", "z", "ä", "日本", "\U0001f600", "1",
    "true", 2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2**63, 2**63 + 1, float(2**63), 2**64 - 1,
    2**64,
    -(2**63), 1e300, 5e-324, float("inf"), float("-inf"), 10**400, "\ud800",
]  # fmt: skip
KEYS = ["n", "s", "b", "n.n", "s[].s", "missing"]


def _columns(payloads: Sequence[dict[str, Any]]) -> Columns:
    encoded = encode_columns(flatten(payload) for payload in payloads)
    return decode_columns(memoryview(encoded), len(payloads))


def _naively(payloads: Sequence[dict[str, Any]], condition: Condition) -> list[bool]:
    return [passes(Filter((condition,)), flatten(payload)) for payload in payloads]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_match_means_the_same_in_columns(key: str, value: Any) -> None:
    condition = Match(key, (value,))
    assert _columns(PAYLOADS).mask(condition).tolist() == _naively(PAYLOADS, condition)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("bound", ["gt", "gte", "lt", "lte"])
def test_range_means_the_same_in_columns(key: str, bound: str) -> None:
    columns = _columns(PAYLOADS)
    for value in VALUES:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            condition = Range(key, **{bound: value})
            assert columns.mask(condition).tolist() == _naively(PAYLOADS, condition), value


def test_several_values_and_bounds_mean_the_same_in_columns() -> None:
    columns = _columns(PAYLOADS)
    for condition in (
        Match("n", (1, "1", True, 2**64 - 1)),
        Match("s", ("a", "a", "ä", 1)),
        Match("n", ()),
        Range("n", gt=0, lte=2.5),
        Range("n", gte=2**63, lt=2**64),
        Range("n", gt=5, lt=1),
        Range("n", gt=1, gte=1, lt=3, lte=2.5),
    ):
        assert columns.mask(condition).tolist() == _naively(PAYLOADS, condition), condition


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_columns_of_empty_payloads_hold_nothing(rows: int) -> None:
    columns = _columns([{}] * rows)
    assert columns.complete
    assert columns.knows("a")
    assert columns.mask(Match("a", (1,))).tolist() == [False] * rows


def test_more_paths_than_allowed_are_left_out_and_known_to_be() -> None:
    payloads = [{f"path{number}": number} for number in range(MAX_PATHS + 40)]
    columns = _columns(payloads)
    assert not columns.complete
    assert sum(columns.knows(f"path{number}") for number in range(MAX_PATHS + 40)) == MAX_PATHS
    assert not columns.knows("missing")
    condition = Match("path5", (5,))
    assert columns.mask(condition).tolist() == _naively(payloads, condition)


def test_exactly_as_many_paths_as_allowed_are_complete() -> None:
    columns = _columns([{f"path{number}": 1 for number in range(MAX_PATHS)}])
    assert columns.complete


def test_path_is_kept_whole_or_not_at_all() -> None:
    # A path first seen when there is no more room must not get in with its later rows only.
    payloads = [{f"p{number}": 1 for number in range(MAX_PATHS)}, {"late": 1}, {"late": 1, "p0": 2}]
    columns = _columns(payloads)
    assert not columns.knows("late")
    assert columns.mask(Match("p0", (2,))).tolist() == [False, False, True]


def test_a_mask_is_new_each_time() -> None:
    columns = _columns(PAYLOADS)
    mask = columns.mask(Match("n", (1,)))
    mask[:] = True
    assert not np.all(columns.mask(Match("n", (1,))))
