import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from akidb_ray.domain.filter import Filter, KeyCondition, Match, MatchExcept, Range
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.flattening import flatten
from akidb_ray.segment.arrow_batches import decode_file, encode_file
from akidb_ray.segment.column_conditions import condition_mask
from akidb_ray.segment.column_files import decode_columns, encode_columns
from akidb_ray.segment.columns import DTYPES, MAX_PATHS, Columns
from akidb_ray.segment.merged_columns import ColumnSource, can_merge, merge_columns
from akidb_ray.storage.filesystem import Bytes

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
    return _decoded(encode_columns(flatten(payload) for payload in payloads), len(payloads))


def _decoded(parts: Sequence[Bytes], rows: int) -> Columns:
    return decode_columns(memoryview(b"".join(parts)), rows)


def _naively(payloads: Sequence[dict[str, Any]], condition: KeyCondition) -> list[bool]:
    return [passes(Filter((condition,)), flatten(payload), "") for payload in payloads]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_match_means_the_same_in_columns(key: str, value: Any) -> None:
    columns = _columns(PAYLOADS)
    for condition in (Match(key, (value,)), MatchExcept(key, (value,))):
        assert condition_mask(columns, condition).tolist() == _naively(PAYLOADS, condition)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("bound", ["gt", "gte", "lt", "lte"])
def test_range_means_the_same_in_columns(key: str, bound: str) -> None:
    columns = _columns(PAYLOADS)
    for value in VALUES:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            condition = Range(key, **{bound: value})
            assert condition_mask(columns, condition).tolist() == _naively(PAYLOADS, condition), (
                value
            )


def test_several_values_and_bounds_mean_the_same_in_columns() -> None:
    columns = _columns(PAYLOADS)
    for condition in (
        Match("n", (1, "1", True, 2**64 - 1)),
        Match("s", ("a", "a", "ä", 1)),
        Match("n", ()),
        Match("s", tuple(map(str, VALUES))),
        MatchExcept("n", ()),
        MatchExcept("n", (1, 1.0, True, 2**64 - 1)),
        MatchExcept("s", ("z", "a", "z", 1)),
        Range("n", gt=0, lte=2.5),
        Range("n", gte=2**63, lt=2**64),
        Range("n", gt=5, lt=1),
        Range("n", gt=1, gte=1, lt=3, lte=2.5),
    ):
        assert condition_mask(columns, condition).tolist() == _naively(PAYLOADS, condition), (
            condition
        )


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_columns_of_empty_payloads_hold_nothing(rows: int) -> None:
    columns = _columns([{}] * rows)
    assert columns.complete
    assert columns.knows("a")
    assert condition_mask(columns, Match("a", (1,))).tolist() == [False] * rows


def test_more_paths_than_allowed_are_left_out_and_known_to_be() -> None:
    payloads = [{f"path{number}": number} for number in range(MAX_PATHS + 40)]
    columns = _columns(payloads)
    assert not columns.complete
    assert sum(columns.knows(f"path{number}") for number in range(MAX_PATHS + 40)) == MAX_PATHS
    assert not columns.knows("missing")
    condition = Match("path5", (5,))
    assert condition_mask(columns, condition).tolist() == _naively(payloads, condition)


def test_exactly_as_many_paths_as_allowed_are_complete() -> None:
    columns = _columns([{f"path{number}": 1 for number in range(MAX_PATHS)}])
    assert columns.complete


def test_path_is_kept_whole_or_not_at_all() -> None:
    # A path first seen when there is no more room must not get in with its later rows only.
    payloads = [{f"p{number}": 1 for number in range(MAX_PATHS)}, {"late": 1}, {"late": 1, "p0": 2}]
    columns = _columns(payloads)
    assert not columns.knows("late")
    assert condition_mask(columns, Match("p0", (2,))).tolist() == [False, False, True]


def test_a_value_has_a_column_of_its_type_and_a_date_one_more() -> None:
    columns = _columns([{"v": ["x", 1, None, [], {}, [[]], {"lon": 1, "lat": -2.5}, "2024-01-01"]}])
    found = columns.by_path["v"]
    assert set(found) == {"string", "int", "null", "mark", "point", "date"}
    numbers = {kind: column.numbers for kind, column in found.items() if column.words is None}
    assert {kind: list(found) for kind, found in numbers.items() if found is not None} == {
        "int": [1], "null": [0], "mark": [0, 1, 1], "point": [-2.5 + 1j],
        "date": [1_704_067_200_000_000],
    }  # fmt: skip


def test_a_mask_is_new_each_time() -> None:
    columns = _columns(PAYLOADS)
    mask = condition_mask(columns, Match("n", (1,)))
    mask[:] = True
    assert not np.all(condition_mask(columns, Match("n", (1,))))


def test_mapped_numbers_are_aligned_whatever_columns_there_are() -> None:
    payloads = [
        {"a": True, "b": 1, "c": 2.5, "d": 2**63, "e": "2024-01-01", "f": None, "g": []},
        {"a": False, "p": {"lon": 1, "lat": 2}},
    ]
    columns = _columns(payloads)
    found = [column for each in columns.by_path.values() for column in each.values()]
    assert {column.type for column in found} == {*DTYPES, "string"}
    for column in found:
        for array in (column.rows, column.numbers, column.starts):
            assert array is None or array.flags.aligned


def _merged(
    payloads: Sequence[dict[str, Any]], cuts: Sequence[int], gone: Sequence[int]
) -> list[Bytes]:
    """The columns of `payloads` without those `gone`, merged of those between the cuts."""
    sources, kept = [], 0
    for start, end in zip([0, *cuts], [*cuts, len(payloads)], strict=True):
        new_rows = np.full(end - start, -1, np.int64)
        for row in range(start, end):
            if row not in gone:
                new_rows[row - start] = kept
                kept += 1
        sources.append(ColumnSource(_columns(payloads[start:end]), new_rows))
    assert can_merge([source.columns for source in sources])
    return merge_columns(sources)


@pytest.mark.parametrize("seed", range(40))
def test_merged_columns_are_those_of_the_merged_rows(seed: int) -> None:
    rng = random.Random(seed)
    payloads = rng.choices(PAYLOADS, k=rng.randrange(1, 60))
    cuts = sorted(rng.choices(range(len(payloads) + 1), k=rng.randrange(4)))
    gone = set(rng.sample(range(len(payloads)), k=rng.randrange(len(payloads) + 1)))
    written = encode_columns(
        flatten(payload) for row, payload in enumerate(payloads) if row not in gone
    )
    assert b"".join(_merged(payloads, cuts, sorted(gone))) == b"".join(written)


def test_word_that_only_dead_rows_had_is_gone() -> None:
    merged = _decoded(_merged([{"s": "a"}, {"s": "b"}, {"s": "c"}], [1], [1]), 2)
    column = merged.by_path["s"]["string"]
    assert column.words.to_pylist() == ["a", "c"]


def test_path_that_only_dead_rows_had_is_gone() -> None:
    merged = _decoded(_merged([{"s": "a", "n": 1}, {"b": True}], [1], [0]), 1)
    assert list(merged.by_path) == ["b"]


def test_columns_with_more_paths_than_allowed_are_not_merged() -> None:
    half = [{f"path{number}": 1 for number in range(MAX_PATHS // 2)}]
    other = [{f"other{number}": 1 for number in range(MAX_PATHS // 2)}]
    assert can_merge([_columns(half), _columns(other)])
    assert not can_merge([_columns(half), _columns(other), _columns([{"one": 1}])])
    assert not can_merge([_columns([{f"path{number}": 1 for number in range(MAX_PATHS + 1)}])])


def test_words_are_sorted_as_python_sorts_them() -> None:
    rng = random.Random(0)
    characters = "aZ~\x00\x7f\x80éßЖ日\ud7ff\ue000\uffff\U00010000\U0001f600\U0010ffff"
    words = {"".join(rng.choices(characters, k=rng.randrange(5))) for _ in range(500)}
    column = _columns([{"s": word} for word in words]).by_path["s"]["string"]
    assert column.words.to_pylist() == sorted(words)


def _records(payloads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    encoded = encode_columns(flatten(payload) for payload in payloads)
    return list(decode_file(b"".join(encoded)).to_pylist())


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [0, 2]},
        {"rows": [-1, 0]},
        {"rows": [0]},
        {"numbers": b"x"},
        {"numbers": b""},
        {"type": "text"},
    ],
)
def test_column_of_numbers_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    _refuse(_records([{"n": 1}, {"n": 2}]), change)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [0, 2]},
        {"words": ["a"]},
        {"words": ["a", None]},
        {"starts": [0, 1]},
        {"starts": [1, 1, 2]},
        {"starts": [0, 1, 3]},
        {"starts": [0, 5, 2]},
        {"starts": []},
    ],
)
def test_column_of_words_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    _refuse(_records([{"s": "a"}, {"s": "b"}]), change)


def _refuse(records: list[dict[str, Any]], change: dict[str, Any]) -> None:
    schema = decode_file(b"".join(encode_columns([]))).schema
    good = encode_file(pa.RecordBatch.from_pylist(records, schema=schema))
    assert _decoded(good, 2).by_path
    batch = pa.RecordBatch.from_pylist([{**records[0], **change}], schema=schema)
    with pytest.raises(ValueError, match=r"column|buffer"):
        _decoded(encode_file(batch), 2)
